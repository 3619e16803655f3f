"""``supabase/config.toml``: what loads, and what each mistake is answered with."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from parley_stack.config import ConfigError, load_config
from parley_stack.config.positions import Place, key_places

CLI = Path(__file__).parents[2] / "node_modules/.bin/supabase"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PARLEY_TEST_ONE", "PARLEY_TEST_TWO", "OPENAI_API_KEY", "S3_HOST"):
        monkeypatch.delenv(name, raising=False)


def project(folder: Path, text: str | bytes, env: str | None = None) -> Path:
    (folder / "supabase").mkdir()
    data = text.encode() if isinstance(text, str) else text
    (folder / "supabase/config.toml").write_bytes(data)
    if env is not None:
        (folder / "supabase/.env").write_text(env)
    return folder


def problem(folder: Path, text: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(project(folder, text))
    return str(caught.value)


def test_an_empty_file_has_the_defaults_of_the_cli(tmp_path: Path) -> None:
    config = load_config(project(tmp_path, ""))
    assert (config.api.port, config.db.port, config.db.shadow_port) == (54321, 54322, 54320)
    assert config.api.schemas == ("public", "graphql_public")
    assert config.api.max_rows == 1000
    assert config.db.major_version == 17
    assert config.db.health_timeout == 120.0
    assert config.storage.file_size_limit == 52_428_800
    assert config.project_id == tmp_path.name[:40]
    assert config.workdir == tmp_path.resolve()


@pytest.mark.skipif(not CLI.exists(), reason="needs the Supabase CLI of package.json")
def test_the_template_of_the_cli_loads_with_and_without_its_comments(tmp_path: Path) -> None:
    subprocess.run(
        [CLI, "init", "--workdir", tmp_path],
        check=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )
    path = tmp_path / "supabase/config.toml"
    assert load_config(tmp_path).db.major_version == 17
    path.write_text(uncommented(path.read_text()))
    config = load_config(tmp_path)
    assert config.storage.buckets["images"].allowed_mime_types == ("image/png", "image/jpeg")
    assert config.api.auto_expose_new_tables is True
    assert config.db.vault == {}


def uncommented(template: str) -> str:
    """The template with every setting it only shows switched on."""
    lines = template.splitlines()
    shown = [line.removeprefix("# ") if looks_like_toml(line) else line for line in lines]
    return "\n".join(shown)


def looks_like_toml(line: str) -> bool:
    body = line.removeprefix("# ")
    if body == line or "Set " in body or "Use " in body:
        return False
    return body.startswith("[") or (" = " in body and body.split(" = ")[0].isidentifier())


def test_values_are_read(tmp_path: Path) -> None:
    config = load_config(
        project(
            tmp_path,
            """
