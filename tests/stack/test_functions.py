"""Edge functions, run by Deno, on a project of the tests' own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.stacks import Stack, eventually, start_stack

HELLO = """
import { greeting } from "words";

Deno.serve(async (request) => {
  const url = new URL(request.url);
  console.log(`asked for ${url.pathname}`);
  if (url.searchParams.has("throw")) throw new Error("on purpose");
  if (url.searchParams.has("exit")) Deno.exit(3);
  if (url.searchParams.has("stream")) {
    const parts = ["one", "two"].map((part) => new TextEncoder().encode(part));
    return new Response(ReadableStream.from(parts), { headers: { "x-own": "yes" } });
  }
  const forbidden = await Deno.writeTextFile("/etc/not-here", "x").catch((e) => e.name);
  return Response.json({
    greeting,
    url: request.url,
    method: request.method,
    body: await request.text(),
    forbidden,
    env: Object.fromEntries(
      ["SUPABASE_URL", "SUPABASE_ANON_KEY", "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_DB_URL",
       "OWN", "FROM_FILE", "PARLEY_TEST_SECRET"].map((name) => [name, Deno.env.get(name)]),
    ),
  }, { status: 201 });
});
"""

CONFIG = """
project_id = "functions"
[functions.open]
verify_jwt = false
entrypoint = "./elsewhere/open.ts"
[functions.open.env]
OWN = "env(PARLEY_TEST_OWN)"
[functions.off]
enabled = false
[functions.mapped]
import_map = "./elsewhere/map.json"
"""

MAPPED = """
import { greeting } from "phrases";

Deno.serve((request) => new Response(greeting, {
  status: request.method === "OPTIONS" ? 200 : 418,
  headers: { "Access-Control-Allow-Origin": "https://app.example" },
}));
"""

ENV = {"PARLEY_TEST_OWN": "mine", "PARLEY_TEST_SECRET": "not for functions"}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A project with five functions; readable by the database's user."""
    made = Path(tempfile.mkdtemp(prefix="parley-functions-"))
    made.chmod(0o755)
    supabase = made / "supabase"
    for name in ("hello", "broken", "off", "mapped"):
        (supabase / "functions" / name).mkdir(parents=True)
    (supabase / "config.toml").write_text(CONFIG)
    (supabase / "functions" / ".env").write_text("FROM_FILE=yes\nSUPABASE_URL=http://no\n")
    (supabase / "functions" / "words.ts").write_text("export const greeting = 'hello';\n")
    (supabase / "functions" / "hello" / "index.ts").write_text(HELLO)
    (supabase / "functions" / "hello" / "deno.json").write_text(
        '{"imports": {"words": "../words.ts"}}'
    )
    (supabase / "functions" / "broken" / "index.ts").write_text("throw new Error('no start');")
    (supabase / "functions" / "off" / "index.ts").write_text(HELLO)
    (supabase / "functions" / "mapped" / "index.ts").write_text(MAPPED)
    (supabase / "elsewhere").mkdir()
    (supabase / "elsewhere" / "map.json").write_text(
        '{"imports": {"phrases": "../functions/words.ts"}}'
    )
    (supabase / "elsewhere" / "open.ts").write_text(
        "export default { fetch: (r: Request) => new Response(`open ${Deno.env.get('OWN')}`) };"
    )
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Stack]:
    running = start_stack(folder, "--ephemeral", env=ENV)
    yield running
    running.stop()


@pytest.fixture
def http(served: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=f"{served.api_url}/functions/v1",
        timeout=90,
        headers={"Authorization": f"Bearer {served.anon_key}"},
    ) as client:
        yield client


def test_function_finds_request_and_environment(http: httpx.Client, served: Stack) -> None:
    answer = http.post("/hello/sub/path?a=b", content=b"text")
    assert answer.status_code == 201, answer.text
    said = answer.json()
    assert (said["greeting"], said["method"], said["body"]) == ("hello", "POST", "text")
    assert said["url"] == f"{served.api_url}/hello/sub/path?a=b"
    assert said["forbidden"] in ("NotCapable", "PermissionDenied")
    assert said["env"] == {
        "SUPABASE_URL": served.api_url,
        "SUPABASE_ANON_KEY": served.anon_key,
        "SUPABASE_SERVICE_ROLE_KEY": served.service_role_key,
        "SUPABASE_DB_URL": served.db_url,
        "FROM_FILE": "yes",
    }


