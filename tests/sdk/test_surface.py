"""The SDK has all that the database offers, and its models all that the database returns."""

from __future__ import annotations

import ast
import re
import typing
from pathlib import Path

import psycopg
import pytest

import parley
from parley._models import Message
from parley._models.base import Model
from support.stacks import ROOT

SOURCES = sorted((ROOT / "sdk/parley/_async").glob("*.py"))
# Of messages these are columns to PostgREST, and read with them.
COMPUTED = {"reaction_summary", "poll_results"}
# Columns without a field, and why.
LEFT_OUT = {
    "conversations": {
        "user_low_id": "the counterpart is in the inbox and among the participants",
        "user_high_id": "as user_low_id",
        "last_mention_seq": "for the inbox's count",
        "sync_from_rev": "for sync alone",
        "expires_from": "for the inbox's count",
    },
    "messages": {"search_language": "for the search index"},
    "participant_settings": {"unread_adjustment": "for the inbox's count"},
    "participants": {"read_count": "for the inbox's count"},
    "settings": {"past_search_languages": "for the search index"},
}
MODELS = {
    model.relation: model
    for model in (getattr(parley, name) for name in parley.__all__)
    if isinstance(model, type) and issubclass(model, Model) and model.relation
}


def called(*kinds: str) -> set[str]:
    """First arguments of the calls by which methods reach functions, tables and views."""
    found: set[str] = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                first = node.args[0] if node.args else None
                if node.func.attr in kinds and isinstance(first, ast.Constant):
                    found.add(str(first.value))
    return found


@pytest.fixture
def owner(database: typing.Any) -> psycopg.Connection:
    connection: psycopg.Connection = database.owner
    return connection


def test_every_function_has_a_method(owner: psycopg.Connection) -> None:
    offered = {
        name
        for (name,) in owner.execute(
            "select p.proname from pg_proc as p where p.pronamespace = 'chat'::regnamespace"
            " and has_function_privilege('authenticated', p.oid, 'execute')"
        )
    }
    assert len(offered) > 50
    assert offered - called("call", "_call") - COMPUTED == set()
    assert called("call", "_call") - offered == set()


def test_every_table_and_view_has_a_method_and_a_model(owner: psycopg.Connection) -> None:
    offered = {
        name
        for (name,) in owner.execute(
            "select c.relname from pg_class as c where c.relnamespace = 'chat'::regnamespace"
            " and c.relkind in ('r', 'v') and has_table_privilege('authenticated', c.oid, 'select')"
        )
    }
    # Shown by the view chat.notification_feed, and deleted from.
    assert offered - MODELS.keys() == {"notifications"}
    assert MODELS.keys() - offered == set()
    pages = " ".join(path.read_text() for path in SOURCES)
    read = called("read", "upsert", "delete", "insert_once", "update")
    read |= {model.relation for model in MODELS.values() if paged(model, pages)}
    assert offered - read == set()


def paged(model: type[Model], sources: str) -> bool:
    """Whether some method reads pages of it."""
    return re.search(rf"rest\.page\(\s*{model.__name__},", sources) is not None


@pytest.mark.parametrize("relation", sorted(MODELS))
def test_every_column_has_a_field(owner: psycopg.Connection, relation: str) -> None:
    columns = {
        name: (kind, is_required)
        for name, kind, is_required in owner.execute(
            # Which columns of a view are never null, no catalogue says.
            "select a.attname, format_type(a.atttypid, a.atttypmod),"
            " a.attnotnull or c.relkind = 'v' from pg_attribute as a"
            " inner join pg_class as c on a.attrelid = c.oid"
            " where a.attrelid = %s::regclass and a.attnum > 0"
            " and not a.attisdropped"
            " and has_column_privilege('authenticated', a.attrelid, a.attnum, 'select')",
            (f"chat.{relation}",),
        )
    }
    model = MODELS[relation]
    fields = {str(info.validation_alias or name) for name, info in model.model_fields.items()}
    extra = COMPUTED | {"attachments"} if model is Message else set()
    left_out = LEFT_OUT.get(relation, {}).keys()
    assert columns.keys() - fields == left_out
    assert fields - columns.keys() == extra
    assert model.model_config.get("frozen")
    assert model.model_config.get("extra") == "ignore"
    for name, info in model.model_fields.items():
        kind, is_required = columns.get(name, ("", True))
        expected = EXPECTED.get(kind)
        shown = str(info.annotation)
        if expected is not None:
            assert expected in shown, (relation, name, kind, shown)
        if not is_required:
            assert "None" in shown, (relation, name)


EXPECTED = {
    "uuid": "UUID",
    "timestamp with time zone": "datetime",
    "bigint": "int",
    "integer": "int",
    "boolean": "bool",
    "text": "str",
}


def test_the_test_can_fail() -> None:
    assert "send_message" in called("call", "_call")
    assert "inbox" in called("read")
    assert Path(parley.__file__).parent == ROOT / "sdk/parley"
