"""Plays the isolation attacks of ``supabase/verify/attacks`` and judges what came of them.

Everybody in a small world, which the SQL makes for itself, tries everything. What each attempt came
to on a fresh install is in ``behaviour.json``; whoever gets further has attacked with success.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

FOLDER = Path(__file__).resolve().parents[1] / "supabase" / "verify"
REFUSED = "no permission"
"""What is not in behaviour.json."""

_WALLS = {REFUSED: 0, "refused by policy": 1}

Behaviour = dict[str, dict[str, str]]
"""Results by attack and role."""


@dataclass(frozen=True)
class Attempt:
    """A row of ``pg_temp.verify_results``: somebody tried something, and what came of it."""

    role: str
    verb: str
    object: str
    detail: str | None
    result: str
    gain: int
    breach: str | None
    statement: str

    @property
    def name(self) -> str:
        """What was tried; with the role, one entry of behaviour.json."""
        return f"{self.verb} {self.object}" + (f", {self.detail}" if self.detail else "")


@dataclass(frozen=True)
class Attack:
    """An attempt that succeeded: it got more than ``expected``, as ``statement`` shows."""

    role: str
    verb: str
    object: str
    name: str
    expected: str
    result: str
    statement: str


def play(
    connection: psycopg.Connection,
    parts: Iterable[str] = ("verify_all()",),
    skipped: Iterable[tuple[str, str]] = (),
) -> Iterator[tuple[list[Attempt], list[str]]]:
    """Makes the world, plays each part and gives its attempts and problems; rolls back at the end.

    Stops early when the caller does. ``skipped``: roles, and the names of what they do not try.
    """
    with connection.transaction(force_rollback=True):
        for path in sorted((FOLDER / "attacks").glob("*.sql")):
            connection.execute(path.read_bytes())
        with connection.cursor() as cursor:
            cursor.executemany("insert into pg_temp.verify_skipped values (%s, %s)", skipped)
        connection.execute("select pg_temp.verify_make_world()")
        for part in parts:
            connection.execute(f"select pg_temp.{part}".encode())
            attempts = connection.execute(
                "select actor, verb, object, detail, outcome, gain, breach, statement"
                " from pg_temp.verify_results"
            ).fetchall()
            problems = connection.execute("select problem from pg_temp.verify_problems").fetchall()
            yield [Attempt(*row) for row in attempts], [problem for (problem,) in problems]
            connection.execute("truncate pg_temp.verify_results, pg_temp.verify_problems")


def behaviour_of(attempts: Iterable[Attempt]) -> Behaviour:
    """The results, by attack and role; several of one are joined."""
    results: dict[tuple[str, str], set[str]] = defaultdict(set)
    for attempt in attempts:
        results[attempt.name, attempt.role].add(attempt.result)
    behaviour: Behaviour = defaultdict(dict)
    for (name, role), given in sorted(results.items()):
        behaviour[name][role] = " / ".join(sorted(given))
    return dict(behaviour)


def succeeded(attempts: Iterable[Attempt], expected: Behaviour) -> list[Attack]:
    """The attempts that got further than on a fresh install, or out of bounds anywhere."""
    attacks: dict[tuple[str, str], Attack] = {}
    for attempt in attempts:
        wanted = expected.get(attempt.name, {}).get(attempt.role, REFUSED)
        if attempt.breach or _got_further(attempt, wanted):
            result = f"{attempt.breach}: {attempt.result}" if attempt.breach else attempt.result
            attacks.setdefault(
                (attempt.name, attempt.role),
                Attack(
                    attempt.role,
                    attempt.verb,
                    attempt.object,
                    attempt.name,
                    wanted,
                    result,
                    attempt.statement,
                ),
            )
    return list(attacks.values())


def _got_further(attempt: Attempt, wanted: str) -> bool:
    if attempt.result in wanted.split(" / "):
        return False
    # Grants and policies are walls too: past them, only the next one is left.
    if wanted in _WALLS:
        return attempt.gain > _WALLS[wanted]
    return attempt.gain == 3 and _is_more(attempt.result, wanted)


def _is_more(result: str, wanted: str) -> bool:
    """Whether something is in a result that was not wanted; or is, but more often."""
    had = _items(wanted)
    return any(number > had.get(item, 0) for item, number in _items(result).items())


def _items(result: str) -> dict[str, int]:
    items = {}
    for part in re.split(r"[;,/] | / ", re.sub(r"^(sees|changed) ", "", result)):
        item, _, number = part.partition(" x")
        items[item] = int(number) if number.isdigit() else 1
    return items


def play_attacks(conninfo: str) -> list[Attack]:
    """Plays the attacks in a database and returns those that succeeded: none, when it is sound.

    ``conninfo`` is a URL or keywords for libpq, of role postgres; it need be no superuser. All is
    rolled back, nothing is sent and no lock is held on what was there before; one connection, about
    three seconds. An ``Attack`` says who (``role``), ``verb``, ``object`` and ``name``, what was
    ``expected``, the ``result`` and the ``statement`` to try oneself.

    Quicker than ``scripts/verify``: what somebody may do with a function anyhow is not tried, nor
    the service role, nor several messages or columns of which all come to the same. A world
    that cannot be made, because a weakness refuses what should be granted, is no attack: what can
    be is played, or ``psycopg.Error`` raised. ``scripts/verify`` calls that a difference.
    """
    expected = golden()
    with psycopg.connect(conninfo, autocommit=True) as connection:
        ((attempts, _),) = play(connection, skipped=_not_worth_trying(expected))
    return succeeded(attempts, expected)


def _not_worth_trying(expected: Behaviour) -> Iterator[tuple[str, str]]:
    tried = set()
    for name, results in expected.items():
        # Of messages of the group, and of columns, one for all that come to the same.
        alike = re.sub(r" at group \w+$|(?<=^update )(\S+), \w+$", r" \1", name)
        for role, result in results.items():
            does_it_anyhow = name.startswith("call ") and re.search(r" [+~-]\d", result)
            if role == "service" or does_it_anyhow or (alike, role, result) in tried:
                yield role, name
            elif alike != name:
                tried.add((alike, role, result))


def golden() -> Behaviour:
    """What behaviour.json says."""
    packed: dict[str, dict[str, str]] = json.loads(
        (FOLDER / "behaviour.json").read_text(encoding="utf-8")
    )
    del packed["generated"]
    return {
        name: {role: result for result, roles in results.items() for role in roles.split()}
        for name, results in packed.items()
    }


def pack(behaviour: Behaviour) -> dict[str, dict[str, str]]:
    """For reading: the roles of each result of each attack, without those refused."""
    packed: dict[str, dict[str, str]] = {}
    for name, results in sorted(behaviour.items()):
        roles: dict[str, list[str]] = defaultdict(list)
        for role, result in results.items():
            if result != REFUSED:
                roles[result].append(role)
        if roles:
            packed[name] = {result: " ".join(names) for result, names in sorted(roles.items())}
    return packed
