"""What a migration may say: rules for one file, asked of PostgreSQL's own parser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import pglast
from pglast import ast, enums
from pglast.parser import ParseError

OURS = ("chat", "chat_private")
_NAME = re.compile(r"(?P<version>\d{14})_[a-z]+(_[a-z0-9]+)+\.sql")
_LOCK_TIMEOUT = pglast.parse_sql("set lock_timeout = '5s'")[0].stmt
_HEADER = ("Purpose", "Objects", "Locks", "Breaking")

# What no migration has a reason to do, by statement.
_FORBIDDEN = {
    "TransactionStmt": "the Supabase CLI runs each file in one transaction: no begin and no commit",
    "TruncateStmt": "truncate loses rows",
    "CopyStmt": "copy reads and writes files, or needs psql",
    "VacuumStmt": "vacuum does not run in a transaction",
    "LockStmt": "a lock taken by hand: say which statement needs it, and let that take it",
    "RuleStmt": "a rule rewrites statements before policies and triggers see them",
    "CreateRoleStmt": "roles are the host's",
    "AlterRoleStmt": "roles are the host's",
    "AlterRoleSetStmt": "roles are the host's",
    "DropRoleStmt": "roles are the host's",
    "GrantRoleStmt": "roles are the host's",
    "AlterSystemStmt": "the server's settings are the host's",
    "AlterDatabaseSetStmt": "the database's settings are the host's",
    "AlterDefaultPrivilegesStmt": "default privileges are the host's: grant what each object needs",
    "CreateExtensionStmt": "extensions are the host's to install; ask whether one is there",
    "DropOwnedStmt": "it drops what others own",
    "ReassignOwnedStmt": "owners are the host's",
    "AlterOwnerStmt": "everything belongs to whoever installs it",
    "CreateEventTrigStmt": "an event trigger sees what the host does",
}
_LOSSES = (
    enums.ObjectType.OBJECT_TABLE,
    enums.ObjectType.OBJECT_SCHEMA,
    enums.ObjectType.OBJECT_SEQUENCE,
    enums.ObjectType.OBJECT_MATVIEW,
    enums.ObjectType.OBJECT_TYPE,
)
_WEAKENINGS = {
    enums.AlterTableType.AT_DisableRowSecurity: "it turns row level security off",
    enums.AlterTableType.AT_DisableTrig: "it turns a trigger off",
    enums.AlterTableType.AT_DisableTrigAll: "it turns triggers off",
    enums.AlterTableType.AT_DisableTrigUser: "it turns triggers off",
    enums.AlterTableType.AT_ChangeOwner: "everything belongs to whoever installs it",
}
# Where each statement names what it makes or changes.
_TARGETS = {
    "CreateStmt": "relation",
    "AlterTableStmt": "relation",
    "IndexStmt": "relation",
    "ViewStmt": "view",
    "CreateTrigStmt": "relation",
    "CreatePolicyStmt": "table",
    "AlterPolicyStmt": "table",
    "InsertStmt": "relation",
    "UpdateStmt": "relation",
    "DeleteStmt": "relation",
    "CompositeTypeStmt": "typevar",
}


@dataclass(frozen=True, order=True)
class Fault:
    """Something wrong with a file. Line 0 is the file itself."""

    file: str
    line: int
    what: str


def check_name(file: str) -> Iterator[Fault]:
    """Faults of a name."""
    match = _NAME.fullmatch(file)
    if match is None:
        yield Fault(file, 0, "is not called YYYYMMDDHHMMSS_verb_object.sql")
        return
    try:
        # The time of day only puts those of a day in order.
        date.fromisoformat(match["version"][:8])
    except ValueError:
        yield Fault(file, 0, f"{match['version'][:8]} is no date")


def check_text(file: str, text: str) -> Iterator[Fault]:
    """Faults of what a file says."""
    yield from _check_header(file, text)
    try:
        parsed = pglast.parse_sql(text)
    except ParseError as error:
        where = re.search(r"at index (\d+)", str(error))
        yield Fault(file, _line(text, int(where[1]) if where else 0), f"syntax: {error.args[0]}")
        return
    may_lose = not re.search(r"^-- Breaking: no\b", text, re.MULTILINE)
    if not parsed or parsed[0].stmt != _LOCK_TIMEOUT:
        yield Fault(file, 1, "its first statement is not: set lock_timeout = '5s'")
    end = 0
    for raw in parsed:
        start = text.index(";", end) + 1 if end else 0
        end = (raw.stmt_location or 0) + (raw.stmt_len or len(text))
        source = text[start:end]
        comments = re.match(r"(\s|--[^\n]*\n)*", source)
        lead = comments[0] if comments else ""
        line = _line(text, start + len(lead))
        for statement in (raw.stmt, *_inside(raw.stmt, source)):
            for what in _faults(statement, lead, may_lose=may_lose):
                yield Fault(file, line, what)


def _line(text: str, index: int) -> int:
    return text.count("\n", 0, index) + 1


def _check_header(file: str, text: str) -> Iterator[Fault]:
    comments = re.match(r"(--.*\n)*", text)
    lines = re.findall(r"^-- (\w+):[ ]*(.*)$", comments[0] if comments else "", re.MULTILINE)
    said = [name for name, _ in lines if name in _HEADER]
    if tuple(said) != _HEADER:
        yield Fault(file, 1, "does not begin with comments Purpose, Objects, Locks and Breaking")
    for name, value in lines:
        if name in _HEADER and not value.strip():
            yield Fault(file, 1, f"says nothing of {name}")


def _inside(statement: Any, source: str) -> Iterator[Any]:
    """Statements in the body of a `do`."""
    if not isinstance(statement, ast.DoStmt):
        return
    queries: list[str] = []

    def collect(value: Any) -> None:
        if isinstance(value, dict):
            if "query" in value:
                queries.append(value["query"])
            value = list(value.values())
        if isinstance(value, list):
            for each in value:
                collect(each)

    collect(json.loads(json.dumps(pglast.parse_plpgsql(source))))
    for query in queries:
        try:
            yield from (raw.stmt for raw in pglast.parse_sql(query))
        except ParseError:
            continue  # A condition or another expression.


def _faults(statement: Any, comments: str, *, may_lose: bool) -> Iterator[str]:
    kind = type(statement).__name__
    if kind in _FORBIDDEN:
        yield _FORBIDDEN[kind]
    if kind == "VariableSetStmt" and statement.name != "lock_timeout":
        yield f"it sets {statement.name}: that lasts beyond the file"
    if kind in ("UpdateStmt", "DeleteStmt") and statement.whereClause is None:
        yield "it writes every row: name which, and do it in batches"
    if kind == "IndexStmt" and statement.concurrent:
        yield "concurrently does not run in a transaction"
    if kind == "CreateFunctionStmt":
        yield from _function_faults(statement, comments)
    if kind == "GrantStmt":
        yield from _grant_faults(statement)
    if kind in ("DropStmt", "AlterTableStmt"):
        yield from _loss_faults(statement, may_lose=may_lose)
    yield from _place_faults(statement, kind)


def _function_faults(statement: Any, comments: str) -> Iterator[str]:
    options = {option.defname: option.arg for option in statement.options or ()}
    # Of several options of a name PostgreSQL complains itself.
    security = options.get("security")
    if security is not None and security.boolval and "Security definer" not in comments:
        yield "a security definer without a comment above that says why"


def _grant_faults(statement: Any) -> Iterator[str]:
    if statement.targtype != enums.GrantTargetType.ACL_TARGET_OBJECT:
        yield "it grants on all there is: name each object"
    if not statement.is_grant:
        return
    for grantee in statement.grantees or ():
        if grantee.roletype == enums.RoleSpecType.ROLESPEC_PUBLIC or grantee.rolename == "anon":
            yield "it grants something to everybody: public or anon"


def _loss_faults(statement: Any, *, may_lose: bool) -> Iterator[str]:
    if isinstance(statement, ast.DropStmt):
        if statement.behavior == enums.DropBehavior.DROP_CASCADE:
            yield "drop ... cascade takes along what the file does not name"
        if statement.removeType in _LOSSES and not may_lose:
            yield "it drops what holds data, and its header says that nothing breaks"
        return
    for command in statement.cmds:
        if command.subtype in _WEAKENINGS:
            yield _WEAKENINGS[command.subtype]
        if command.subtype == enums.AlterTableType.AT_DropColumn and not may_lose:
            yield "it drops a column, and its header says that nothing breaks"


def _place_faults(statement: Any, kind: str) -> Iterator[str]:
    """Everything is in Parley's schemas, or is called Parley's on the platform's tables."""
    if kind in _TARGETS:
        relation = getattr(statement, _TARGETS[kind])
        where, name = relation.schemaname, relation.relname
    elif kind == "CreateFunctionStmt":
        *schema, name = (part.sval for part in statement.funcname)
        where = schema[0] if schema else None
    elif kind == "CreateEnumStmt":
        *schema, name = (part.sval for part in statement.typeName)
        where = schema[0] if schema else None
    else:
        return
    if where is None:
        yield f"{name} is not schema-qualified"
    elif where not in OURS:
        is_named = (
            (kind == "CreateTrigStmt" and statement.trigname.startswith("parley_"))
            or (kind.endswith("PolicyStmt") and statement.policy_name.startswith("parley: "))
            or (kind == "InsertStmt" and (where, name) == ("storage", "buckets"))
        )
        if not is_named:
            yield f"{where}.{name} is not Parley's, and the name does not say that this is"
