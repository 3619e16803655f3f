"""Where the configuration of a client comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from parley import AsyncParley, ConfigurationError
from parley._config import load_config

VARIABLES = ("SUPABASE_URL", "SUPABASE_PUBLISHABLE_KEY", "SUPABASE_ANON_KEY")


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_arguments_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_URL", "https://environment.example")
    monkeypatch.setenv("SUPABASE_ANON_KEY", "from the environment")
    config = load_config("https://argument.example/", "key")
    assert (config.url, config.key) == ("https://argument.example", "key")


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, nowhere: Path) -> None:
    (nowhere / ".env").write_text(
        "SUPABASE_URL=https://file.example\nSUPABASE_PUBLISHABLE_KEY=from the file\n"
    )
    monkeypatch.setenv("SUPABASE_URL", "https://environment.example")
    config = load_config(None, None)
    assert (config.url, config.key) == ("https://environment.example", "from the file")


def test_the_publishable_key_wins_over_the_anon_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_ANON_KEY", "anon")
    monkeypatch.setenv("SUPABASE_PUBLISHABLE_KEY", "publishable")
    assert load_config("https://example.com", None).key == "publishable"


@pytest.mark.parametrize(
    ("url", "key", "named"),
    [
        (None, "key", "SUPABASE_URL"),
        ("https://example.com", None, "SUPABASE_PUBLISHABLE_KEY"),
        ("example.com", "key", "SUPABASE_URL"),
    ],
)
def test_what_is_missing_is_named(url: str | None, key: str | None, named: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        AsyncParley(url, key)
    assert named in str(raised.value)
    assert raised.value.hint


def test_the_key_is_not_shown() -> None:
    assert "sesame" not in repr(load_config("https://example.com", "sesame"))


def test_a_negative_time_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        AsyncParley("https://example.com", "key", timeout=0)
