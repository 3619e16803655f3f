import { deepStrictEqual as assertEquals } from "node:assert";
import { withAnswers } from "../_shared/answers.ts";
import { handle } from "./export.ts";

const settings = {
  url: "http://inside",
  publicUrl: "https://outside",
  secret: "the secret",
  accepted: ["the secret"],
};
const BEGUN = {
  id: "e",
  user_id: "u",
  expires_at: "2100-01-01T00:00:00Z",
  finished_at: null,
  part_count: 0,
  row_count: 0,
  file_count: 0,
};
const DONE = { ...BEGUN, finished_at: "2026-01-01T00:00:00Z", part_count: 1 };

function request(headers: Record<string, string>, method = "POST"): Request {
  const body = method === "POST" ? "{}" : undefined;
  return new Request("http://function", { method, headers, body });
}

const person = { apikey: "publishable", authorization: "Bearer theirs" };

Deno.test("without both headers nothing is asked of the backend", async () => {
  const asked = await withAnswers(settings.url, [], async () => {
    for (const headers of [{}, { apikey: "x" }, { authorization: "x" }]) {
      const sent = headers as Record<string, string>;
      assertEquals((await handle(request(sent), settings)).status, 401);
    }
    assertEquals(
      (await handle(request(person, "PUT"), settings)).status,
      405,
    );
  });
  assertEquals(asked, []);
});

Deno.test("who may not is told so by the database, asked as themselves", async () => {
  const refusal = { code: "42501", details: "export_not_allowed" };
  const asked = await withAnswers(
    settings.url,
    [Response.json(refusal, { status: 403 })],
    async () => {
      const answer = await handle(request(person), settings);
      assertEquals(answer.status, 403);
      assertEquals(await answer.json(), refusal);
    },
  );
  assertEquals(asked.map((each) => each.who), ["Bearer theirs"]);
});

Deno.test("a page is copied, written and noted, and then the index", async () => {
  const page = {
    part: 1,
    text: '{"table":"t","row":{}}',
    row_count: 1,
    files: ["a.png", "gone.png"],
    cursor: null,
  };
  const answers = [
    Response.json(BEGUN),
    Response.json(page),
    Response.json({ Key: "copied" }),
    Response.json({ statusCode: "404" }, { status: 400 }),
    Response.json({ Key: "written" }),
    Response.json(1),
    Response.json(null),
    Response.json(DONE),
    Response.json({ parts: ["e/rows"], files: ["e/files/a.png"] }),
    Response.json([{ path: "e/rows", signedURL: "/rows?token" }]),
    Response.json([{ path: "e/files/a.png", signedURL: "/a?token" }]),
    Response.json({ Key: "index" }),
    Response.json([{ path: "e/index.json", signedURL: "/index?token" }]),
  ];
  const asked = await withAnswers(settings.url, answers, async () => {
    const answer = await (await handle(request(person), settings)).json();
    assertEquals(answer.has_more, false);
    assertEquals(answer.url, "https://outside/storage/v1/index?token");
  });
  // What was purged meanwhile is no file of the part.
  assertEquals(JSON.parse(asked[5].body).files, ["e/files/a.png"]);
  const index = JSON.parse(asked[11].body);
  assertEquals(index.parts, [
    { path: "rows", url: "https://outside/storage/v1/rows?token" },
  ]);
  assertEquals(index.files[0].path, "files/a.png");
});

Deno.test("a file that cannot be copied is not left out", async () => {
  const page = { part: 1, text: "", row_count: 0, files: ["a"], cursor: null };
  const answers = [
    Response.json(BEGUN),
    Response.json(page),
    Response.json({ statusCode: "413" }, { status: 400 }),
  ];
  const asked = await withAnswers(settings.url, answers, async () => {
    assertEquals((await handle(request(person), settings)).status, 502);
  });
  assertEquals(asked.length, 3);
});

Deno.test("what fails says so, tells nothing, and can be gone on with", async () => {
  const answers = [
    Response.json(BEGUN),
    new Response("inner details", { status: 500 }),
  ];
  await withAnswers(settings.url, answers, async () => {
    const answer = await handle(request(person), settings);
    assertEquals(answer.status, 502);
    assertEquals((await answer.json()).code, "not_exported");
  });
});
