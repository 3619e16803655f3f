"""What the README shows, works."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from support.stacks import ROOT


def printed(page: str, language: str) -> str:
    """The one example in ``language`` of a page."""
    text = (ROOT / page).read_text()
    (code,) = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return code


def output(stack, *command: str) -> str:
    """What an example prints, run with the environment that the pages promise."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env={
            **os.environ,
            "SUPABASE_URL": stack.api_url,
            "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key,
        },
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_runs_as_printed(stack):
    code = printed("README.md", "python")
    assert len(code.strip().splitlines()) <= 15
    assert "body='hello'" in output(stack, sys.executable, "-c", code)


def test_official_clients_have_the_same_conversation(stack):
    page = "docs/how-to/official-clients.md"
    python = output(stack, sys.executable, "-c", printed(page, "python"))
    assert python == "hello\n"
    script = printed(page, "js")
    assert (
        output(stack, "node", "--experimental-websocket", "--input-type=module", "-e", script)
        == "hello\n"
    )


def test_every_link_in_the_docs_leads_somewhere():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), (page, target)


def test_every_table_view_and_function_of_the_api_is_commented(database):
    missing = database.owner.execute(
        "select c.relname from pg_class as c where c.relnamespace = 'chat'::regnamespace "
        "and c.relkind in ('r', 'v') and obj_description(c.oid, 'pg_class') is null "
        "union all "
        "select p.proname from pg_proc as p where p.pronamespace = 'chat'::regnamespace "
        "and obj_description(p.oid, 'pg_proc') is null"
    ).fetchall()
    assert missing == []
