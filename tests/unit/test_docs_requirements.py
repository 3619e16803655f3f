"""The table of requirements names what there is."""

from __future__ import annotations

import re

import pytest

from support.stacks import ROOT

PAGE = (ROOT / "docs/explanation/requirements.md").read_text()
MIGRATIONS = "\n".join(
    path.read_text() for path in sorted((ROOT / "supabase/migrations").glob("*.sql"))
)
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("|") and not re.match(r"\| (Asked for|Flaw|---) ", line)
]


def exists(name: str) -> bool:
    """Whether there is such a table, function, type, policy, constraint, index, file or command."""
    if name.startswith("supabase db "):
        return True
    if name.startswith('"'):
        return f"create policy {name}" in MIGRATIONS
    if re.match(r"chat(_private)?\.", name):
        return bool(
            re.search(rf"create (table|view|function|type) {re.escape(name)}\b", MIGRATIONS)
        )
    if "/" in name:
        return (ROOT / name).exists()
    if name.endswith("_pkey"):
        return f"create table chat.{name.removesuffix('_pkey')} (" in MIGRATIONS
    return bool(re.search(rf"\b(constraint|index) {name}\b", MIGRATIONS))


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_what_is_named_is_there(row):
    _, objects, test = row
    named = re.findall(r"`([^`]+)`", objects)
    assert named or objects.startswith("planned")
    assert [name for name in named if not exists(name)] == []

    if test:
        path, _, function = test.strip("`").partition("::")
        assert re.search(rf"def {function}\(", (ROOT / path).read_text()), test
    else:
        assert objects.startswith("planned"), "done, and without a test"


def test_every_flaw_that_is_tried_is_listed():
    tried = (ROOT / "tests/rls/test_published_flaws.py").read_text()
    listed = set(re.findall(r"test_published_flaws\.py::(test_\w+)", PAGE))
    # The last one is the other side of a flaw: what a sender may change.
    assert set(re.findall(r"^def (test_\w+)", tried, re.MULTILINE)) - listed == {
        "test_an_edit_changes_the_text_and_nothing_that_was_fixed"
    }
