// Writes everything of a person into the private bucket chat-exports: rows as parts of NDJSON, a line
// being {"table", "row"}, and copies of their files. The database says who may, what is theirs, and how
// far it is, so a call goes on where the last one was cut off; call until has_more is false. The last
// answer has the signed address of an index, which has those of all parts and files.
//
// Post {} with a person's token; for anybody {"user_id"} with the secret key.

import {
  BackendError,
  call,
  rpc,
  send,
  type Settings,
} from "../_shared/backend.ts";

const BUCKET = "chat-exports";
// Less than clients wait for an answer.
const SECONDS = 5;
const PAGE = 500;
const AT_ONCE = 8;
const TO_SIGN = 500;
const LINK_SECONDS = 24 * 3600;

interface Export {
  id: string;
  user_id: string;
  expires_at: string;
  finished_at: string | null;
  part_count: number;
  row_count: number;
  file_count: number;
}

interface Page {
  part: number;
  text: string;
  row_count: number;
  files: string[];
  cursor: unknown;
}

interface Link {
  path: string;
  url: string;
}

/** Whether Storage has no such file: it says 400, and 404 in the body. */
function isGone(error: unknown): boolean {
  if (!(error instanceof BackendError)) return false;
  try {
    return String(JSON.parse(error.text).statusCode) === "404";
  } catch {
    return false;
  }
}

/** Copies a file of the person's beside the parts, unless it is gone, or there already. */
async function copyFile(
  settings: Settings,
  id: string,
  name: string,
): Promise<string | null> {
  const copy = `${id}/files/${name}`;
  try {
    await call(settings, "POST", "/storage/v1/object/copy", {
      bucketId: "chat-attachments",
      sourceKey: name,
      destinationBucket: BUCKET,
      destinationKey: copy,
    }, { "x-upsert": "true" });
    return copy;
  } catch (error) {
    // Purged meanwhile: nobody has it any more.
    if (isGone(error)) return null;
    throw error;
  }
}

/** Copies files, some at once; returns the paths of the copies. */
async function copyFiles(
  settings: Settings,
  id: string,
  names: string[],
): Promise<string[]> {
  const copies: string[] = [];
  for (let i = 0; i < names.length; i += AT_ONCE) {
    const group = names.slice(i, i + AT_ONCE);
    const done = await Promise.all(
      group.map((name) => copyFile(settings, id, name)),
    );
    copies.push(...done.filter((path) => path !== null));
  }
  return copies;
}

/** Writes page after page, until the end or for a while. */
async function writeParts(settings: Settings, id: string): Promise<void> {
  const end = Date.now() + SECONDS * 1000;
  while (Date.now() < end) {
    const page = await rpc(settings, "read_export", {
      export_id: id,
      max_count: PAGE,
    }) as Page | null;
    if (page === null) return;
    const files = await copyFiles(settings, id, page.files);
    // A name of its own for each attempt: of two workers the database takes one, and what the other
    // wrote belongs to nothing.
    const number = String(page.part).padStart(6, "0");
    const path = `${id}/rows-${number}-${crypto.randomUUID()}.ndjson`;
    await send(
      settings,
      "POST",
      `/storage/v1/object/${BUCKET}/${path}`,
      page.text + "\n",
      { "content-type": "application/x-ndjson" },
    );
    await rpc(settings, "save_export_part", {
      export_id: id,
      part: page.part,
      path,
      row_count: page.row_count,
      files,
      cursor: page.cursor,
    });
  }
}

async function sign(
  settings: Settings,
  paths: string[],
  seconds: number,
): Promise<Link[]> {
  const links: Link[] = [];
  for (let i = 0; i < paths.length; i += TO_SIGN) {
    const signed = await call(
      settings,
      "POST",
      `/storage/v1/object/sign/${BUCKET}`,
      { expiresIn: seconds, paths: paths.slice(i, i + TO_SIGN) },
    ) as { path: string; signedURL: string }[];
    for (const each of signed) {
      links.push({
        path: each.path.slice(each.path.indexOf("/") + 1),
        url: `${settings.publicUrl}/storage/v1${each.signedURL}`,
      });
    }
  }
  return links;
}

/** Writes the index anew, with fresh addresses, and returns its own. */
async function writeIndex(settings: Settings, done: Export): Promise<string> {
  const left = (Date.parse(done.expires_at) - Date.now()) / 1000;
  const seconds = Math.max(1, Math.min(LINK_SECONDS, Math.floor(left)));
  const { parts, files } = await rpc(settings, "list_export_files", {
    export_id: done.id,
  }) as { parts: string[]; files: string[] };
  const path = `${done.id}/index.json`;
  const index = {
    user_id: done.user_id,
    finished_at: done.finished_at,
    row_count: done.row_count,
    parts: await sign(settings, parts, seconds),
    files: await sign(settings, files, seconds),
  };
  await call(settings, "POST", `/storage/v1/object/${BUCKET}/${path}`, index, {
    "x-upsert": "true",
    "cache-control": "no-store",
  });
  return (await sign(settings, [path], seconds))[0].url;
}

/** What the caller sent of who they are, for the database to judge. */
function identity(request: Request): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const name of ["apikey", "authorization"]) {
    const value = request.headers.get(name);
    if (value) headers[name] = value;
  }
  return headers;
}

export async function handle(
  request: Request,
  settings: Settings,
): Promise<Response> {
  const answer = (status: number, body: unknown) =>
    Response.json(body, { status, headers: CORS });
  if (request.method === "OPTIONS") return answer(200, {});
  if (request.method !== "POST") {
    return answer(405, { code: "method_not_allowed", message: "Use POST." });
  }
  const who = identity(request);
  // Else the secret key would stand in for it.
  if (!who.apikey || !who.authorization) {
    return answer(401, {
      code: "sign_in_required",
      message: "Only a signed-in user can do this.",
    });
  }
  const body = await request.json().catch(() => ({}));
  const asked = { user_id: body?.user_id ?? null };
  let id: string;
  try {
    id = (await rpc(settings, "begin_export", asked, who) as Export).id;
  } catch (error) {
    if (error instanceof BackendError && error.status < 500) {
      return new Response(error.text, {
        status: error.status,
        headers: { ...CORS, "content-type": "application/json" },
      });
    }
    return failed(error);
  }
  try {
    await writeParts(settings, id);
    const now = await rpc(settings, "begin_export", asked, who) as Export;
    const url = now.finished_at ? await writeIndex(settings, now) : null;
    return answer(200, { ...now, has_more: !now.finished_at, url });
  } catch (error) {
    return failed(error);
  }

  function failed(error: unknown): Response {
    console.error(error);
    return answer(502, {
      code: "not_exported",
      message: "The export is not complete; the next call goes on.",
    });
  }
}

// Called by browsers.
const CORS = {
  "access-control-allow-origin": "*",
  "access-control-allow-headers":
    "authorization, apikey, content-type, x-client-info",
};
