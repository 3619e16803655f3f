"""Runs tests again and again in one process, and learns what of the schema each of them uses."""

from __future__ import annotations

import gc
import hashlib
import inspect
import json
import re
import signal
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType, FunctionType
from typing import Any

import psycopg
import pytest
from _pytest.runner import runtestprotocol

from support import databases
from support.stacks import Stack

_TEST_SECONDS = 30.0
_USED = """
    select schemaname || '.' || funcname from pg_stat_user_functions where calls > 0
    union
    select schemaname || '.' || relname from pg_stat_user_tables
    where coalesce(seq_scan, 0) + coalesce(idx_scan, 0) + n_tup_ins + n_tup_upd + n_tup_del > 0
"""
_NAMED = re.compile(r'\b(?:table|view) "?(\w+)"?')


class Runner:
    """The tests of a session."""

    def __init__(self, items: list[pytest.Item]) -> None:
        self.items = {item.nodeid: item for item in items}
        self.durations: dict[str, float] = defaultdict(float)
        self.failure = ""
        self._texts: dict[str, str] = {}
        self._others = self._in_other_folders(items)

    def fails(self, nodeid: str, *, within: float = _TEST_SECONDS) -> bool:
        """Runs a test, with its fixtures anew but for those of the session."""
        item = self.items[nodeid]
        began = time.monotonic()
        item._initrequest()  # type: ignore[attr-defined]  # as pytest-rerunfailures does
        with _deadline(within):
            reports = runtestprotocol(item, log=False, nextitem=self._others[nodeid])
        self.durations[nodeid] = time.monotonic() - began
        self.failure = "\n".join(str(report.longrepr) for report in reports if report.failed)
        if self.failure:
            _drop_what_is_open()
        return bool(self.failure)

    def is_in_world(self, nodeid: str) -> bool:
        """Whether it looks at the world of the matrix."""
        names = self.items[nodeid].fixturenames  # type: ignore[attr-defined]
        return "world" in names and "database" not in names

    def text(self, nodeid: str) -> str:
        """The test's source, and that of its fixtures and of what these name in their modules."""
        if nodeid not in self._texts:
            item = self.items[nodeid]
            functions = [item.function]  # type: ignore[attr-defined]
            for fixtures in item._fixtureinfo.name2fixturedefs.values():  # type: ignore[attr-defined]
                functions += [fixture.func for fixture in fixtures]
            texts = [nodeid, *(part for function in functions for part in _texts(function))]
            self._texts[nodeid] = "\n".join(texts)
        return self._texts[nodeid]

    @staticmethod
    def _in_other_folders(items: list[pytest.Item]) -> dict[str, pytest.Item]:
        """For each test one that comes after it and shares nothing but the session."""
        first, last = items[0], items[-1]
        return {
            item.nodeid: last if item.path.parent != last.path.parent else first for item in items
        }


def _drop_what_is_open() -> None:
    """A test that fails leaves connections open: their warning must not fail the next one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Where pytest keeps the last failure for debuggers.
        sys.last_value = sys.last_traceback = None
        gc.collect()


@cache
def _texts(function: FunctionType) -> tuple[str, ...]:
    named = [function.__globals__.get(name) for name in function.__code__.co_names]
    here = [
        value
        for value in named
        if isinstance(value, FunctionType) and value.__module__ == function.__module__
    ]
    said = [str(value) for value in named if isinstance(value, str | tuple | list | dict)]
    return (inspect.getsource(function), *map(inspect.getsource, here), *said)


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    def too_late(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"not within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, too_late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Coverage:
    """Functions and tables that each test with a database of its own uses; kept in a file."""

    def __init__(self, path: Path, runner: Runner) -> None:
        self.uses: dict[str, set[str]] = {}
        self._path = path
        self._runner = runner
        self._keys = {
            nodeid: hashlib.sha256(item.path.read_bytes()).hexdigest()[:16]
            for nodeid, item in runner.items.items()
        }
        known = json.loads(path.read_text()) if path.exists() else {}
        for nodeid, (key, duration, used) in known.items():
            if self._keys.get(nodeid) == key:
                self.uses[nodeid] = set(used)
                runner.durations[nodeid] = duration

    def learn(self, config: pytest.Config, stack: Stack) -> list[str]:
        """Runs the tests that are not known yet; those that fail."""
        failed = []
        with psycopg.connect(databases.conninfo(stack, "supabase_admin", "postgres")) as connection:
            connection.execute("alter role postgres set track_functions = 'all'")
        for nodeid in self._runner.items:
            if nodeid in self.uses or self._runner.is_in_world(nodeid):
                continue
            used: set[str] = set()
            with _watched_clones(config, used), _watched_errors(used):
                # Twice: a machine that is busy is not a test that fails.
                if self._runner.fails(nodeid) and self._runner.fails(nodeid, within=120):
                    failed.append(f"{nodeid}:\n{self._runner.failure}")
            self.uses[nodeid] = used
        self._path.write_text(
            json.dumps(
                {
                    nodeid: (self._keys[nodeid], self._runner.durations[nodeid], sorted(used))
                    for nodeid, used in self.uses.items()
                }
            )
        )
        return failed


@contextmanager
def _watched_clones(config: pytest.Config, used: set[str]) -> Iterator[None]:
    """Notes what was used in each database, before it is dropped."""
    plain = databases.clone

    @contextmanager
    def watched(*arguments: Any) -> Iterator[databases.Database]:
        with plain(*arguments) as made:
            try:
                yield made
            finally:
                made.owner.execute("select pg_stat_force_next_flush()")
                used.update(_used(made.url))

    holders = [plugin for plugin in config.pluginmanager.get_plugins() if _clone_of(plugin)]
    for holder in holders:
        holder.clone = watched
    try:
        yield
    finally:
        for holder in holders:
            holder.clone = plain


@contextmanager
def _watched_errors(used: set[str]) -> Iterator[None]:
    """Notes constraints, codes and tables of the errors that clients get."""

    def made(self: psycopg.Error, *arguments: object, **named: Any) -> None:
        initial(self, *arguments, **named)
        used.update(filter(None, (self.diag.constraint_name, self.diag.message_detail)))
        used.update(_NAMED.findall(self.diag.message_primary or ""))

    initial = psycopg.Error.__init__
    psycopg.Error.__init__ = made  # type: ignore[method-assign]
    try:
        yield
    finally:
        psycopg.Error.__init__ = initial  # type: ignore[method-assign]


def _clone_of(plugin: object) -> bool:
    return getattr(plugin, "clone", None) is databases.clone


def _used(url: str) -> list[str]:
    with psycopg.connect(url, autocommit=True) as connection:
        # A connection that was closed a moment ago tells what it did when it ends.
        ends = time.monotonic() + 1
        while time.monotonic() < ends:
            others = connection.execute(
                "select count(*) from pg_stat_activity"
                " where datname = current_database() and backend_type = 'client backend'"
            ).fetchone()
            if others == (2,):
                break
            time.sleep(0.005)
        return [name for (name,) in connection.execute(_USED)]
