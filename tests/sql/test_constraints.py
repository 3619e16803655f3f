"""What no row may say, whoever writes it: every check, foreign key and unique rule, tried.

The writer is the owner of the tables, whom no policy and no grant stops.
"""

from __future__ import annotations

import isolation
import psycopg
import pytest

LONG = "repeat('x', {})".format
CUSTOM = "type = 'custom', conversation_id = null, message_seq = null"

# By table and constraint: changes of rows that are there, each of which it must refuse.
CHECKS: dict[str, dict[str, tuple[str, ...]]] = {
    "chat.attachments": {
        "attachments_dimensions_check": (
            "width = 1, height = null", "width = 0, height = 1", "width = 1, height = 100001",
        ),
        "attachments_duration_seconds_check": ("duration_seconds = -1", "duration_seconds = 1e6"),
        "attachments_mime_type_check": ("mime_type = 'a/'", f"mime_type = {LONG(256)}"),
        "attachments_name_check": ("name = ''", "name = 'a/b'", r"name = e'a\nb'"),
        "attachments_path_check": (
            "path = replace(path, '/', '')",
            "path = replace(path, conversation_id::text, gen_random_uuid()::text)",
            "path = path || '/more'",
        ),
        "attachments_position_check": ("position = 0",),
        "attachments_sha256_check": ("sha256 = 'x'", "sha256 = repeat('A', 64)"),
        "attachments_size_bytes_check": ("size_bytes = -1",),
    },
    "chat.bans": {"bans_reason_check": ("reason = ''", f"reason = {LONG(2001)}")},
    "chat.blocks": {"blocks_self_check": ("blocked_id = blocker_id",)},
    "chat.contacts": {
        "contacts_accepted_at_check": (
            "state = 'accepted', accepted_at = null", "state = 'pending', accepted_at = now()",
        ),
        "contacts_pair_check": ("user_low_id = user_high_id",),
        "contacts_requested_by_check": ("requested_by = gen_random_uuid()",),
    },
    "chat.conversations": {
        "conversations_counters_check": (
            "message_count = last_seq + 1", "rev = last_seq - 1", "message_count = -1", "epoch = 0",
        ),
        "conversations_pair_check": (
            "user_low_id = id, user_high_id = id where kind = 'direct'",
        ),
        "conversations_retention_check": ("retention = interval '0'",),
        "conversations_slow_mode_seconds_check": (
            "slow_mode_seconds = -1", "slow_mode_seconds = 3601",
        ),
        "conversations_subject_check": (
            "subject_type = 'order', subject_id = null where kind = 'subject'",
            "subject_type = 'order', subject_id = '1' where kind = 'group'",
            "subject_type = '' where kind = 'subject'",
            "subject_id = '' where kind = 'subject'",
        ),
        "conversations_title_check": (
            "title = null where kind = 'group'", "title = 'x' where kind = 'direct'",
            "title = ' ' where kind = 'group'", f"title = {LONG(201)} where kind = 'group'",
        ),
    },
    "chat.drafts": {
        "drafts_body_check": (f"body = {LONG(10001)}",),
        "drafts_metadata_check": (
            "metadata = '[]'", f"metadata = jsonb_build_object('x', {LONG(17000)})",
        ),
    },
    "chat.legal_holds": {
        "legal_holds_reason_check": ("reason = ''", f"reason = {LONG(2001)}"),
        "legal_holds_scope_check": (
            "user_id = gen_random_uuid(), conversation_id = gen_random_uuid()",
        ),
    },
    "chat.messages": {
        "messages_body_check": (
            f"body = {LONG(10001)} where deleted_at is null",
            "body = ' ' where kind = 'text' and deleted_at is null",
            "body = null where kind = 'text' and deleted_at is null",
        ),
        "messages_deleted_check": ("body = 'still here' where deleted_at is not null",),
        "messages_metadata_check": (
            "metadata = '[]'  where deleted_at is not null",
            f"metadata = jsonb_build_object('x', {LONG(17000)}) where kind = 'text'",
        ),
        "messages_metadata_kind_check": (
            "metadata = '{\"mention_all\": 1}' where kind = 'text' and deleted_at is null",
        ),
        "messages_seq_check": ("rev = seq - 1", "reply_to_seq = seq", "thread_root_seq = seq"),
    },
    "chat.devices": {"devices_name_check": ("name = ''", f"name = {LONG(101)}")},
    "chat.notification_preferences": {
        "notification_preferences_push_check": ("push = 'some'",),
        "notification_preferences_quiet_check": (
            "quiet_from = '22:00', quiet_until = null", "quiet_from = '6:00', quiet_until = '6:00'",
        ),
        "notification_preferences_types_off_check": (
            "types_off = array[null]::chat.notification_type []",
            "types_off = array_fill('custom'::chat.notification_type, array[101])",
        ),
    },
    "chat.notifications": {
        "notifications_message_check": (
            "type = 'mention', message_seq = null", "type = 'mention', conversation_id = null",
        ),
        "notifications_metadata_check": (
            f"{CUSTOM}, title = 'x', metadata = '[]'",
            f"{CUSTOM}, title = 'x', metadata = jsonb_build_object('x', {LONG(17000)})",
        ),
        "notifications_text_check": (
            "title = 'x'", "body = 'x'", "key = 'x'", "metadata = '{\"x\": 1}'",
            f"{CUSTOM}, title = null", f"{CUSTOM}, title = ''", f"{CUSTOM}, title = {LONG(201)}",
            f"{CUSTOM}, title = 'x', body = {LONG(2001)}",
            f"{CUSTOM}, title = 'x', key = {LONG(201)}",
        ),
    },
    "chat_private.push_tokens": {
        "push_tokens_provider_check": ("provider = 'pigeon'",),
        "push_tokens_token_check": (
            "token = ''", f"token = {LONG(2001)}", "provider = 'webpush', token = '{}'",
            "provider = 'webpush', token = '{\"endpoint\": \"http://localhost\"}'",
        ),
    },
    "chat.participants": {
        "participants_party_check": ("party = ''", f"party = {LONG(51)}"),
        "participants_watermarks_check": (
            "last_delivered_seq = last_read_seq - 1", "last_read_seq = -1", "read_count = -1",
        ),
    },
    "chat.poll_votes": {"poll_votes_option_id_check": ("option_id = ''",)},
    "chat.profiles": {
        "profiles_avatar_url_check": (
            "avatar_url = 'javascript:x'", f"avatar_url = 'https://' || {LONG(2000)}",
        ),
        "profiles_display_name_check": ("display_name = ''", f"display_name = {LONG(101)}"),
        "profiles_username_check": (
            "username = 'x'", "username = 'a b c'", f"username = {LONG(51)}",
        ),
    },
    "chat.reactions": {
        "reactions_emoji_check": ("emoji = ''", "emoji = 'a b'", f"emoji = {LONG(65)}"),
    },
    "chat.reports": {
        "reports_details_check": ("details = ''", f"details = {LONG(2001)}"),
        "reports_reason_check": ("reason = 'boredom'",),
        "reports_resolution_check": (
            "state = 'open', resolved_at = now()", "state = 'resolved', resolved_at = null",
            "resolution = ''",
        ),
    },
    "chat.saved_messages": {"saved_messages_note_check": ("note = ''", f"note = {LONG(1001)}")},
    "chat.scheduled_messages": {
        "scheduled_messages_body_check": ("body = ' '", "body = null", f"body = {LONG(10001)}"),
        "scheduled_messages_failed_check": (
            "failed_at = now(), error_code = null", "failed_at = null, error_code = 'silenced'",
        ),
        "scheduled_messages_kind_check": ("kind = 'system'",),
        "scheduled_messages_mentions_check": (
            "mentions = array(select gen_random_uuid() from generate_series(1, 51))",
        ),
        "scheduled_messages_metadata_check": (
            f"metadata = jsonb_build_object('x', {LONG(17000)})",
        ),
        "scheduled_messages_metadata_kind_check": ("metadata = '{\"mention_all\": 1}'",),
    },
    "chat.settings": {
        "settings_attachment_max_bytes_check": ("attachment_max_bytes = 0",),
        "settings_attachment_mime_types_check": (
            "attachment_mime_types = array(select 'a/b' || n from generate_series(1, 101) as n)",
        ),
        "settings_attachments_per_message_check": (
            "attachments_per_message = -1", "attachments_per_message = 11",
        ),
        "settings_downgrade_grace_check": ("downgrade_grace = interval '-1 second'",),
        "settings_edit_window_check": ("edit_window = interval '-1 second'",),
        "settings_fan_out_limit_check": ("fan_out_limit = -1", "fan_out_limit = 1001"),
        "settings_max_participants_check": ("max_participants = 1", "max_participants = 10001"),
        "settings_message_max_length_check": (
            "message_max_length = 0", "message_max_length = 10001",
        ),
        "settings_pins_per_conversation_check": (
            "pins_per_conversation = -1", "pins_per_conversation = 1001",
        ),
        "settings_restore_window_check": ("restore_window = interval '-1 second'",),
        "settings_retention_check": ("retention = interval '0'",),
        "settings_retention_mode_check": ("retention_mode = 'shortest_tier'",),
        "settings_revisions_visible_to_check": ("revisions_visible_to = 'everybody'",),
        "settings_search_language_check": ("search_language = 'elvish'",),
        "settings_sends_per_minute_check": ("sends_per_minute = 0",),
        "settings_who_may_open_subjects_check": ("who_may_open_subjects = 'contacts'",),
        "settings_who_may_start_check": ("who_may_start = 'everybody'",),
    },
    "chat.tenants": {
        "tenants_name_check": ("name = ''", f"name = {LONG(201)}"),
        "tenants_slug_check": ("slug = 'Upper'", "slug = 'a--b'", "slug = '-a'"),
    },
    "chat.thread_reads": {
        "thread_reads_last_read_seq_check": ("last_read_seq = thread_root_seq - 1",),
    },
    "chat.tiers": {
        "tiers_name_check": ("name = 'Upper' where name = 'privileged'",),
        "tiers_retention_check": ("retention = interval '0'",),
    },
    "chat.tier_changes": {
        "tier_changes_effective_at_check": ("effective_at = changed_at - interval '1 second'",),
    },
    "chat_private.deleted_messages": {
        "deleted_messages_purged_check": ("purged_at = now(), body = 'still here'",),
    },
    "chat_private.personal_data": {
        "personal_data_action_check": ("action = 'forget'",),
        "personal_data_reason_check": (
            "reason = null where action = 'retain'", "reason = 'x' where action = 'delete'",
        ),
    },
    "chat_private.errors": {
        "errors_code_check": ("code = 'Upper' || code",),
        "errors_state_check": ("state = 'x'",),
    },
}  # fmt: skip

