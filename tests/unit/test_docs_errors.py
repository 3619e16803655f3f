"""The table of errors says what the migrations do."""

from __future__ import annotations

import re

from support.stacks import ROOT

MIGRATIONS = "\n".join(
    path.read_text() for path in sorted((ROOT / "supabase/migrations").glob("*.sql"))
)
PAGE = (ROOT / "docs/reference/errors.md").read_text()


def test_codes_and_sqlstates_are_those_of_raise_error():
    raised = dict(re.findall(r"^\s+'([a-z_]+)', '([0-9A-Z]{5})',$", MIGRATIONS, re.MULTILINE))
    documented = dict(re.findall(r"^\| `([a-z_]+)` \| ([0-9A-Z]{5}) \|", PAGE, re.MULTILINE))
    assert raised
    assert documented == raised


def test_every_code_used_is_known():
    used = set(re.findall(r"raise_error\('([a-z_]+)'\)", MIGRATIONS))
    assert used == set(re.findall(r"^\| `([a-z_]+)` \| [0-9A-Z]{5} \|", PAGE, re.MULTILINE))


def test_documented_constraints_exist():
    for name in re.findall(r"^\| `(\w+_check)` \|", PAGE, re.MULTILINE):
        assert f"constraint {name} check" in MIGRATIONS
