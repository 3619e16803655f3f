"""Work that is divided by conversation, a session a share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg

from . import staging
from .errors import ImportFailed

# Two sessions keep two cores busy, and leave the rest of a server to who uses it meanwhile.
COUNT = 2

Work = Callable[[psycopg.Connection, int, threading.Event], None]


def run(connection: psycopg.Connection, work: Work) -> None:
    """Calls ``work(session, shard, is_over)`` for each shard, all at once.

    When one fails, ``is_over`` says so to the others: what they have begun they end. Then the
    failure is raised; of several the first.
    """
    is_over = threading.Event()
    failures: list[psycopg.Error] = []

    def one(shard: int) -> None:
        try:
            with psycopg.connect(
                dsn_of(connection), autocommit=True, application_name=staging.WORKER
            ) as worker:
                worker.execute("set client_connection_check_interval = '500ms'")
                work(worker, shard, is_over)
        except psycopg.Error as error:
            failures.append(error)
            is_over.set()

    with ThreadPoolExecutor(COUNT) as pool:
        try:
            for each in [pool.submit(one, shard) for shard in range(COUNT)]:
                each.result()
        finally:
            # Interrupted: what is begun ends, and nothing more begins.
            is_over.set()
    if failures:
        _raise(failures[0])


def _raise(error: psycopg.Error) -> None:
    if isinstance(error, psycopg.OperationalError):
        raise error
    said = error.diag
    raise ImportFailed(
        f"The database refused: {said.message_primary or error}",
        "What was done before is kept: mend this and run the same again.",
        [detail for detail in (said.message_detail, said.message_hint) if detail],
    ) from error


def dsn_of(connection: psycopg.Connection) -> str:
    """How to connect once more to the same database."""
    return psycopg.conninfo.make_conninfo(
        **connection.info.get_parameters(), password=connection.info.password
    )
