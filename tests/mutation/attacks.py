"""The attacks of ``scripts/verify``, played on mutants: all in one transaction of one session."""

from __future__ import annotations

from collections.abc import Iterable

import isolation
import psycopg

from .catalogue import Mutant
from .reach import Reach

_PLAYS_PER_WORLD = 60
"""Undone attempts leave dead rows behind, which slow the next."""


class Attacks:
    """A world to play in; mutants come and go by savepoint."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._expected: dict[str, isolation.Behaviour] = {}
        self._connection: psycopg.Connection | None = None
        self._plays = 0

    def kill(self, mutant: Mutant, parts: Iterable[str]) -> str | None:
        """The part of the play that comes out otherwise than without the mutant."""
        connection = self._world()
        for part in parts:
            if part not in self._expected:
                with connection.transaction(force_rollback=True):
                    self._expected[part] = _play(connection, part)
            try:
                with connection.transaction(force_rollback=True):
                    connection.execute(mutant.change.encode())
                    found = _play(connection, part)
            except psycopg.Error as error:
                return f"{part}: {str(error).splitlines()[0]}"
            if found != self._expected[part]:
                return part
        return None

    def close(self) -> None:
        """Ends the world."""
        if self._connection:
            self._connection.close()
        self._connection = None

    def _world(self) -> psycopg.Connection:
        self._plays += 1
        if self._plays > _PLAYS_PER_WORLD:
            self.close()
        if self._connection is None:
            self._plays = 0
            self._connection = connection = psycopg.connect(self._conninfo)
            for path in sorted((isolation.FOLDER / "attacks").glob("*.sql")):
                connection.execute(path.read_bytes())
            connection.execute("select pg_temp.verify_make_world()")
        return self._connection


def _play(connection: psycopg.Connection, part: str) -> isolation.Behaviour:
    connection.execute(f"select pg_temp.{part}".encode())
    attempts = connection.execute(
        "select actor, verb, object, detail, outcome, gain, breach, statement"
        " from pg_temp.verify_results"
    ).fetchall()
    return isolation.behaviour_of(isolation.Attempt(*row) for row in attempts)


def near_parts(mutant: Mutant, reach: Reach) -> list[str]:
    """What asks the object itself."""
    subject = mutant.subject
    if subject in reach.functions:
        schema, name = subject.split(".")
        return [
            f"verify_calls('^{name}$')" if schema == "chat" else f"verify_private_calls('^{name}$')"
        ]
    if subject == "storage.objects":
        return ["verify_storage()"]
    if subject == "realtime.messages":
        return ["verify_realtime()"]
    return [f"verify_{verb}('^{subject}$')" for verb in ("reads", "inserts", "updates", "deletes")]


def far_parts(mutant: Mutant, reach: Reach) -> list[str]:
    """What asks for something that depends on the object, nearest first, not all there is."""
    if mutant.is_behind_schema:
        return []
    near, found = near_parts(mutant, reach), []
    used_by = reach.of(mutant.subject)
    functions, relations = reach.exposed(used_by)
    if functions:
        found.append(f"verify_calls('^({'|'.join(functions[:4])})$')")
    for platform, part in (
        ("storage.objects", "verify_storage()"),
        ("realtime.messages", "verify_realtime()"),
    ):
        if platform in used_by[:8] and part not in near:
            found.append(part)
    others = [name for name in relations if name != mutant.subject]
    if others:
        found.append(f"verify_reads('^({'|'.join(others[:4])})$')")
    if mutant.subject in reach.functions:
        found += [
            f"verify_{verb}('^{name}$')" for name in others[:2] for verb in ("updates", "inserts")
        ]
    return found
