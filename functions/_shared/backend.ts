// What the functions share: who may call, and calls of the backend with the secret key.

/** `accepted`: keys, each of which lets a caller in. `publicUrl`: where clients find the backend. */
export interface Settings {
  url: string;
  publicUrl: string;
  secret: string;
  accepted: string[];
}

/** An answer of the backend that is no success. */
export class BackendError extends Error {
  constructor(
    readonly method: string,
    readonly path: string,
    readonly status: number,
    readonly text: string,
  ) {
    super(`${method} ${path}: ${status} ${text}`);
  }
}

/** From the environment of Supabase. */
export function readSettings(): Settings {
  const url = Deno.env.get("SUPABASE_URL") ?? "";
  const secret = Deno.env.get("SUPABASE_SERVICE_ROLE_KEY") ?? "";
  // The keys of new projects, by name.
  const keys: Record<string, string> = JSON.parse(
    Deno.env.get("SUPABASE_SECRET_KEYS") ?? "{}",
  );
  return {
    url,
    // Where the backend runs oneself, functions reach it by another name.
    publicUrl: Deno.env.get("SUPABASE_PUBLIC_URL") ?? url,
    secret,
    accepted: [secret, ...Object.values(keys)],
  };
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

/** Whether the caller has the secret key. */
export async function isService(
  request: Request,
  settings: Settings,
): Promise<boolean> {
  // Opaque keys come as apikey; gateways turn them into the token they stand for.
  const sent = [
    request.headers.get("authorization")?.replace(/^Bearer /, ""),
    request.headers.get("apikey"),
  ].filter((key) => key);
  const pairs = sent.flatMap((key) =>
    settings.accepted.filter(Boolean).map((known) => isSame(key!, known))
  );
  return (await Promise.all(pairs)).includes(true);
}

/** Raises BackendError. `headers` in the place of the secret key. */
export async function send(
  settings: Settings,
  method: string,
  path: string,
  body: BodyInit,
  headers: Record<string, string> = {},
): Promise<unknown> {
  const response = await fetch(settings.url + path, {
    method,
    headers: {
      apikey: settings.secret,
      authorization: `Bearer ${settings.secret}`,
      ...headers,
    },
    body,
  });
  const text = await response.text();
  if (!response.ok) {
    throw new BackendError(method, path, response.status, text);
  }
  return text ? JSON.parse(text) : null;
}

/** As send, of JSON. */
export function call(
  settings: Settings,
  method: string,
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<unknown> {
  return send(settings, method, path, JSON.stringify(body), {
    "content-type": "application/json",
    ...headers,
  });
}

/** Calls a function of schema chat. */
export function rpc(
  settings: Settings,
  name: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<unknown> {
  return call(settings, "POST", `/rest/v1/rpc/${name}`, body, {
    "content-profile": "chat",
    ...headers,
  });
}
