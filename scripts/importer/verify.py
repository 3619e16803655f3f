"""Reconciles: reads the source anew, and compares with what is here, row by row."""

from __future__ import annotations

from dataclasses import dataclass, field

import psycopg

from . import plan as plans
from . import staging
from .errors import ImportFailed
from .plan import Plan
from .source import read_source


@dataclass(frozen=True)
class Report:
    """What was compared, and what is not as in the source."""

    conversations: int
    messages: int
    authors: int
    left_out: dict[str, int]
    problems: list[str] = field(default_factory=list)


def verify(connection: psycopg.Connection, plan: Plan) -> Report:
    """Compares; nothing is changed."""
    source = read_source(plan["source"])
    options = plans.planned_options(plan)
    problems: list[str] = []
    with staging.snapshot(connection, force_rollback=True):
        staging.lock(connection, only_transaction=True)
        row = connection.execute("select is_applied from parley_import.run").fetchone()
        if row != (True,):
            problems.append("the import is not complete: run apply again")
        staged = staging.stage(connection, source, options)
        try:
            plans.check_unchanged(plan, source, staged)
        except ImportFailed as failure:
            problems += [f"the source is not as planned: {detail}" for detail in failure.details]
        problems += [
            f"{conversation}: {number} {problem} ({examples}{', ...' if number > 3 else ''})"
            for conversation, problem, number, examples in connection.execute(
                "select * from parley_import.compare()"
            )
        ]
        counted = connection.execute(
            "select (select count(*) from parley_import.rooms),"
            " (select count(*) from parley_import.load),"
            " (select count(distinct sender_id) from parley_import.load)"
        ).fetchone()
        assert counted is not None
        left_out = connection.execute(
            "select kind || ' (' || place || ')', count(*) from parley_import.conflicts"
            " where is_left_out group by kind, place order by 1"
        ).fetchall()
    conversations, messages, authors = counted
    return Report(conversations, messages, authors, dict(left_out), problems)


def current_plan(connection: psycopg.Connection) -> Plan:
    """The plan of the import that is under way."""
    if not staging.has_record(connection):
        raise ImportFailed("No import is under way in this database.", "Begin with plan.")
    row = connection.execute("select plan from parley_import.run").fetchone()
    assert row is not None
    plan: Plan = row[0]
    return plan
