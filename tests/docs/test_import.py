"""The import that docs/how-to/import.md walks through, as printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from importer.options import AUTOMATIC, CHOICES

from imports.world import make_world
from support.stacks import ROOT

PAGE = (ROOT / "docs" / "how-to" / "import.md").read_text()


def test_the_walk_works_as_printed(database, tmp_path):
    there = make_world(database, "direct_messages", 60, dirt=False, folder=tmp_path)
    # As on the page: three people, of whom one is no user here.
    there.owner.execute("delete from users where id > 3")
    there.owner.execute("delete from direct_messages where greatest(sender_id, recipient_id) > 3")
    there.owner.execute("delete from auth.users where email = 'Person3@example.com'")
    before = there.rows()
    environment = {
        **os.environ,
        "DB_URL": there.database.url,
        "PYTHONPATH": str(ROOT / "scripts"),
    }
    outputs = []
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL):
        command = block.replace("./scripts/import", f"{sys.executable} -m importer")
        if " finish" in command:
            # New messages meanwhile; and the way back is walked first.
            there.owner.execute(
                "insert into direct_messages (id, sender_id, recipient_id, content)"
                " values (1001, 1, 2, 'meanwhile')"
            )
        if " rollback" in command:
            continue
        done = subprocess.run(
            ["bash", "-c", command],
            capture_output=True,
            text=True,
            env=environment,
            cwd=tmp_path,
            check=False,
        )
        outputs.append(done.stdout)
        undecided = "UNDECIDED" in done.stdout
        assert done.returncode == (1 if undecided else 0), done.stdout + done.stderr
        if found := re.search(r"--approve (\w+)", done.stdout):
            environment["CHECKSUM"] = found[1]
    assert "missing_user (people): 1; UNDECIDED" in outputs[0]
    assert "Everything is there." in outputs[-2]
    assert "1 messages had come since." in outputs[-1]
    assert there.one("select to_regnamespace('parley_import')") is None
    assert there.one("select count(*) from chat.messages") == there.one(
        "select count(*) from direct_messages"
    )
    assert there.rows()["auth.users"] > before["auth.users"]


@pytest.mark.parametrize("kind", [*CHOICES, *AUTOMATIC])
def test_every_conflict_is_explained(kind):
    assert f"`{kind}`" in PAGE
    for choice in CHOICES.get(kind, {}):
        row = next(line for line in PAGE.splitlines() if f"| `{kind}` |" in line)
        following = PAGE.partition(row)[2].splitlines()[1] if choice not in row else row
        assert f"`{choice}`" in following
