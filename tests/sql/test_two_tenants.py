"""One user in two tenants: what is so in the one is not so in the other."""

from __future__ import annotations

import json

import psycopg
import pytest

ALPHA = "00000000-0000-4000-8000-000000000001"
BETA = "00000000-0000-4000-8000-000000000002"
GAMMA = "00000000-0000-4000-8000-000000000003"


@pytest.fixture
def two(database):
    """alice and bob are members of alpha and beta, carol of gamma alone."""
    users = {name: database.user(name) for name in ("alice", "bob", "carol")}
    for tenant, slug in ((BETA, "beta"), (GAMMA, "gamma")):
        database.owner.execute(
            "insert into chat.tenants (id, slug, name) values (%s, %s, 'Name')", (tenant, slug)
        )
    database.owner.execute(
        "insert into chat.tenant_members (tenant_id, user_id)"
        " values (%(beta)s, %(alice)s), (%(beta)s, %(bob)s), (%(gamma)s, %(carol)s)",
        {**users, "beta": BETA, "gamma": GAMMA},
    )
    database.owner.execute(
        "delete from chat.tenant_members where tenant_id = %s and user_id = %s",
        (ALPHA, users["carol"]),
    )
    return database, users


def call(database, user, query, *arguments):
    with database.acting(user) as connection:
        row = connection.execute(query, arguments).fetchone()
        return row[0] if row else None


def refused(database, user, query, *arguments):
    with pytest.raises(psycopg.Error) as error:
        call(database, user, query, *arguments)
    return error.value.diag.message_detail


def rooms(database, users):
    """A group of alice's and bob's in each tenant, with a message of hers."""
    made = {}
    for tenant in (ALPHA, BETA):
        made[tenant] = call(
            database,
            users["alice"],
            "select (chat.start_group('Group', array[%s]::uuid[], tenant_id => %s)).id::text",
            users["bob"],
            tenant,
        )
        call(database, users["alice"], "select chat.send_message(%s, 'one')", made[tenant])
    return made


DIRECT = "select (chat.start_direct(%s, tenant_id => %s)).id::text"
SUBJECT = (
    "select (chat.open_subject('order', '1', jsonb_build_array("
    "jsonb_build_object('user_id', %s::text)), tenant_id => %s)).id::text"
)
GROUP = "select (chat.start_group('x', array[%s]::uuid[], tenant_id => %s)).id::text"


def test_a_pair_and_an_object_have_a_conversation_in_each(two):
    database, users = two
    database.owner.execute("update chat.settings set who_may_open_subjects = 'members'")
    for query in (DIRECT, SUBJECT):
        arguments = [(users["bob"], tenant) for tenant in (ALPHA, BETA)]
        first = [call(database, users["alice"], query, *given) for given in arguments]
        again = [call(database, users["alice"], query, *given) for given in arguments]
        assert first == again
        assert len(set(first)) == 2
        for room, tenant in zip(first, (ALPHA, BETA), strict=True):
            assert database.owner.execute(
                "select tenant_id::text from chat.conversations where id = %s", (room,)
            ).fetchone() == (tenant,)


def test_coming_back_to_the_direct_conversation_of_one(two):
    database, users = two
    made = [call(database, users["alice"], DIRECT, users["bob"], t) for t in (ALPHA, BETA)]
    database.owner.execute("update chat.participants set left_at = '2020-01-01'")
    assert call(database, users["alice"], DIRECT, users["bob"], BETA) == made[1]
    assert database.owner.execute(
        "select conversation_id::text, user_id::text from chat.participants where left_at is null"
    ).fetchall() == [(made[1], users["alice"])]


def test_without_a_tenant_in_common_there_is_no_contact(two):
    database, users = two
    ask = "select chat.request_contact(%s)"
    assert refused(database, users["carol"], ask, users["alice"]) == "user_not_found"
    assert refused(database, users["alice"], ask, users["carol"]) == "user_not_found"
    database.owner.execute(
        "insert into chat.tenant_members (tenant_id, user_id, removed_at) values (%s, %s, now())",
        (ALPHA, users["carol"]),
    )
    assert refused(database, users["alice"], ask, users["carol"]) == "user_not_found"
    assert refused(database, users["carol"], ask, users["alice"]) == "user_not_found"


def test_how_long_a_message_lives_is_its_tenant_s_tier(two):
    database, users = two
    database.owner.execute(
        "update chat.tenant_members set tier = 'privileged' where tenant_id = %s", (BETA,)
    )
    rooms(database, users)
    lives = (
        "select c.tenant_id::text, extract(day from m.expires_at - m.created_at)::int"
        " from chat.messages as m inner join chat.conversations as c on m.conversation_id = c.id"
    )
    assert dict(database.owner.execute(lives).fetchall()) == {ALPHA: 30, BETA: 180}


