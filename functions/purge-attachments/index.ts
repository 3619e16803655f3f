import { handle } from "./purge.ts";

const secret = Deno.env.get("SUPABASE_SERVICE_ROLE_KEY") ?? "";
// The keys of new projects, by name.
const keys: Record<string, string> = JSON.parse(
  Deno.env.get("SUPABASE_SECRET_KEYS") ?? "{}",
);

Deno.serve((request) =>
  handle(request, {
    url: Deno.env.get("SUPABASE_URL") ?? "",
    secret,
    accepted: [secret, ...Object.values(keys)],
  })
);
