"""What bench loads past triggers and foreign keys is what these would have let in."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest
from benchmark.loading import load, wrong_counters
from benchmark.scales import SMALL
from benchmark.town import POWER_USER, make_town, person

from support.databases import conninfo

TINY = replace(
    SMALL, messages=3000, users=300, conversations=60, own_conversations=20, large_room=1000
)


@pytest.fixture
def admin(stack, database):
    """A superuser of a database with a small town."""
    url = conninfo(stack, "supabase_admin", database.owner.info.dbname)
    with psycopg.connect(url, autocommit=True) as connection:
        load(connection, make_town(TINY))
        yield connection


def test_a_town_has_counters_and_references_that_hold(admin, database):
    assert wrong_counters(admin) == 0
    (messages,) = admin.execute("select count(*) from chat.messages").fetchone()
    assert messages == pytest.approx(TINY.messages + 201, rel=0.02)
    keys = admin.execute(
        "select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint"
        " where contype = 'f' and connamespace = 'chat'::regnamespace and conparentid = 0"
    ).fetchall()
    assert len(keys) > 30
    with admin.transaction(force_rollback=True):
        for table, name, definition in keys:
            # Made anew it is asked of every row.
            admin.execute(f'alter table {table} drop constraint "{name}"')
            admin.execute(f'alter table {table} add constraint "{name}" {definition}')
    with database.acting(person(POWER_USER)) as reader:
        (rooms,) = reader.execute("select count(*) from chat.inbox").fetchone()
    assert rooms == TINY.own_conversations + 1


def test_a_wrong_counter_is_seen(admin):
    admin.execute("update chat.participants set read_count = read_count + 1 where rev = 1000")
    assert wrong_counters(admin) > 0
