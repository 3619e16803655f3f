import { readSettings } from "../_shared/backend.ts";
import { handle } from "./export.ts";

const settings = readSettings();

Deno.serve((request) => handle(request, settings));
