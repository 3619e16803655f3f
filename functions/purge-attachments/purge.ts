// Removes from Storage the files of purged messages. The database queues them; what is gone from
// Storage leaves the queue. Call it from any scheduler, with the secret key as apikey: doing it
// twice, or at once, does no harm, and what fails is tried again by the next call.

const BUCKET = "chat-attachments";
const BATCH = 100;
const SECONDS = 50;

/** `accepted`: keys, each of which lets a caller in. */
export interface Settings {
  url: string;
  secret: string;
  accepted: string[];
}

export interface Outcome {
  removed: number;
  has_more: boolean;
}

/** Whether both are the same, in a time that does not tell where they differ. */
export async function isSame(a: string, b: string): Promise<boolean> {
  const digest = async (text: string) =>
    new Uint8Array(
      await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)),
    );
  const [left, right] = await Promise.all([digest(a), digest(b)]);
  return left.reduce((sum, byte, i) => sum | (byte ^ right[i]), 0) === 0;
}

async function call(
  settings: Settings,
  method: string,
  path: string,
  body: unknown,
): Promise<unknown> {
  const response = await fetch(settings.url + path, {
    method,
    headers: {
      apikey: settings.secret,
      authorization: `Bearer ${settings.secret}`,
      "content-type": "application/json",
      "content-profile": "chat",
    },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) {
    throw new Error(`${method} ${path}: ${response.status} ${text}`);
  }
  return text ? JSON.parse(text) : null;
}

/** Works off the queue until it is empty, nothing more can be removed, or the time is over. */
export async function purge(settings: Settings): Promise<Outcome> {
  const end = Date.now() + SECONDS * 1000;
  let removed = 0;
  while (Date.now() < end) {
    const paths = await call(
      settings,
      "POST",
      "/rest/v1/rpc/list_purged_files",
      { max_count: BATCH },
    ) as string[];
    if (paths.length === 0) return { removed, has_more: false };
    await call(settings, "DELETE", `/storage/v1/object/${BUCKET}`, {
      prefixes: paths,
    });
    // The database looks for itself what is gone: a file that is there stays in the queue.
    const gone = await call(
      settings,
      "POST",
      "/rest/v1/rpc/forget_purged_files",
      { paths },
    ) as number;
    removed += gone;
    if (gone === 0) break;
  }
  return { removed, has_more: true };
}

export async function handle(
  request: Request,
  settings: Settings,
): Promise<Response> {
  const answer = (status: number, body: unknown) =>
    Response.json(body, { status });
  if (request.method !== "POST") {
    return answer(405, { code: "method_not_allowed", message: "Use POST." });
  }
  // Opaque keys come as apikey; gateways turn them into the token they stand for.
  const sent = [
    request.headers.get("authorization")?.replace(/^Bearer /, ""),
    request.headers.get("apikey"),
  ].filter((key) => key);
  const pairs = sent.flatMap((key) =>
    settings.accepted.filter(Boolean).map((known) => isSame(key!, known))
  );
  if (!(await Promise.all(pairs)).includes(true)) {
    return answer(401, {
      code: "secret_key_required",
      message: "Only who has the secret key can do this.",
    });
  }
  try {
    return answer(200, await purge(settings));
  } catch (error) {
    console.error(error);
    return answer(502, {
      code: "not_purged",
      message: "Some files were not removed; the next call tries again.",
    });
  }
}
