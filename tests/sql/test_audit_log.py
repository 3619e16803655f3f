"""The audit log: an entry for each act of power, none for what is one's own, and no way back."""

from __future__ import annotations

import psycopg
import pytest

from support.databases import Database
from support.town import ALPHA, BETA, Town, make_town

# Who does what, what is recorded of it, and who it is about. a owns a group of b and c, in which b
# has written; mona moderates the tenant.
ACTS = [
    ("a", "select chat.add_participants(%(room)s, array[%(d)s]::uuid[])",
     "participants_added", "d"),
    ("a", "select chat.set_role(%(room)s, %(d)s, 'admin')", "participant_role_changed", "d"),
    ("a", "select chat.remove_participant(%(room)s, %(d)s)", "participant_left", "d"),
    ("a", "select chat.add_participants(%(room)s, array[%(d)s]::uuid[])",
     "participants_added", "d"),
    ("c", "select chat.leave(%(room)s)", "participant_left", "c"),
    ("a", "select chat.silence_participant(%(room)s, %(b)s, 'infinity')",
     "participant_silenced", "b"),
    ("a", "select chat.set_slow_mode(%(room)s, 60)", "slow_mode_changed", None),
    ("d", "select chat.report_message(%(room)s, 1, 'spam')", "", None),
    ("mona", "select chat.resolve_report((select id from chat.reports), 'resolved')",
     "report_resolved", "b"),
    ("a", "select chat.delete_message(%(room)s, 1)", "message_deleted", "b"),
    ("mona", "select chat.ban_user(%(b)s, 'spam', tenant_id => %(alpha)s)",
     "user_banned participant_left tenant_member_removed", "b"),
    ("mona", "select chat.unban_user(%(b)s, %(alpha)s)", "user_unbanned tenant_member_restored",
     "b"),
    ("a", "select chat.start_direct(%(d)s, tenant_id => %(alpha)s)", "", None),
]  # fmt: skip
INSTALLATION = "00000000-0000-0000-0000-000000000000"
JOIN = (
    f"insert into chat.tenant_members (tenant_id, user_id) select '{ALPHA}', id from chat.profiles"
)
OF_THE_OWNER = [
    (ALPHA, "settings_changed", "update chat.settings set fan_out_limit = 7"),
    (ALPHA, "tenant_changed", "update chat.tenants set name = 'Other'"),
    (ALPHA, "tenant_role_changed", "update chat.tenant_members set role = 'admin'"),
    (ALPHA, "tenant_member_changed", "update chat.tenant_members set tier = 'privileged'"),
    (ALPHA, "tenant_members_deleted", "delete from chat.tenant_members where role = 'admin'"),
    (ALPHA, "tenant_members_added", JOIN),
    (INSTALLATION, "tier_changed", "update chat.tiers set retention = '1 day'"),
]


@pytest.fixture
def town(database: Database) -> Town:
    """Of its own for each test."""
    return make_town(database)


@pytest.fixture
def names(town: Town) -> dict[str, object]:
    """What acts name."""
    room = town.call(
        "a",
        "select (chat.start_group('Group', %s::uuid[], tenant_id => %s)).id::text",
        [town.ids["b"], town.ids["c"]],
        ALPHA,
    )
    town.call("b", "select chat.send_message(%s, 'hello')", room)
    return {**town.ids, "room": room, "alpha": ALPHA}


def entries(town: Town, tenant: str = ALPHA) -> list[tuple]:
    return town.owner(
        "select a.seq, a.actor_id::text, a.action, a.target_id::text, a.conversation_id::text"
        " from chat_private.audit_log as a where a.tenant_id = %s order by a.seq",
        tenant,
    )


def test_every_act_of_power_is_recorded_once(town, names):
    for actor, query, actions, target in ACTS:
        seen = len(entries(town))
        with town.database.acting(town.ids[actor]) as connection:
            connection.execute(query, names)
        new = [(who, what, about) for _, who, what, about, _ in entries(town)[seen:]]
        about = town.ids.get(target or "")
        expected = [(town.ids[actor], action, about) for action in actions.split()]
        assert new == expected, query


def test_what_the_owner_of_the_database_does_too(town):
    for tenant, action, query in OF_THE_OWNER:
        seen = len(entries(town, tenant))
        town.owner(query)
        found = {(who, what) for _, who, what, *_ in entries(town, tenant)[seen:]}
        assert (None, action) in found, query


def test_an_entry_is_of_the_tenant_and_the_chain_of_each_holds(town, names):
    town.call("b", "select chat.leave(%s)", names["room"])
    assert entries(town)[-1][1:] == (
        town.ids["b"],
        "participant_left",
        town.ids["b"],
        names["room"],
    )
    for tenant in (ALPHA, BETA):
        count = len(entries(town, tenant))
        assert [seq for seq, *_ in entries(town, tenant)] == list(range(1, count + 1))
        assert town.owner("select * from chat_private.verify_audit_log(%s)", tenant) == [
            (count, None, None)
        ]


@pytest.mark.parametrize("table", ["audit_log", "audit_heads"])
@pytest.mark.parametrize("verb", ["delete from", "truncate"])
def test_nothing_is_taken_out_by_the_owner_either(town, table, verb):
    before = entries(town)
    with pytest.raises(psycopg.Error) as refused:
        town.owner(f"{verb} chat_private.{table}")
    assert refused.value.diag.message_detail == "append_only"
    assert entries(town) == before
