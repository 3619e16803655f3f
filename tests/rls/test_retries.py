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
    (function, given, code, changes)
    for called, returned, changes in re.findall(r"^\| (`.*?) \| (.*?) \| (.*?) \|$", PAGE, re.M)
    for function, given in re.findall(r"`(\w+)`(?: with an? (id|key))?", called)
    for code in ["".join(re.findall(r"`(\w+)`", returned))]
]

LATER = (
    "create or replace function chat_private.now() returns timestamptz language plpgsql stable "
    "as $$begin return pg_catalog.now() + interval '1 second'; end;$$"
)


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


@pytest.mark.parametrize(("function", "given", "code", "changes"), CALLS)
def test_called_again(world, function, given, code, changes):
    attempt = ATTEMPTS[f"{function}()"]
    if given:
        attempt = replace(attempt, content={**attempt.content, given: "{new}"})
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

        # All of this is one transaction, for which time stands still.
        over._connection.execute(LATER)
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