def test_who_reads_earlier_texts_is_each_tenant_s_setting(two):
    database, users = two
    made = rooms(database, users)
    for room in made.values():
        call(database, users["alice"], "select chat.edit_message(%s, 1, 'changed')", room)
    database.owner.execute(
        "update chat.settings set revisions_visible_to = 'nobody' where tenant_id = %s", (ALPHA,)
    )
    seen = "select array_agg(conversation_id::text) from chat.message_revisions"
    assert call(database, users["bob"], seen) == [made[BETA]]
    database.owner.execute(
        "update chat.settings set revisions_visible_to = 'admins' where tenant_id = %s", (ALPHA,)
    )
    assert call(database, users["bob"], seen) == [made[BETA]]
    assert set(call(database, users["alice"], seen)) == set(made.values())


def test_leaving_one_leaves_its_conversations_alone(two):
    database, users = two
    made = rooms(database, users)
    database.owner.execute(
        "update chat.tenant_members set removed_at = now() where tenant_id = %s and user_id = %s",
        (ALPHA, users["bob"]),
    )
    seen = "select array_agg(id::text) from chat.conversations"
    assert call(database, users["bob"], seen) == [made[BETA]]
    assert set(call(database, users["alice"], seen)) == set(made.values())


def test_who_is_removed_leaves_when_they_are_and_not_again(two):
    """By a server with the service role, which may not write participants."""
    database, users = two
    made = rooms(database, users)
    database.owner.execute(
        "update chat.participants set left_at = '2020-01-01' where conversation_id = %s",
        (made[BETA],),
    )
    with database.acting(None, role="service_role") as server:
        server.execute(
            "update chat.tenant_members set removed_at = now() where user_id = %s", (users["bob"],)
        )
    left = (
        "select conversation_id::text, left_at > '2021-01-01' from chat.participants"
        " where user_id = %s"
    )
    assert dict(database.owner.execute(left, (users["bob"],)).fetchall()) == {
        made[ALPHA]: True,
        made[BETA]: False,
    }


def test_words_are_those_of_the_languages_of_one_s_own(two):
    """A tenant where "the" is a word does not make it one in another, where it is none."""
    database, users = two
    database.owner.execute(
        "update chat.settings set search_language = 'english' where tenant_id = %s", (ALPHA,)
    )
    call(database, users["alice"], GROUP, users["bob"], ALPHA)
    find = "select chat.search_messages('the')"
    assert refused(database, users["alice"], find) == "search_query_empty"
    call(database, users["alice"], GROUP, users["bob"], BETA)
    assert call(database, users["alice"], find) is None


def test_an_admin_reads_the_log_of_one_s_own(two):
    database, users = two
    rooms(database, users)
    database.owner.execute(
        "update chat.tenant_members set role = 'admin' where tenant_id = %s and user_id = %s",
        (BETA, users["alice"]),
    )
    entries = "select count(*) from chat.read_audit_log(%s)"
    (there,) = database.owner.execute(
        "select count(*) from chat_private.audit_log where tenant_id = %s", (BETA,)
    ).fetchone()
    assert call(database, users["alice"], entries, BETA) == there > 0
    assert refused(database, users["alice"], entries, ALPHA) == "not_a_tenant_admin"
    assert refused(database, users["alice"], entries, GAMMA) == "not_a_tenant_member"
    verified = "select entries from chat.verify_audit_log(%s)"
    assert call(database, users["alice"], verified, BETA) == there


def test_new_users_join_what_is_open(two):
    database, _ = two
    database.owner.execute("update chat.tenants set is_open = (id = %s)", (BETA,))
    joined = "select array_agg(tenant_id::text) from chat.tenant_members where user_id = %s"
    assert database.owner.execute(joined, (database.user("dora"),)).fetchone() == ([BETA],)


@pytest.mark.parametrize("what", ["direct", "subject", "other creator", "other tenant"])
def test_the_id_of_a_group_is_taken_by_any_other_conversation(two, what):
    database, users = two
    taken = {
        "direct": ("alice", DIRECT, ALPHA),
        "subject": ("alice", SUBJECT, ALPHA),
        "other creator": ("bob", GROUP, ALPHA),
        "other tenant": ("alice", GROUP, BETA),
    }
    database.owner.execute("update chat.settings set who_may_open_subjects = 'members'")
    creator, query, tenant = taken[what]
    other = users["bob" if creator == "alice" else "alice"]
    room = call(database, users[creator], query, other, tenant)
    start = "select chat.start_group('Group', id => %s, tenant_id => %s)"
    assert refused(database, users["alice"], start, room, ALPHA) == "conversation_id_taken"


