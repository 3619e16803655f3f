import { deepStrictEqual as assertEquals } from "node:assert";
import { isSame, isService } from "./backend.ts";

const settings = {
  url: "http://stack",
  publicUrl: "http://stack",
  secret: "the secret",
  accepted: ["the secret", "", "another"],
};

Deno.test("secrets are compared whole", async () => {
  assertEquals(await isSame("a", "a"), true);
  assertEquals(await isSame("a", "ab"), false);
  assertEquals(await isSame("", "a"), false);
});

Deno.test("either kind of key lets in, and no key does not", async () => {
  const has = (headers: Record<string, string>) =>
    isService(new Request("http://function", { headers }), settings);
  assertEquals(await has({ authorization: "Bearer the secret" }), true);
  assertEquals(await has({ apikey: "another" }), true);
  assertEquals(await has({ apikey: "guess", authorization: "Bearer " }), false);
  assertEquals(await has({}), false);
});
