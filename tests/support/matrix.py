"""Reads matrix.txt and attempts.toml, and makes the attempts, in SQL and over HTTP.

An outcome is a number (of rows, or returned), ``ok``, or the SQLSTATE of a refusal; ``-`` is 42501.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jwt
import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from parley_stack.testing.databases import act_as

from .matrix_world import ROLES, World, database_role, user_id

FORBIDDEN = "-"
_COMMANDS = ("select", "insert", "update", "delete")


@dataclass(frozen=True)
class Attempt:
    """One line of the matrix: what is tried, with arguments still to be filled in."""

    label: str
    target: str
    command: str
    content: Mapping[str, Any]

    def filled(self, world: World, role: str) -> dict[str, Any]:
        """``content`` with the names of the world in place of their ``{names}``."""
        names = {**world.names, "me": user_id(role) or world.names["member"]}

        def fill(value: Any) -> Any:
            if isinstance(value, str):
                return value.format(**names)
            if isinstance(value, dict):
                return {key: fill(each) for key, each in value.items()}
            if isinstance(value, list):
                return [fill(each) for each in value]
            return value

        return {key: fill(value) for key, value in self.content.items()}


def read_attempts(path: Path) -> dict[str, Attempt]:
    """All lines that the matrix is to have, by label."""
    given = tomllib.loads(path.read_text())
    attempts = []
    for table, commands in given["tables"].items():
        attempts.append(Attempt(f"{table} select", table, "select", {}))
        for words, content in commands.items():
            attempts.append(Attempt(f"{table} {words}", table, words.split()[0], content))
    for words, content in given["functions"].items():
        function, _, variant = words.partition(" ")
        attempts.append(Attempt(f"{function}() {variant}".strip(), function, "call", content))
    return {attempt.label: attempt for attempt in attempts}


def read_matrix(path: Path) -> dict[str, list[str]]:
    """The outcomes of each line, in the order of ROLES."""
    matrix: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        words = line.partition("#")[0].split()
        if not words or words == list(ROLES):
            continue
        label = " ".join(words[: -len(ROLES)])
        assert label, f"{path.name}: a line needs {len(ROLES)} outcomes: {line!r}"
        assert label not in matrix, f"{path.name}: twice: {label}"
        matrix[label] = words[-len(ROLES) :]
    return matrix


def show(label: str, outcomes: list[str]) -> str:
    """A line as matrix.txt has it."""
    columns = zip(outcomes, ROLES, strict=True)
    return f"{label:<36}" + "".join(f"{o:>{max(len(r), 5) + 1}}" for o, r in columns)


def what_the_catalogue_has(connection: psycopg.Connection) -> set[str]:
    """Labels that the matrix must have: each table and view by command, each function."""
    relations = connection.execute(
        "select relname from pg_class "
        "where relnamespace = 'chat'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'f')"
    ).fetchall()
    functions = connection.execute(
        "select distinct proname from pg_proc where pronamespace = 'chat'::regnamespace"
    ).fetchall()
    return {f"{name} {command}" for (name,) in relations for command in _COMMANDS} | {
        f"{name}()" for (name,) in functions
    }


def _shown(state: str) -> str:
    return FORBIDDEN if state == "42501" else state


def may_have_done(attempt: Attempt, outcome: str) -> bool:
    """Whether there is something to undo: rows were written, or a function returned."""
    return outcome == "ok" or (
        outcome.isdigit() and len(outcome) < 5 and (outcome != "0" or attempt.command == "call")
    )


class OverSQL:
    """Attempts in one transaction, each undone if it did something; ``end`` undoes the rest."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._connection = psycopg.connect(world.database.url, row_factory=tuple_row)
        self._functions = dict(
            self._connection.execute(
                "select p.proname, array[p.prorettype::regtype::text, p.proretset::text, "
                "(select string_agg(format('%I %s', n.name, t.type::regtype), ', ') "
                " from unnest(p.proargnames, p.proargmodes) with ordinality as n (name, mode, i) "
                " join unnest(p.proargtypes::oid[]) with ordinality as t (type, i) using (i))] "
                "from pg_proc as p where p.pronamespace = 'chat'::regnamespace"
            ).fetchall()
        )

    def outcome(self, attempt: Attempt, role: str, expected: str) -> str:
        """What comes of it. What did something, or may have, is undone; a refusal need not be."""
        content = attempt.filled(self.world, role)
        self._connection.execute("savepoint attempt")
        try:
            act_as(self._connection, user_id(role), role=database_role(role))
            outcome = self._try(attempt, content)
        except psycopg.Error as error:
            outcome = _shown(error.sqlstate or "?")
            self._connection.execute("rollback to savepoint attempt")
        if may_have_done(attempt, outcome):
            self._connection.execute("rollback to savepoint attempt")
        self._connection.execute("release savepoint attempt; reset role")
        return outcome

    def _try(self, attempt: Attempt, content: dict[str, Any]) -> str:
        if attempt.command == "call":
            return self._call(attempt.target, content)
        where = content.pop("where", {})
        parts = {
            "table": sql.Identifier("chat", attempt.target),
            "columns": sql.SQL(", ").join(map(sql.Identifier, content)),
            "given": sql.SQL(
                "(select r.* from jsonb_populate_record(null::{}, {}) as r) as g"
            ).format(sql.Identifier("chat", attempt.target), json.dumps(content)),
            "changes": sql.SQL(", ").join(
                sql.SQL("{0} = g.{0}").format(sql.Identifier(name)) for name in content
            ),
            "where": sql.SQL(" and ").join(
                [
                    sql.SQL("true"),
                    *(
                        sql.SQL("t.{} = {}").format(sql.Identifier(name), value)
                        for name, value in where.items()
                    ),
                ]
            ),
        }
        statement = {
            "select": "select * from {table}",
            "insert": "insert into {table} ({columns}) select {columns} from {given}",
            "update": "update {table} as t set {changes} from {given} where {where}",
            "delete": "delete from {table} as t where {where}",
        }[attempt.command]
        return str(self._connection.execute(sql.SQL(statement).format(**parts)).rowcount)

    def _call(self, function: str, content: dict[str, Any]) -> str:
        result_type, returns_set, arguments = self._functions[function]
        given = {
            name: kind
            for name, kind in (each.split(" ", 1) for each in (arguments or "").split(", ") if each)
            if name in content
        }
        statement = "select f from chat.{}({}) as f".format(
            function, ", ".join(f"{name} => a.{name}" for name in given)
        )
        if given:
            columns = ", ".join(f"{name} {kind}" for name, kind in given.items())
            statement = (
                f"select f from jsonb_to_record(%s) as a ({columns}), "
                + statement.partition("from ")[2]
            )
        rows = self._connection.execute(
            statement.encode(), (json.dumps(content),) if given else ()
        ).fetchall()
        if returns_set == "true":
            return str(len(rows))
        return _outcome_of_result(rows[0][0]) if result_type in ("jsonb", "bigint") else "ok"

    def state(self) -> dict[str, str]:
        """What there is after the attempts that were not undone, as the owner sees it."""
        return self.world.state(self._connection)

    def end(self) -> None:
        """Undoes what there is."""
        self._connection.rollback()

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()


