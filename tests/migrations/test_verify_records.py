"""``scripts/verify`` finds records that somebody changed: of purges as of everything else."""

from __future__ import annotations

import pytest
import verify

from support.databases import Database
from support.retention import TENANT, Room, make_room

LOG = "chat_private.audit_log"
PURGE = (
    f"where seq = (select min(seq) from {LOG} where action = 'messages_purged') and tenant_id = %s"
)


@pytest.fixture
def room(database: Database) -> Room:
    """Messages were purged, under three records."""
    room = make_room(database)
    for number in range(6):
        room.send("alice", f"message {number}")
    room.after(31)
    room.sweep()
    room.after(62)
    room.sweep(batch_size=2)
    assert room.owner(
        "select count(*) from chat_private.audit_log where action = 'messages_purged'"
    ) == [(3,)]
    return room


def test_what_was_recorded_is_in_order(room: Room) -> None:
    records, broken = verify.check_records(room.database.owner)
    assert broken == []
    assert [(records,)] == room.owner("select count(*) from chat_private.audit_log")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (f"update {LOG} set details = details || '{{\"messages\": 1}}' {PURGE}", "changed"),
        (f"delete from {LOG} {PURGE}", "missing"),
        (f"delete from {LOG} where seq = (select max(seq) from {LOG}) and tenant_id = %s", "end"),
        (f"delete from {LOG} where tenant_id = %s", "end"),
        ("delete from chat_private.audit_heads where tenant_id = %s", "end"),
    ],
    ids=["changed", "removed", "cut off", "emptied", "without an end"],
)
def test_a_broken_chain_is_a_finding(room: Room, change: str, problem: str) -> None:
    owner = room.database.owner
    for table in (LOG, "chat_private.audit_heads"):
        owner.execute(f"alter table {table} disable trigger user".encode())
    owner.execute(change.encode(), (TENANT,))
    _, (broken,) = verify.check_records(owner)
    assert broken.what == f"audit log of tenant {TENANT}"
    assert problem in broken.found
    assert broken.found.startswith("broken at ")


def test_a_log_that_is_gone_is_a_finding(database: Database) -> None:
    database.owner.execute("drop table chat_private.audit_log cascade")
    _, (broken,) = verify.check_records(database.owner)
    assert broken.what == "the audit logs"
