/** What a test has fetch answer. */

export interface Asked {
  what: string;
  who: string | null;
  body: string;
}

/** Answers calls of fetch in turn, and notes them, without the backend's address. */
export async function withAnswers(
  backend: string,
  answers: Response[],
  action: () => Promise<void>,
): Promise<Asked[]> {
  const asked: Asked[] = [];
  const real = globalThis.fetch;
  globalThis.fetch = ((url: string, init: RequestInit) => {
    asked.push({
      what: `${init.method} ${url.replace(backend, "")}`,
      who: new Headers(init.headers).get("authorization"),
      body: String(init.body),
    });
    return Promise.resolve(
      answers.shift() ?? new Response("", { status: 500 }),
    );
  }) as typeof fetch;
  try {
    await action();
  } finally {
    globalThis.fetch = real;
  }
  return asked;
}
