"""Makes mutants where tests look, and asks attacks and tests for one that notices."""

from __future__ import annotations

import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
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
_LONG = 10.0
"""Seconds after which a test may have failed because they were over."""
_NEAR = 3
"""Within so many steps of an object is what a test that is about it would name."""


@dataclass(frozen=True)
class Places:
    """Where tests look: on the stack, in clones of a template, in the world of the matrix."""

    stack: Stack
    template: str
    world_url: str


class Laboratory:
    """One stack, on which one mutant lives at a time."""

    def __init__(
        self, places: Places, runner: Runner, job: Job, learn: Callable[[], Coverage | None]
    ) -> None:
        self._stack = places.stack
        self._template = places.template
        self._world_url = places.world_url
        self._runner = runner
        self._job = job
        self._known = read_killers()
        self._killers: dict[str, Counter[str]] = defaultdict(Counter)
        self._kills: Counter[str] = Counter()
        self._learn_coverage = learn

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
        judged = {result.name: result.killer for result in Result.read_all(self._job.results)}
        for mutant in self._mutants:
            self._learn(mutant, judged.get(mutant.name) or self._known.get(checksum(mutant.name)))
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
        # What nobody knows a killer of yet is news: first.
        found.sort(key=lambda mutant: checksum(mutant.name) in self._known)
        judged = {result.name for result in Result.read_all(self._job.results)}
        return [m for m in found[self._job.part :: self._job.parts] if m.name not in judged]

    def judge(self, mutant: Mutant) -> Result:
        """Looks for a killer, where one is likeliest and cheapest first."""
        began = time.monotonic()
        killer = self._known_killer(mutant) or self._killer(mutant)
        self._learn(mutant, killer)
        return Result(mutant.name, mutant.subject, killer, round(time.monotonic() - began, 2))

    @cached_property
    def _coverage(self) -> Coverage | None:
        """Learnt when it is first needed: most mutants are killed by what killed them before."""
        self._copy_template()
        return self._learn_coverage()

    def _learn(self, mutant: Mutant, killer: str | None) -> None:
        """What killed one mutant of an object may kill another."""
        if killer not in self._runner.items:
            return
        self._kills[killer] += 1
        for what in (mutant.subject, mutant.kind):
            self._killers[what][killer] += 1

    def _known_killer(self, mutant: Mutant) -> str | None:
        """What killed it before, if it still does."""
        killer = self._known.get(checksum(mutant.name), "")
        if killer.startswith("verify_"):
            return self._attacks.kill(mutant, [killer.split(": ")[0]])
        if killer not in self._runner.items:
            return None
        if self._has(killer, "database"):
            return self._killed_by(mutant, [killer])
        if self._runner.is_in_world(killer):
            return self._killed_in_world(mutant, [killer])
        return self._killed_in(self._stack.db_url, mutant, [killer])

    def _killer(self, mutant: Mutant) -> str | None:
        killer = self._attacks.kill(mutant, attacks.near_parts(mutant, self._reach))
        if killer:
            return killer
        with_database, with_stack = self._tests(mutant)
        known = [
            killer
            for what, number in ((mutant.kind, 3), (mutant.subject, 6))
            for killer, _ in self._killers[what].most_common(number)
        ]
        first = [t for t in dict.fromkeys(known) if self._has(t, "database")] or with_database[:3]
        first_on_stack = [t for t in dict.fromkeys(known) if t in with_stack]
        on_stack = self._stack.db_url
        return (
            self._killed_by(mutant, first)
            or self._killed_in_world(mutant, self._attempts(mutant))
            or self._killed_in(on_stack, mutant, first_on_stack)
            or self._attacks.kill(mutant, attacks.far_parts(mutant, self._reach))
            or self._killed_by(mutant, [t for t in with_database if t not in first])
            or self._killed_in(on_stack, mutant, [t for t in with_stack if t not in first_on_stack])
        )

    def _killed_by(self, mutant: Mutant, tests: Iterable[str]) -> str | None:
        tests = list(tests)
        if not tests:
            return None
        self._copy_template()
        with psycopg.connect(self._url(self._template), autocommit=True) as connection:
            connection.execute(mutant.change.encode())
        killer = next(filter(self._runner.fails, tests), None)
        if killer and self._runner.durations[killer] > _LONG:
            # Perhaps the machine is busy: without the mutant it must pass.
            self._copy_template()
            return None if self._runner.fails(killer) else killer
        return killer

    def _killed_in_world(self, mutant: Mutant, tests: list[str]) -> str | None:
        """The matrix, whose world was made without the mutant."""
        if "cascade" in mutant.change:
            return None
        return self._killed_in(self._world_url, mutant, tests)

    def _killed_in(self, url: str, mutant: Mutant, tests: list[str]) -> str | None:
        """Over HTTP and WebSocket there is one database, which gets its schema back after."""
        if not tests:
            return None
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(mutant.change.encode())
            try:
                killer = next(filter(self._runner.fails, tests), None)
            finally:
                connection.execute(mutant.undo.encode())
        # What earlier tests left behind must not have been it.
        return killer if killer and not self._runner.fails(killer) else None

    def _attempts(self, mutant: Mutant) -> list[str]:
        """Lines of the matrix about the object or what depends on it, nearest first."""
        names = [n.split(".")[1] for n in self._reach.of(mutant.subject) if n.startswith("chat.")]
        found = []
        for nodeid in self._runner.items:
            match = re.search(r"\[(?:sql-)?(\w+)", nodeid)
            if match and match[1] in names and self._runner.is_in_world(nodeid):
                found.append((names.index(match[1]), nodeid))
        return [nodeid for _, nodeid in sorted(found)][: self._job.tests // 2]

    def _tests(self, mutant: Mutant) -> tuple[list[str], list[str]]:
        """Those with a database of their own and those on the stack, best first."""
        words = [[_word(mutant.runs or mutant.subject)]]
        for users in self._reach.steps_from(mutant.subject):
            words.append([_word(name) for name in users if name.startswith("chat.")])
        is_function = mutant.subject in self._reach.functions
        named = re.match(
            r"(?:unique index \w+\.|(?:check|foreign key|unique|trigger) )(\w+)", mutant.name
        )
        own, shared = [], []
        for nodeid in self._runner.items:
            if self._runner.is_in_world(nodeid):
                continue
            text = self._runner.text(nodeid)
            rank = next(
                (n for n, step in enumerate(words) if any(word.search(text) for word in step)),
                len(words),
            )
            if words[0][0].search(nodeid) or (named and named[1] in text):
                rank = -1
            ranked = (
                rank,
                # Of policies and grants tests/rls knows more.
                ("tests/rls/" in nodeid) is is_function,
                # What has killed many is made for it.
                -self._kills[nodeid],
                self._runner.durations[nodeid],
                nodeid,
            )
            if self._has(nodeid, "database"):
                if self._can_notice(nodeid, mutant, text, is_near=rank < _NEAR):
                    own.append(ranked)
            elif rank < len(words):
                shared.append(ranked)
        first = [nodeid for *_, nodeid in sorted(own)][: self._job.tests]
        return first, [nodeid for *_, nodeid in sorted(shared)][: self._job.tests // 3]

    def _has(self, nodeid: str, fixture: str) -> bool:
        return fixture in self._runner.items[nodeid].fixturenames

    def _can_notice(self, nodeid: str, mutant: Mutant, text: str, *, is_near: bool) -> bool:
        """By what ran in it and which errors it saw; a function that fails counts as not run."""
        if self._coverage is None:
            return True
        uses = self._coverage.uses.get(nodeid, set())
        if mutant.runs:
            return mutant.runs in uses
        if mutant.shows_as:
            return mutant.shows_as in uses or mutant.shows_as in text
        has_failed = any("." not in name for name in uses)
        is_counted = any(mutant.subject in used for used in self._coverage.uses.values())
        is_used = not uses.isdisjoint({mutant.subject, mutant.subject.split(".")[1]})
        return is_used or (is_near and (has_failed or not is_counted))

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