project_id = "shop"
[api]
schemas = ["public", "shop"]
[db]
health_timeout = "1m30s"
[db.seed]
sql_paths = ["./seed.sql", "./seeds/*.sql"]
[storage.buckets.images]
file_size_limit = "5MB"
[functions.hello]
verify_jwt = false
entrypoint = "../functions/hello/index.ts"
[auth.email.smtp]
pass = "x"
[inbucket]
port = 5
[remotes.staging]
project_id = "abcdefghijklmnopqrst"
[remotes.staging.api]
max_rows = 5
[[experimental.inspect.rules]]
name = "first"
[[experimental.inspect.rules]]
name = "second"
""",
        )
    )
    assert config.project_id == "shop"
    assert config.api.schemas == ("public", "shop")
    assert config.db.health_timeout == 90.0
    assert config.storage.buckets["images"].file_size_limit == 5 * 1024 * 1024
    assert config.functions["hello"].verify_jwt is False
    assert config.entrypoint("hello") == tmp_path.resolve() / "functions/hello/index.ts"
    assert config.entrypoint("bye") == tmp_path.resolve() / "supabase/functions/bye/index.ts"
    assert config.remotes["staging"].api.max_rows == 5
    assert [rule.name for rule in config.experimental.inspect.rules] == ["first", "second"]


def test_the_configuration_cannot_be_changed(tmp_path: Path) -> None:
    config = load_config(project(tmp_path, ""))
    with pytest.raises(ValueError, match="frozen"):
        config.api.port = 1  # type: ignore[misc]


def test_seed_files_follow_the_globs(tmp_path: Path) -> None:
    text = '[db.seed]\nsql_paths = ["./seeds/b.sql", "./seeds/*.sql", "../more/*.sql", "x.sql"]'
    config = load_config(project(tmp_path, text))
    for name in ("supabase/seeds/b.sql", "supabase/seeds/a.sql", "more/c.sql"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in config.seed_files()] == ["b.sql", "a.sql", "c.sql"]


def test_no_seed_files_when_seeding_is_off(tmp_path: Path) -> None:
    config = load_config(project(tmp_path, "[db.seed]\nenabled = false"))
    (tmp_path / "supabase/seed.sql").touch()
    assert config.seed_files() == []


FILE = "supabase/config.toml"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[api]\nprot = 1",
            f'{FILE}, line 2, column 1: found unknown key "prot" in [api]; did you mean "port"?',
        ),
        (
            '[api]\n  port = "x"',
            f'{FILE}, line 2, column 3: api.port is "x" (a string); expected a whole number',
        ),
        (
            "[api]\nport = 70000",
            (
                f"{FILE}, line 2, column 1: api.port is 70000 (a whole number); "
                "expected less than or equal to 65535"
            ),
        ),
        (
            "[api]\nenabled = 1",
            f"{FILE}, line 2, column 1: api.enabled is 1 (a whole number); expected true or false",
        ),
        (
            '[api]\nschemas = "public"',
            f'{FILE}, line 2, column 1: api.schemas is "public" (a string); expected a list',
        ),
        (
            '[api]\nschemas = [\n  "public",\n  7,\n]',
            f"{FILE}, line 4, column 3: api.schemas[1] is 7 (a whole number); expected a string",
        ),
        (
            "api = 1",
            f"{FILE}, line 1, column 1: api is 1 (a whole number); expected a table",
        ),
        (
            '[db.pooler]\npool_mode = "none"',
            (
                f'{FILE}, line 2, column 1: db.pooler.pool_mode is "none" (a string); '
                "expected one of 'transaction' or 'session'"
            ),
        ),
        (
            '[db]\nhealth_timeout = "2 minutes"',
            (
                f'{FILE}, line 2, column 1: db.health_timeout is "2 minutes" (a string); '
                'expected a duration such as "30s", "2m" or "1h30m"'
            ),
        ),
        (
            '[storage]\nfile_size_limit = "big"',
            (
                f'{FILE}, line 2, column 1: storage.file_size_limit is "big" (a string); '
                'expected a size such as "500KB" or "50MiB"'
            ),
        ),
        (
            "[functions.hello]\nverify_jtw = true",
            (
                f'{FILE}, line 2, column 1: found unknown key "verify_jtw" in [functions.hello]; '
                'did you mean "verify_jwt"?'
            ),
        ),
        (
            "\n[strage]\nenabled = true",
            (
                f'{FILE}, line 2, column 1: found unknown key "strage" at the top level; '
                'did you mean "storage"?'
            ),
        ),
        (
            "api = { port = 1, tls = { enabeld = true } }",
            (
                f'{FILE}, line 1, column 27: found unknown key "enabeld" in [api.tls]; '
                'did you mean "enabled"?'
            ),
        ),
        (
            "[[experimental.inspect.rules]]\n[[experimental.inspect.rules]]\nnme = 'x'",
            (
                f'{FILE}, line 3, column 1: found unknown key "nme" in '
                '[experimental.inspect.rules[1]]; did you mean "name"?'
            ),
        ),
        (
            "[api.tls]\nzzz = 1",
            (
                f'{FILE}, line 2, column 1: found unknown key "zzz" in [api.tls]; '
                "expected one of: cert_path, enabled, key_path"
            ),
        ),
        (
            "[auth]\njwt_secret = 5",
            (
                f"{FILE}, line 2, column 1: auth.jwt_secret is a whole number (not shown); "
                "expected a string"
            ),
        ),
        (
            "[auth.email.smtp]\npas = 5",
            (
                f'{FILE}, line 2, column 1: found unknown key "pas" in [auth.email.smtp]; '
                'did you mean "pass"?'
            ),
        ),
        (
            "[realtime]\nip_version = 'IPv5'",
            (
                f'{FILE}, line 2, column 1: realtime.ip_version is "IPv5" (a string); '
                "expected one of 'IPv4' or 'IPv6'"
            ),
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, expected: str) -> None:
    assert problem(tmp_path, text) == expected


def test_every_mistake_is_reported_in_the_order_of_the_file(tmp_path: Path) -> None:
    found = problem(tmp_path, '[db]\nport = "x"\n[api]\nprot = 1\nmax_rows = -1\n').splitlines()
    assert [line.split(":")[0] for line in found] == [
        f"{FILE}, line 2, column 1",
        f"{FILE}, line 4, column 1",
        f"{FILE}, line 5, column 1",
    ]


def test_broken_toml_names_its_line(tmp_path: Path) -> None:
    found = problem(tmp_path, "[api]\nport = \n")
    assert found == f"{FILE}, line 2, column 8: not valid TOML: invalid value"


def test_broken_toml_at_the_end_names_the_last_line(tmp_path: Path) -> None:
    found = problem(tmp_path, '[api]\nschemas = ["a",')
    assert found.startswith(f"{FILE}, line 2, column 16: not valid TOML: ")


def test_a_key_given_twice_is_broken_toml(tmp_path: Path) -> None:
    assert "line 3" in problem(tmp_path, "[api]\nport = 1\nport = 2\n")


def test_bytes_that_are_no_text_name_their_line(tmp_path: Path) -> None:
    found = problem(tmp_path, b'[api]\nexternal_url = "\xff"')
    assert found == f"{FILE}, line 2, column 17: found a byte that is not UTF-8"


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path)
    assert f"{tmp_path}/supabase/config.toml: there is no such file" in str(caught.value)
    assert "supabase init" in str(caught.value)


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    config = load_config(project(tmp_path, b"\xef\xbb\xbf[api]\r\nport = 7\r\n"))
    assert config.api.port == 7


class TestVariables:
    def test_come_from_the_project_and_take_the_kind_of_their_key(self, tmp_path: Path) -> None:
        text = """