OF_A_MESSAGE = ("attachments", "hidden_messages", "mentions", "message_revisions", "pins",
                "poll_votes", "reactions", "saved_messages")  # fmt: skip
OF_A_PARTICIPANT = ("drafts", "hidden_messages", "mentions", "poll_votes", "reactions", "receipts",
                    "saved_messages", "scheduled_messages", "thread_reads")  # fmt: skip
NOWHERE = "gen_random_uuid()"

# By constraint: its table, the column and a value that leads nowhere.
REFERENCES: dict[str, tuple[str, str, str]] = {
    **{f"{t}_message_seq_fkey": (f"chat.{t}", "message_seq", "9999") for t in OF_A_MESSAGE},
    **{f"{t}_user_id_fkey": (f"chat.{t}", "user_id", NOWHERE) for t in OF_A_PARTICIPANT},
    "participant_settings_conversation_id_user_id_fkey":
        ("chat.participant_settings", "user_id", NOWHERE),
    "participants_conversation_id_fkey": ("chat.participants", "conversation_id", NOWHERE),
    "participants_user_id_fkey": ("chat.participants", "user_id", NOWHERE),
    "pins_pinned_by_fkey": ("chat.pins", "pinned_by", NOWHERE),
    "drafts_reply_to_seq_fkey": ("chat.drafts", "reply_to_seq", "9999"),
    "drafts_thread_root_seq_fkey": ("chat.drafts", "thread_root_seq", "9999"),
    "thread_reads_thread_root_seq_fkey": ("chat.thread_reads", "thread_root_seq", "0"),
    "messages_reply_to_seq_fkey": ("chat.messages", "reply_to_seq", "0"),
    "messages_thread_root_seq_fkey": ("chat.messages", "thread_root_seq", "0"),
    "notifications_user_id_fkey": ("chat.notifications", "user_id", NOWHERE),
    "notifications_actor_id_fkey": ("chat.notifications", "actor_id", NOWHERE),
    "notifications_message_seq_fkey": ("chat.notifications", "message_seq", "9999"),
    "notification_preferences_user_id_fkey":
        ("chat.notification_preferences", "user_id", NOWHERE),
    "devices_session_id_fkey": ("chat.devices", "session_id", NOWHERE),
    "push_tokens_device_id_fkey": ("chat_private.push_tokens", "device_id", NOWHERE),
    "bans_banned_by_fkey": ("chat.bans", "banned_by", NOWHERE),
    "bans_lifted_by_fkey": ("chat.bans", "lifted_by", NOWHERE),
    "bans_tenant_id_fkey": ("chat.bans", "tenant_id", NOWHERE),
    "bans_user_id_fkey": ("chat.bans", "user_id", NOWHERE),
    "blocks_blocked_id_fkey": ("chat.blocks", "blocked_id", NOWHERE),
    "blocks_blocker_id_fkey": ("chat.blocks", "blocker_id", NOWHERE),
    "contacts_user_high_id_fkey":
        ("chat.contacts", "user_high_id", "'ffffffff-ffff-4fff-8fff-ffffffffffff'"),
    "contacts_user_low_id_fkey":
        ("chat.contacts", "user_low_id", "'00000000-0000-4000-8000-000000000000'"),
    "conversations_created_by_fkey": ("chat.conversations", "created_by", NOWHERE),
    "conversations_user_high_id_fkey":
        ("chat.conversations", "user_high_id", "'ffffffff-ffff-4fff-8fff-ffffffffffff'"),
    "conversations_user_low_id_fkey":
        ("chat.conversations", "user_low_id", "'00000000-0000-4000-8000-000000000000'"),
    "report_evidence_report_id_fkey": ("chat.report_evidence", "report_id", NOWHERE),
    "reports_conversation_id_fkey": ("chat.reports", "conversation_id", NOWHERE),
    "reports_reported_user_id_fkey": ("chat.reports", "reported_user_id", NOWHERE),
    "reports_reporter_id_fkey": ("chat.reports", "reporter_id", NOWHERE),
    "reports_resolved_by_fkey": ("chat.reports", "resolved_by", NOWHERE),
    "settings_tenant_id_fkey": ("chat.settings", "tenant_id", NOWHERE),
    "tenant_members_tier_fkey": ("chat.tenant_members", "tier", "'platinum'"),
    "legal_holds_user_id_fkey": ("chat.legal_holds", "user_id", NOWHERE),
    "legal_holds_conversation_id_fkey": (
        "chat.legal_holds", "user_id = null, conversation_id", NOWHERE,
    ),
    "legal_holds_placed_by_fkey": ("chat.legal_holds", "placed_by", NOWHERE),
    "legal_holds_tenant_id_fkey": (
        "chat.legal_holds", "user_id = null, conversation_id = null, tenant_id", NOWHERE,
    ),
    "tier_changes_user_id_fkey": ("chat.tier_changes", "user_id", NOWHERE),
    "tier_changes_from_tier_fkey": ("chat.tier_changes", "from_tier", "'platinum'"),
    "tier_changes_to_tier_fkey": ("chat.tier_changes", "to_tier", "'platinum'"),
    "deleted_messages_message_seq_fkey": ("chat_private.deleted_messages", "message_seq", "9999"),
}  # fmt: skip

