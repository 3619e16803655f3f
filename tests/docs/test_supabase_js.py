"""The page for supabase-js runs as printed, in Node; and the types are the database's."""

from __future__ import annotations

import os
import re
import subprocess

import database_types

from support.stacks import ROOT, Stack

PAGE = ROOT / "docs/how-to/supabase-js.md"
ASSERTING = """
console.assert = (condition, ...more) => {
  if (!condition) throw new Error(`not so ${more}`)
}
"""


def test_the_ten_tasks_run_as_printed(stack: Stack) -> None:
    text = PAGE.read_text()
    assert [int(number) for number in re.findall(r"^## (\d+)\.", text, re.MULTILINE)] == [
        *range(1, 11)
    ]
    code = "\n".join(re.findall(r"```js\n(.*?)```", text, re.DOTALL))
    done = subprocess.run(
        [
            "node",
            "--no-warnings",
            "--experimental-websocket",  # Node 20 has one, but hides it
            "--input-type=module",
            "--eval",
            ASSERTING + code,
        ],
        cwd=ROOT,  # where node_modules is
        capture_output=True,
        text=True,
        timeout=60,
        env={
            **os.environ,
            "SUPABASE_URL": stack.api_url,
            "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key,
        },
    )
    assert done.returncode == 0, done.stderr


def test_the_types_for_typescript_are_those_of_the_database(stack: Stack) -> None:
    assert database_types.PAGE.read_text() == database_types.generate(stack.db_url)