[api]
port = "env(PARLEY_TEST_PORT)"
enabled = "env(PARLEY_TEST_ENABLED)"
schemas = "env(PARLEY_TEST_SCHEMAS)"
[auth]
jwt_secret = "env(PARLEY_TEST_SECRET)"
"""
        env = (
            "PARLEY_TEST_PORT=7000\nPARLEY_TEST_ENABLED=false\n"
            "PARLEY_TEST_SCHEMAS=public,shop\nPARLEY_TEST_SECRET=12345\n"
        )
        config = load_config(project(tmp_path, text, env))
        assert config.api.port == 7000
        assert config.api.enabled is False
        assert config.api.schemas == ("public", "shop")
        assert config.auth.jwt_secret == "12345"

    def test_of_the_environment_win(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PARLEY_TEST_ONE", "http://one")
        text = '[auth]\nsite_url = "env(PARLEY_TEST_ONE)"'
        config = load_config(project(tmp_path, text, "PARLEY_TEST_ONE=http://two\n"))
        assert config.auth.site_url == "http://one"

    def test_of_the_local_file_win_over_the_shared_one(self, tmp_path: Path) -> None:
        text = '[auth]\nsite_url = "env(PARLEY_TEST_ONE)"'
        project(tmp_path, text, "PARLEY_TEST_ONE=http://shared\n")
        (tmp_path / "supabase/.env.local").write_text("PARLEY_TEST_ONE=http://local\n")
        (tmp_path / ".env.local").write_text("PARLEY_TEST_ONE=http://outer\n")
        assert load_config(tmp_path).auth.site_url == "http://local"

    def test_that_are_not_set_are_named_where_the_value_is_used(self, tmp_path: Path) -> None:
        assert problem(tmp_path, '[auth]\njwt_secret = "env(PARLEY_TEST_ONE)"') == (
            f"{FILE}, line 2, column 1: auth.jwt_secret is env(PARLEY_TEST_ONE), but the variable "
            "PARLEY_TEST_ONE is not set; expected it in the environment or in supabase/.env"
        )

    @pytest.mark.parametrize(
        "text",
        [
            '[studio]\nopenai_api_key = "env(PARLEY_TEST_ONE)"',
            '[experimental]\ns3_host = "env(PARLEY_TEST_ONE)"',
            '[auth.hook.send_sms]\nenabled = false\nuri = "env(PARLEY_TEST_ONE)"',
            '[storage]\nenabled = false\n[storage.buckets.a]\nobjects_path = "env(X_Y_Z)"',
            '[auth.external.apple]\nenabled = true\nsecret = "env(PARLEY_TEST_ONE)"',
        ],
    )
    def test_that_are_not_set_do_not_matter_where_nothing_uses_them(
        self, tmp_path: Path, text: str
    ) -> None:
        load_config(project(tmp_path, text))

    def test_that_are_not_set_leave_a_secret_out(self, tmp_path: Path) -> None:
        text = '[edge_runtime.secrets]\nA = "env(PARLEY_TEST_ONE)"\nB = "b"'
        assert load_config(project(tmp_path, text)).edge_runtime.secrets == {"B": "b"}

    def test_are_not_shown_when_they_do_not_fit(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PARLEY_TEST_ONE", "hush")
        found = problem(tmp_path, '[api]\nport = "env(PARLEY_TEST_ONE)"')
        assert found == (
            f"{FILE}, line 2, column 1: api.port is the value of the environment variable "
            "PARLEY_TEST_ONE; expected a whole number"
        )

    def test_stand_for_a_whole_value_only(self, tmp_path: Path) -> None:
        text = '[auth]\nsite_url = "http://env(PARLEY_TEST_ONE)"'
        assert load_config(project(tmp_path, text)).auth.site_url == "http://env(PARLEY_TEST_ONE)"


def test_places_of_keys_in_every_notation() -> None:
    text = (
        '''# first
a.b = """x
y = 1
""" # [no.table]
"c d".e = [ # list
  { f = 1, g = { h = 'i # j' } },
  "]",
]
[k."l.m"] # table
n = 2020-01-01T00:00:00Z
[[o]]
p = 1
[[o]]
p = \'\'\'it's'''
        "'''\n[o.q]\nr = 1\n"
    )
    places = key_places(text)
    assert places["a",] == places["a", "b"] == Place(2, 1)
    assert places["c d", "e"] == Place(5, 1)
    assert places["c d", "e", 0, "f"] == Place(6, 5)
    assert places["c d", "e", 0, "g", "h"] == Place(6, 18)
    assert places["c d", "e", 1] == Place(7, 3)
    assert places["k", "l.m"] == Place(9, 1)
    assert places["k", "l.m", "n"] == Place(10, 1)
    assert places["o", 0, "p"] == Place(12, 1)
    assert places["o", 1] == Place(13, 1)
    assert places["o", 1, "p"] == Place(14, 1)
    assert places["o", 1, "q", "r"] == Place(16, 1)
    assert ("y",) not in places
