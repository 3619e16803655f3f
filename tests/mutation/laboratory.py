"""Makes mutants where tests look, and asks attacks and tests for one that notices."""

from __future__ import annotations

import random
import re
import time
from collections import defaultdict
from collections.abc import Iterable
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from support.databases import conninfo
from support.stacks import Stack

from . import attacks
from .catalogue import Mutant, mutants
from .reach import Reach
from .results import Job, Result, checksum, read_killers
from .runner import Coverage, Runner

_PRISTINE = "parley_pristine"
_NEAR = 6
"""Among what depends on an object, what a test that is about it would name."""


class Laboratory:
    """One stack, on which one mutant lives at a time."""

    def __init__(
        self, stack: Stack, template: str, runner: Runner, job: Job, coverage: Coverage | None
    ) -> None:
        self._stack = stack
        self._template = template
        self._runner = runner
        self._job = job
        self._known = read_killers()
        self._killers: dict[str, list[str]] = defaultdict(list)
        self._coverage = coverage

    def __enter__(self) -> Self:
        self._admin = psycopg.connect(
            conninfo(self._stack, "supabase_admin", "postgres"), autocommit=True
        )
        self._admin.execute(_sql("alter database {} rename to {}", self._template, _PRISTINE))
        self._admin.execute(_sql("create database {} template {}", "parley_world", _PRISTINE))
        self._copy_template()
        with psycopg.connect(self._url("parley_world"), autocommit=True) as connection:
            self._mutants = mutants(connection)
            self._reach = Reach(connection)
        for mutant in self._mutants:
            self._learn(mutant, self._known.get(checksum(mutant.name)))
        self._attacks = attacks.Attacks(self._url("parley_world"))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._attacks.close()
        self._admin.close()

    @property
    def names(self) -> list[str]:
        """What all mutants are called."""
        return [mutant.name for mutant in self._mutants]

    def chosen(self) -> list[Mutant]:
        """The mutants of this job, in its order, but for those that the file has already."""
        found = [
            m
            for m in self._mutants
            if re.search(self._job.only, m.name)
            and (not self._job.is_sample or checksum(m.name) in self._known)
        ]
        random.Random(self._job.seed).shuffle(found)
        judged = {result.name for result in Result.read_all(self._job.results)}
        return [m for m in found[self._job.part :: self._job.parts] if m.name not in judged]

    def judge(self, mutant: Mutant) -> Result:
        """Looks for a killer, where one is likeliest and cheapest first."""
        began = time.monotonic()
        killer = self._known_killer(mutant) or self._killer(mutant)
        self._learn(mutant, killer)
        return Result(mutant.name, mutant.subject, killer, round(time.monotonic() - began, 2))

    def _learn(self, mutant: Mutant, killer: str | None) -> None:
        """What killed one mutant of an object may kill another."""
        for what in (mutant.subject, mutant.kind):
            known = self._killers[what]
            if killer in self._runner.items and killer not in known:
                known.append(killer)

    def _known_killer(self, mutant: Mutant) -> str | None:
        """What killed it before, if it still does."""
        killer = self._known.get(checksum(mutant.name), "")
        if killer.startswith("verify_"):
            return self._attacks.kill(mutant, [killer.split(": ")[0]])
        if killer not in self._runner.items:
            return None
        if self._has_database(killer):
            return self._killed_by(mutant, [killer])
        return self._killed_on_stack(mutant, [killer])

    def _killer(self, mutant: Mutant) -> str | None:
        killer = self._attacks.kill(mutant, attacks.near_parts(mutant, self._reach))
        if killer:
            return killer
        with_database, with_stack = self._tests(mutant)
        known = self._killers[mutant.kind][:3] + self._killers[mutant.subject][:6]
        first = [t for t in dict.fromkeys(known) if self._has_database(t)] or with_database[:3]
        first_on_stack = [t for t in dict.fromkeys(known) if t in with_stack]
        return (
            self._killed_by(mutant, first)
            or self._killed_on_stack(mutant, first_on_stack)
            or self._attacks.kill(mutant, attacks.far_parts(mutant, self._reach))
            or self._killed_by(mutant, [t for t in with_database if t not in first])
            or self._killed_on_stack(mutant, [t for t in with_stack if t not in first_on_stack])
        )

    def _killed_by(self, mutant: Mutant, tests: Iterable[str]) -> str | None:
        tests = list(tests)
        if not tests:
            return None
        self._copy_template()
        with psycopg.connect(self._url(self._template), autocommit=True) as connection:
            connection.execute(mutant.change.encode())
        return next(filter(self._runner.fails, tests), None)

    def _killed_on_stack(self, mutant: Mutant, tests: list[str]) -> str | None:
        """Over HTTP and WebSocket there is one database, which gets its schema back after."""
        if not tests:
            return None
        with psycopg.connect(self._stack.db_url, autocommit=True) as connection:
            connection.execute(mutant.change.encode())
            try:
                killer = next(filter(self._runner.fails, tests), None)
            finally:
                connection.execute(mutant.undo.encode())
        # What earlier tests left behind must not have been it.
        return killer if killer and not self._runner.fails(killer) else None

    def _tests(self, mutant: Mutant) -> tuple[list[str], list[str]]:
        """Those with a database of their own and those on the stack, best first."""
        used_by = self._reach.of(mutant.subject)
        words = [_word(name) for name in used_by if name.startswith("chat.")]
        words = [_word(mutant.subject), *words]
        own, shared = [], []
        for nodeid in self._runner.items:
            text = self._runner.text(nodeid)
            rank = next((n for n, word in enumerate(words) if word.search(text)), len(words))
            if words[0].search(nodeid):
                rank = -1
            # Of policies and grants tests/rls knows more.
            ranked = (rank, "tests/rls/" not in nodeid, self._runner.durations[nodeid], nodeid)
            if self._has_database(nodeid):
                if self._can_notice(nodeid, mutant, text, is_near=rank < _NEAR):
                    own.append(ranked)
            elif rank < len(words):
                shared.append(ranked)
        first = [nodeid for *_, nodeid in sorted(own)][: self._job.tests]
        return first, [nodeid for *_, nodeid in sorted(shared)][: self._job.tests // 3]

    def _has_database(self, nodeid: str) -> bool:
        return "database" in self._runner.items[nodeid].fixturenames

    def _can_notice(self, nodeid: str, mutant: Mutant, text: str, *, is_near: bool) -> bool:
        """By what ran in it and which errors it saw; a function that fails counts as not run."""
        if self._coverage is None:
            return True
        uses = self._coverage.uses.get(nodeid, set())
        if mutant.shows_as:
            return mutant.shows_as in uses or mutant.shows_as in text
        has_failed = any("." not in name for name in uses)
        is_counted = any(mutant.subject in used for used in self._coverage.uses.values())
        return mutant.subject in uses or (is_near and (has_failed or not is_counted))

    def _copy_template(self) -> None:
        self._admin.execute(_sql("drop database if exists {}", self._template))
        self._admin.execute(_sql("create database {} template {}", self._template, _PRISTINE))

    def _url(self, database: str) -> str:
        return conninfo(self._stack, "postgres", database)


def _sql(statement: str, *names: str) -> sql.Composed:
    return sql.SQL(statement).format(*map(sql.Identifier, names))


def _word(name: str) -> re.Pattern[str]:
    """An object by its own name; of the platform's tables, by what they are for."""
    schema, own = name.split(".")
    if schema in {"storage", "realtime"}:
        return re.compile(schema)
    return re.compile(rf"\b{own}\b")