# The same for tables without rows, and for columns that nobody may update.
INSERTS = {
    "devices_user_id_fkey":
        "insert into chat.devices (user_id, id) values (gen_random_uuid(), gen_random_uuid())",
    "tenant_members_tenant_id_fkey":
        "insert into chat.tenant_members (tenant_id, user_id) select gen_random_uuid(), id"
        " from chat.profiles limit 1",
    "tenant_members_user_id_fkey":
        "insert into chat.tenant_members (tenant_id, user_id) select id, gen_random_uuid()"
        " from chat.tenants limit 1",
    "reports_tenant_id_fkey":
        "insert into chat.reports select n.* from chat.reports as r cross join"
        " jsonb_populate_record(r, jsonb_build_object('id', gen_random_uuid(), 'tenant_id',"
        " gen_random_uuid(), 'reporter_id', null, 'reported_user_id', null, 'conversation_id',"
        " null)) as n limit 1",
    "profiles_id_fkey":
        "insert into chat.profiles (id, username) values (gen_random_uuid(), 'nobody_there')",
    "conversations_tenant_id_fkey":
        "insert into chat.conversations (tenant_id, kind, title) values"
        " (gen_random_uuid(), 'group', 'x')",
    "notifications_user_id_participants_fkey":
        "insert into chat.notifications (user_id, type, conversation_id) select p.id,"
        " 'added_to_conversation', c.id from chat.profiles as p cross join chat.conversations as c"
        " where not exists (select from chat.participants as q"
        " where q.user_id = p.id and q.conversation_id = c.id) limit 1",
    "messages_sender_id_fkey":
        "insert into chat.messages (conversation_id, sender_id, body) select id, gen_random_uuid(),"
        " 'x' from chat.conversations limit 1",
    "send_windows_user_id_fkey":
        "insert into chat_private.send_windows values"
        " ((select id from chat.tenants limit 1), gen_random_uuid(), now(), 1)",
    "erasures_user_id_fkey":
        "insert into chat_private.erasures (user_id) values (gen_random_uuid())",
    "exports_user_id_fkey":
        "insert into chat.exports (user_id) values (gen_random_uuid())",
    "export_parts_export_id_fkey":
        "insert into chat_private.export_parts values (gen_random_uuid(), 1, 'x', '{}', null)",
    "restored_messages_message_seq_fkey":
        "insert into chat_private.restored_messages select conversation_id, 9999, now()"
        " from chat.messages limit 1",
    "retention_jobs_tenant_id_fkey":
        "insert into chat_private.retention_jobs (tenant_id) values (gen_random_uuid())",
    "retention_jobs_user_id_fkey":
        "insert into chat_private.retention_jobs (tenant_id, user_id)"
        " select id, gen_random_uuid() from chat.tenants limit 1",
    "retention_jobs_conversation_id_fkey":
        "insert into chat_private.retention_jobs (tenant_id, conversation_id)"
        " select id, gen_random_uuid() from chat.tenants limit 1",
    "unhidden_messages_message_seq_fkey":
        "insert into chat_private.unhidden_messages select conversation_id, 9999, user_id, 1"
        " from chat.participants limit 1",
    "unhidden_messages_user_id_fkey":
        "insert into chat_private.unhidden_messages"
        " select conversation_id, seq, gen_random_uuid(), 1 from chat.messages limit 1",
}  # fmt: skip


