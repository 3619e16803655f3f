"""Each function that writes, called twice: what docs/reference/idempotency.md says happens."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from parley_stack.testing.databases import act_as
from support.matrix import Attempt, OverSQL, read_attempts
from support.matrix_world import ROLES, database_role, user_id
from support.stacks import ROOT

ATTEMPTS = read_attempts(Path(__file__).with_name("attempts.toml"))
PAGE = (ROOT / "docs/reference/idempotency.md").read_text().partition("## Every call, twice")[2]
CALLS = [
    (function, bool(with_id), code, changes)
    for called, returned, changes in re.findall(r"^\| (`.*?) \| (.*?) \| (.*?) \|$", PAGE, re.M)
    for function, with_id in re.findall(r"`(\w+)`( with an id)?", called)
    for code in ["".join(re.findall(r"`(\w+)`", returned))]
]


def call(over: OverSQL, attempt: Attempt, role: str) -> str:
    """Calls it as somebody; the code of the refusal, if it was one."""
    connection = over._connection
    try:
        with connection.transaction():
            act_as(connection, user_id(role), role=database_role(role))
            over._try(attempt, attempt.filled(over.world, role))
    except psycopg.Error as error:
        return error.diag.message_detail or str(error)
    finally:
        connection.execute("reset role")
    return ""


@pytest.mark.parametrize(("function", "with_id", "code", "changes"), CALLS)
def test_called_again(world, function, with_id, code, changes):
    attempt = ATTEMPTS[f"{function}()"]
    if with_id:
        attempt = replace(attempt, content={**attempt.content, "id": "{new}"})
    over = OverSQL(world)
    try:
        # The first for whom the call does something.
        for role in ROLES:
            call(over, attempt, role)
            first = over.state()
            if first != world.before:
                break
        else:
            # Nobody here has been banned for a time that is over.
            assert function == "return_after_ban"
            role = "owner"

        assert call(over, attempt, role) == code
        assert (over.state() == first) == (changes == "nothing")
    finally:
        over.close()


def test_every_function_that_writes_is_in_the_table(world):
    writes = world.owner.execute(
        "select proname from pg_proc where pronamespace = 'chat'::regnamespace "
        "and provolatile = 'v'"
    ).fetchall()
    assert {name for (name,) in writes} == {function for function, *_ in CALLS}