def test_tokens_are_verified_unless_told_otherwise(served: Stack, http: httpx.Client) -> None:
    url = f"{served.api_url}/functions/v1"
    missing = httpx.post(f"{url}/hello")
    assert (missing.status_code, missing.json()["msg"]) == (
        401, "Error: Missing authorization header",
    )  # fmt: skip
    wrong = httpx.post(f"{url}/hello", headers={"Authorization": "Bearer abc"})
    assert (wrong.status_code, wrong.json()) == (401, {"msg": "Invalid JWT"})
    assert wrong.headers["x-relay-error"] == "true"
    assert "X-Relay-Error" in wrong.headers["access-control-expose-headers"]
    key = httpx.post(f"{url}/hello", headers={"apikey": served.publishable_key}, timeout=90)
    assert key.status_code == 201
    assert "x-relay-error" not in key.headers
    assert httpx.get(f"{url}/open", timeout=90).text == "open mine"


def test_a_function_answers_browsers_itself_and_has_its_own_import_map(
    http: httpx.Client, served: Stack
) -> None:
    answer = http.post("/mapped")
    assert (answer.status_code, answer.text) == (418, "hello")
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    # A browser sends no token with a preflight.
    preflight = httpx.options(
        f"{served.api_url}/functions/v1/mapped",
        headers={"Origin": "https://app.example", "Access-Control-Request-Method": "POST"},
        timeout=90,
    )
    assert (preflight.status_code, preflight.text) == (200, "hello")
    assert preflight.headers["access-control-allow-origin"] == "https://app.example"


def test_answers_are_streamed(http: httpx.Client) -> None:
    answer = http.get("/hello?stream")
    assert (answer.text, answer.headers["x-own"]) == ("onetwo", "yes")


@pytest.mark.parametrize("slug", ["missing", "off", "..%2f..%2fetc", "elsewhere"])
def test_what_is_not_there(http: httpx.Client, slug: str) -> None:
    answer = http.post(f"/{slug}")
    assert (answer.status_code, answer.headers["x-relay-error"]) == (404, "true")


def test_function_that_does_not_start(http: httpx.Client) -> None:
    answer = http.post("/broken")
    assert (answer.status_code, answer.json()["code"]) == (503, "BOOT_ERROR")


def test_errors_are_not_shown_and_a_dead_process_is_replaced(http: httpx.Client) -> None:
    thrown = http.get("/hello?throw")
    assert thrown.status_code == 500
    assert "on purpose" not in thrown.text
    assert http.get("/hello?exit").status_code == 500
    assert http.get("/hello").status_code == 201


def test_changed_files_count_at_once(http: httpx.Client, folder: Path) -> None:
    words = folder / "supabase" / "functions" / "words.ts"
    assert http.get("/hello").json()["greeting"] == "hello"
    before = words.stat().st_mtime
    words.write_text("export const greeting = 'changed';\n")
    os.utime(words, (before + 5, before + 5))
    assert http.get("/hello").json()["greeting"] == "changed"
    words.write_text("export const greeting = 'hello';\n")
    os.utime(words, (before + 10, before + 10))


def test_what_functions_print_is_in_the_log(folder: Path, http: httpx.Client) -> None:
    running = start_stack(folder, env=ENV)
    try:
        url = f"{running.api_url}/functions/v1/hello/seen"
        headers = {"Authorization": f"Bearer {running.anon_key}"}
        assert httpx.get(url, headers=headers, timeout=90).status_code == 201
        log = folder / ".parley" / "logs" / "services.log"
        eventually(lambda: "[functions/hello] asked for /hello/seen" in log.read_text())
    finally:
        running.stop()
