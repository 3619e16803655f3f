// Runs one edge function: serves what its module hands to Deno.serve, or its default export's
// fetch, on a port of loopback that it tells the stack. Arguments: what to tell it after, address
// of the module.
const [mark, module] = Deno.args;

type Handler = (request: Request, info?: unknown) => Response | Promise<Response>;

const serve = Deno.serve.bind(Deno);
let isServing = false;

function serveHere(handler: Handler) {
  isServing = true;
  const onListen = ({ port }: { port: number }) => console.log(`${mark}${port}`);
  return serve({ hostname: "127.0.0.1", port: 0, onListen, onError: failed }, async (request, info) => {
    // The address is this process's own; the caller's is in the headers.
    const { pathname, search } = new URL(request.url);
    const protocol = request.headers.get("x-forwarded-proto") ?? "http";
    const host = request.headers.get("x-forwarded-host") ?? "localhost";
    const url = new URL(pathname + search, `${protocol}://${host}`);
    const answer = await handler(new Request(url, request), info);
    if (!(answer instanceof Response)) throw new TypeError("the handler returned no Response");
    return answer;
  });
}

function failed(error: unknown): Response {
  console.error(error);
  return Response.json(
    { code: "InternalServerError", message: "The function threw an error; see its log" },
    { status: 500 },
  );
}

Object.defineProperty(Deno, "serve", {
  // serve(handler), serve(options, handler), serve({ ...options, handler })
  value: (...given: unknown[]) => {
    const handler = given.findLast((value) => typeof value === "function") ??
      (given[0] as { handler: Handler }).handler;
    return serveHere(handler as Handler);
  },
});

addEventListener("unhandledrejection", (event) => {
  console.error(event.reason);
  if (isServing) event.preventDefault();
});

const { default: exported } = await import(module);
if (!isServing && typeof exported?.fetch === "function") {
  serveHere((request) => exported.fetch(request));
}
if (!isServing) {
  console.error("the module called neither Deno.serve nor exported { fetch }");
  Deno.exit(1);
}