def copy(table: str, changes: str = "'id', gen_random_uuid()", where: str = "true") -> str:
    """A second row of a table, like one that is there but for some columns."""
    return (
        f"insert into {table} overriding user value select n.* from {table} as r"
        f" cross join jsonb_populate_record(r, jsonb_build_object({changes})) as n"
        f" where {where} limit 1"
    )


# What would make a second of something that there is once.
TWICE = {
    "profiles_username_key": "update chat.profiles set username = case when id ="
        " (select id from chat.profiles limit 1) then 'SAME' else 'same' end",
    "tenants_slug_key": "update chat.tenants set slug = 'same'",
    "conversations_direct_key": copy("chat.conversations", where="r.kind = 'direct'"),
    "conversations_subject_key": copy("chat.conversations", where="r.kind = 'subject'"),
    "messages_id_key":
        "insert into chat.messages (conversation_id, id, body)"
        " select conversation_id, id, 'x' from chat.messages limit 1",
    "mentions_message_seq_user_id_key": "insert into chat.mentions select * from chat.mentions",
    "drafts_conversation_id_user_id_thread_root_seq_key":
        "insert into chat.drafts select * from chat.drafts",
    "attachments_path_key": copy("chat.attachments", "'position', 10"),
    "notifications_message_seq_user_id_key":
        copy("chat.notifications", "'type', 'mention'", "r.message_seq is not null"),
    "notifications_user_id_key_key":
        f"update chat.notifications set {CUSTOM}, title = 'x', key = 'same'",
    "push_tokens_token_key":
        "with d as (insert into chat.devices (user_id, id) select user_id, gen_random_uuid()"
        " from chat.devices limit 1 returning *)"
        " insert into chat_private.push_tokens select user_id, id, 'fcm', 'token' from d",
    "bans_tenant_id_user_id_idx": copy("chat.bans", where="r.lifted_at is null"),
    "reports_open_message_idx":
        copy("chat.reports", where="r.state = 'open' and r.message_seq is not null"),
    "reports_open_user_idx":
        "insert into chat.reports (tenant_id, reporter_id, reported_user_id, reason)"
        " select tenant_id, reporter_id, reported_user_id, reason from chat.reports as r"
        " cross join generate_series(1, 2)",
}  # fmt: skip


