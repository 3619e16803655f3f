"""Doing things at the same moment, and waiting for locks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import psycopg

from .databases import Database


def together(count: int, action: Callable[[int], object]) -> list[object]:
    """Runs ``action(0)`` to ``action(count - 1)`` at once; their results."""
    barrier = threading.Barrier(count)

    def start(number):
        barrier.wait(30)
        return action(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(start, range(count)))


Call = tuple[str, str, tuple[object, ...]]


def at_once(database: Database, calls: list[Call]) -> list[object]:
    """Runs (user, statement, values) at once: of each the first column, or the error's code."""
    with ExitStack() as stack:
        connections = [stack.enter_context(database.acting(user)) for user, _, _ in calls]

        def call(number):
            try:
                return connections[number].execute(*calls[number][1:]).fetchone()[0]
            except psycopg.Error as error:
                return error.diag.message_detail or error.sqlstate

        return together(len(calls), call)


def is_waiting(database: Database, connection: psycopg.Connection) -> bool:
    """Whether what a connection runs waits for another's lock."""
    return database.owner.execute(
        "select wait_event_type = 'Lock' from pg_stat_activity where pid = %s",
        (connection.info.backend_pid,),
    ).fetchone() == (True,)