def _outcome_of_result(result: Any) -> str:
    """Of a function that returns JSON or a number: how much it tells."""
    if isinstance(result, dict):
        return "ok"
    if isinstance(result, int):
        return str(result)
    return str(len(result or []))


class OverHTTP:
    """Attempts through PostgREST. What should be refused is committed, to see that it was."""

    def __init__(self, world: World, url: str, jwt_secret: str) -> None:
        self.world = world
        self._clients = {
            role: httpx.Client(base_url=url, timeout=20, headers=self._headers(role, jwt_secret))
            for role in ROLES
        }

    def _headers(self, role: str, secret: str) -> dict[str, str]:
        headers = {"Accept-Profile": "chat", "Content-Profile": "chat"}
        if role != "anon":
            claims = {"role": database_role(role), "sub": user_id(role), "exp": 2**32}
            known = {name: value for name, value in claims.items() if value is not None}
            headers["Authorization"] = f"Bearer {jwt.encode(known, secret)}"
        return headers

    def outcome(self, attempt: Attempt, role: str, expected: str) -> str:
        """What comes of it; undone if ``expected`` says that something would be done."""
        content = attempt.filled(self.world, role)
        end = "rollback" if may_have_done(attempt, expected) else "commit"
        where = {name: f"eq.{value}" for name, value in content.pop("where", {}).items()}
        response = self._clients[role].request(
            {"select": "GET", "update": "PATCH", "delete": "DELETE"}.get(attempt.command, "POST"),
            f"/rpc/{attempt.target}" if attempt.command == "call" else f"/{attempt.target}",
            params=where,
            json=content if attempt.command in ("insert", "update", "call") else None,
            headers={"Prefer": f"return=minimal, count=exact, tx={end}"},
        )
        if not response.is_success:
            return _shown(response.json()["code"])
        if attempt.command == "call":
            if not response.content:
                return "ok"
            result = response.json()
            # Rows of a table, and JSON that is an array, are counted; one row is an object.
            return _outcome_of_result(result)
        return response.headers["Content-Range"].rpartition("/")[2]

    def state(self) -> dict[str, str]:
        """What there is, as the owner sees it."""
        return self.world.state()

    def end(self) -> None:
        """Does nothing: each attempt is a transaction of its own."""

    def close(self) -> None:
        """Ends the connections."""
        for each in self._clients.values():
            each.close()