@pytest.fixture
def world(database):
    """The owner's connection, in a transaction that has made rows of all tables."""
    with database.owner.transaction(force_rollback=True):
        for path in sorted((isolation.FOLDER / "attacks").glob("*.sql")):
            database.owner.execute(path.read_bytes())
        database.owner.execute("select pg_temp.verify_make_world()")
        database.owner.execute(
            "insert into chat_private.push_tokens select user_id, id, 'fcm', 'token'"
            " from chat.devices limit 1"
        )
        database.owner.execute(
            "insert into chat.legal_holds (tenant_id, user_id, reason)"
            " select tenant_id, user_id, 'a case' from chat.tenant_members limit 1"
        )
        database.owner.execute("update chat.tenant_members set tier = 'privileged'")
        yield database.owner


def refusal(connection, statement):
    """The constraint that refuses a statement, or what else becomes of it."""
    try:
        with connection.transaction(force_rollback=True):
            changed = connection.execute(statement.encode()).rowcount
            connection.execute("set constraints all immediate")
    except psycopg.Error as error:
        return error.diag.constraint_name or str(error)
    return f"{changed} rows changed"


def test_checks(world):
    for table, checks in CHECKS.items():
        for name, changes in checks.items():
            for change in changes:
                assert refusal(world, f"update {table} set {change}") == name, (table, change)