def test_a_report_is_not_for_whom_it_is_about(two):
    """mona and bob are reported; as a moderator mona sees what is about bob alone."""
    database, users = two
    mona = database.user("mona")
    database.owner.execute(
        "update chat.tenant_members set role = 'moderator' where user_id = %s", (mona,)
    )
    room = call(
        database,
        users["alice"],
        "select (chat.start_group('Group', array[%s, %s]::uuid[], tenant_id => %s)).id::text",
        users["bob"],
        mona,
        ALPHA,
    )
    call(database, mona, "select chat.send_message(%s, 'of mona')", room)
    call(database, users["bob"], "select chat.send_message(%s, 'of bob')", room)
    report = "select (chat.report_message(%s, %s, 'spam')).id::text"
    about_mona = call(database, users["alice"], report, room, 1)
    about_bob = call(database, users["alice"], report, room, 2)

    seen = "select array_agg(report_id::text) from chat.report_evidence"
    assert call(database, mona, seen) == [about_bob]
    resolve = "select (chat.resolve_report(%s, 'dismissed')).state::text"
    assert refused(database, mona, resolve, about_mona) == "report_not_found"
    assert refused(database, users["alice"], resolve, about_bob) == "report_not_found"
    assert call(database, mona, resolve, about_bob) == "dismissed"
    assert refused(database, mona, resolve, about_bob) == "report_closed"
    states = "select id::text, state::text from chat.reports"
    assert dict(database.owner.execute(states).fetchall()) == {
        about_mona: "open",
        about_bob: "dismissed",
    }


def test_a_moderator_of_one_handles_its_reports_alone(two):
    database, users = two
    made = rooms(database, users)
    database.owner.execute(
        "update chat.tenant_members set role = 'moderator' where tenant_id = %s and user_id = %s",
        (GAMMA, users["carol"]),
    )
    report = call(
        database, users["bob"], "select (chat.report_message(%s, 1, 'spam')).id::text", made[ALPHA]
    )
    resolve = "select chat.resolve_report(%s, 'dismissed')"
    assert refused(database, users["carol"], resolve, report) == "report_not_found"
    seen = "select count(*) from chat.reports"
    assert call(database, users["carol"], seen) == 0
    assert call(database, users["carol"], "select count(*) from chat.report_evidence") == 0
    assert call(database, users["bob"], seen) == 1
    database.owner.execute(
        "update chat.tenant_members set removed_at = now() where tenant_id = %s and user_id = %s",
        (ALPHA, users["bob"]),
    )
    assert call(database, users["bob"], seen) == 0


def test_a_late_joiner_of_one_conversation_reads_no_other(two):
    database, users = two
    made = rooms(database, users)
    for room in made.values():
        call(database, users["alice"], "select chat.send_message(%s, 'two')", room)
    database.owner.execute(
        "update chat.participants set visible_from_seq = 2 where user_id = %s", (users["bob"],)
    )
    database.owner.execute(
        "delete from chat.participants where user_id = %s and conversation_id = %s",
        (users["bob"], made[BETA]),
    )
    seen = "select json_agg(json_build_array(conversation_id, seq)) from chat.messages"
    assert call(database, users["bob"], seen) == [[made[ALPHA], 2]]
    database.owner.execute("update chat.participants set left_at = now()")
    assert call(database, users["bob"], seen) is None


def test_a_full_schedule_is_of_one_user_in_one_conversation(two):
    database, users = two
    made = rooms(database, users)
    database.owner.execute(
        "insert into chat.scheduled_messages (conversation_id, user_id, send_at, kind, body,"
        " metadata, mentions) select %s, %s, now() + interval '1 day', 'text', 'x', %s, '{}'"
        " from generate_series(1, 100)",
        (made[ALPHA], users["alice"], json.dumps({})),
    )
    later = "select (chat.schedule_message(%s, now() + interval '1 day', 'x')).body"
    assert refused(database, users["alice"], later, made[ALPHA]) == "too_many_scheduled"
    assert call(database, users["alice"], later, made[BETA]) == "x"
    assert call(database, users["bob"], later, made[ALPHA]) == "x"
    database.owner.execute("update chat.settings set message_max_length = 3")
    longer = "select chat.update_scheduled_message(id, body => 'long') from chat.scheduled_messages"
    assert refused(database, users["bob"], longer) == "message_too_long"


def test_who_has_left_changes_nothing_of_what_they_scheduled(two):
    database, users = two
    room = rooms(database, users)[ALPHA]
    later = "select chat.schedule_message(%s, now() + interval '1 day', 'x')"
    call(database, users["bob"], later, room)
    scheduled = "select s.id::text, s.body from chat.scheduled_messages as s"
    ((message, _),) = before = database.owner.execute(scheduled).fetchall()
    call(database, users["bob"], "select chat.leave(%s)", room)
    change = "select chat.update_scheduled_message(%s, body => 'y')"
    assert refused(database, users["bob"], change, message) == "conversation_not_found"
    assert database.owner.execute(scheduled).fetchall() == before
