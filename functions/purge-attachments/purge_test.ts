import { deepStrictEqual as assertEquals } from "node:assert";
import { withAnswers } from "../_shared/answers.ts";
import { handle } from "./purge.ts";

const settings = {
  url: "http://stack",
  publicUrl: "http://stack",
  secret: "the secret",
  accepted: ["the secret", ""],
};

function request(token: string, method = "POST"): Request {
  return new Request("http://function", {
    method,
    headers: { authorization: `Bearer ${token}` },
  });
}

Deno.test("without the secret nothing is asked of the backend", async () => {
  const asked = await withAnswers(settings.url, [], async () => {
    assertEquals((await handle(request("guess"), settings)).status, 401);
    assertEquals(
      (await handle(request(""), { ...settings, accepted: [""] })).status,
      401,
    );
    assertEquals(
      (await handle(request("the secret", "GET"), settings)).status,
      405,
    );
  });
  assertEquals(asked, []);
});

Deno.test("it goes on until both lists are empty", async () => {
  const answers = [["a", "b"], [], 2, [], ["x/1"], [{}], []].map((body) =>
    Response.json(body)
  );
  const asked = await withAnswers(settings.url, answers, async () => {
    const answer = await handle(request("the secret"), settings);
    assertEquals(await answer.json(), { removed: 3, has_more: false });
  });
  assertEquals(asked.length, 7);
  assertEquals(asked[5].what, "DELETE /storage/v1/object/chat-exports");
});

Deno.test("what cannot be removed ends the call, and stays queued", async () => {
  const answers = [["a"], [], 0, []].map((body) => Response.json(body));
  await withAnswers(settings.url, answers, async () => {
    const answer = await handle(request("the secret"), settings);
    assertEquals(await answer.json(), { removed: 0, has_more: true });
  });
});

Deno.test("a failure says so and tells nothing of the backend", async () => {
  await withAnswers(
    settings.url,
    [new Response("inner details", { status: 500 })],
    async () => {
      const answer = await handle(request("the secret"), settings);
      assertEquals(answer.status, 502);
      assertEquals((await answer.json()).code, "not_purged");
    },
  );
});