def test_references(world):
    found = {}
    for name, (table, column, nowhere) in REFERENCES.items():
        change = f"{column} = {nowhere}"
        if table == "chat.contacts":
            change += f", requested_by = {nowhere}"
        one = f"(select ctid from {table} order by {column} is null limit 1)"
        found[name] = refusal(world, f"update {table} set {change} where ctid = {one}")
    for name, statement in INSERTS.items():
        found[name] = refusal(world, statement)
    assert found == {name: name for name in found}


def test_what_there_is_once(world):
    found = {name: refusal(world, statement) for name, statement in TWICE.items()}
    assert found == {name: name for name in found}


def test_with_a_conversation_goes_all_that_is_in_it(world):
    world.execute("delete from chat.legal_holds")
    world.execute("delete from chat.conversations")
    for table in ("messages", "participants", *OF_A_MESSAGE, *OF_A_PARTICIPANT):
        assert world.execute(f"select count(*) from chat.{table}".encode()).fetchone() == (0,), (
            table
        )


def test_all_are_tried(database):
    """A new constraint comes with an attempt to break it."""
    query = (
        "select k.contype, array_agg(k.conname::text) from pg_constraint as k"
        " where k.connamespace in ('chat'::regnamespace, 'chat_private'::regnamespace)"
        " and k.conrelid <> 0 group by 1"
    )
    there = {kind: set(names) for kind, names in database.owner.execute(query)}
    tried = {name for checks in CHECKS.values() for name in checks}
    assert there["c"] == tried
    assert there["f"] == {*REFERENCES, *INSERTS, "messages_conversation_id_fkey"}
