"""What may happen to an installed database, and as what it must be found."""

from __future__ import annotations

from typing import NamedTuple


class Drift(NamedTuple):
    """``found``: kind, name and state of what must be among the findings.

    ``is_alone``: it is planted in a database of its own, for it takes others' objects along.
    """

    sql: str
    found: tuple[str, str, str]
    is_destructive: bool = False
    is_alone: bool = False


def drift(sql: str, what: str, *, is_destructive: bool = False, is_alone: bool = False) -> Drift:
    """``what`` is `state: kind name`."""
    state, _, thing = what.partition(": ")
    kinds = ("foreign key", "primary key", "unique constraint")
    kind = next((kind for kind in kinds if thing.startswith(kind)), thing.split(" ")[0])
    return Drift(sql, (kind, thing.removeprefix(f"{kind} "), state), is_destructive, is_alone)


NARROW = "participants_user_id_conversation_id_idx"
READ = '"participants can read messages until they expire"'
UNPIN = "chat.unpin_message(conversation_id uuid, seq bigint)"
LEAVE = "chat.leave(conversation_id uuid)"

MISSING = {
    "table": drift("drop table chat.pins cascade", "missing: table chat.pins"),
    "table that others need": drift("drop table chat.tiers cascade", "missing: table chat.tiers"),
    "view": drift("drop view chat.inbox cascade", "missing: table chat.inbox"),
    "column": drift(
        "alter table chat.profiles drop column display_name cascade",
        "missing: column chat.profiles.display_name",
        is_alone=True,
    ),
    "primary key": drift(
        "alter table chat.pins drop constraint pins_pkey cascade",
        "missing: primary key chat.pins pins_pkey",
        is_alone=True,
    ),
    "unique key": drift(
        "alter table chat.messages drop constraint messages_id_key cascade",
        "missing: unique constraint chat.messages messages_id_key",
        is_alone=True,
    ),
    "foreign key": drift(
        "alter table chat.participants drop constraint participants_user_id_fkey",
        "missing: foreign key chat.participants participants_user_id_fkey",
        is_alone=True,
    ),
    "check": drift(
        "alter table chat.messages drop constraint messages_body_check",
        "missing: check chat.messages messages_body_check",
        is_alone=True,
    ),
    "index": drift(f"drop index chat.{NARROW}", f"missing: index chat.{NARROW}"),
    "policy": drift(
        f"drop policy {READ} on chat.messages",
        f"missing: policy chat.messages {READ}",
        is_alone=True,
    ),
    "policy of Realtime": drift(
        'drop policy "parley: participants can say that they are typing" on realtime.messages',
        'missing: policy realtime.messages "parley: participants can say that they are typing"',
    ),
    "trigger": drift(
        "drop trigger messages_number_message on chat.messages",
        "missing: trigger chat.messages messages_number_message",
    ),
    "trigger of Auth": drift(
        "drop trigger parley_100_create_profile on auth.users",
        "missing: trigger auth.users parley_100_create_profile",
    ),
    "exposed function": drift("drop function chat.unpin_message", f"missing: function {UNPIN}"),
    "function of policies": drift(
        "drop function chat_private.conversation_ids_for_member cascade",
        "missing: function chat_private.conversation_ids_for_member()",
        is_alone=True,
    ),
    "enum": drift(
        "drop type chat.report_state cascade", "missing: type chat.report_state", is_alone=True
    ),
    "row type": drift(
        "drop type chat_private.search_hit cascade",
        "missing: type chat_private.search_hit",
        is_alone=True,
    ),
    "grant on a table": drift(
        "revoke select on chat.messages from authenticated",
        "missing: grant chat.messages to authenticated",
        is_alone=True,
    ),
    "grant on a function": drift(
        "revoke execute on function chat.leave from authenticated",
        f"missing: grant {LEAVE} to authenticated",
    ),
    "grant on the schema": drift(
        "revoke usage on schema chat from authenticated",
        "missing: grant schema chat to authenticated",
    ),
    "publication": drift(
        "alter publication supabase_realtime drop table chat.messages",
        "missing: publication supabase_realtime chat.messages",
    ),
    "text of an error": drift(
        "delete from chat_private.errors where code = 'conversation_not_found'",
        "missing: error conversation_not_found",
    ),
    "bucket": drift(
        "select set_config('storage.allow_delete_query', 'true', false);"
        " delete from storage.buckets where id = 'chat-attachments'",
        "missing: bucket chat-attachments",
    ),
    "job": drift(
        "select cron.unschedule('parley-send-due-messages')",
        "missing: job parley-send-due-messages",
    ),
}

CHANGED = {
    "row level security off": drift(
        "alter table chat.messages disable row level security", "changed: table chat.messages"
    ),
    "row level security forced": drift(
        "alter table chat.messages force row level security",
        "changed: table chat.messages",
        is_alone=True,
    ),
    "unlogged": drift("alter table chat.drafts set unlogged", "changed: table chat.drafts"),
    "storage parameter": drift(
        "alter table chat.drafts set (fillfactor = 50)", "changed: table chat.drafts"
    ),
    "view of its owner's rights": drift(
        "alter view chat.inbox set (security_invoker = false)", "changed: table chat.inbox"
    ),
    "view with other columns": drift(
        "drop view chat.unread_totals cascade; create view chat.unread_totals as select 1 as one",
        "changed: table chat.unread_totals",
        is_alone=True,
    ),
    "column that may be null": drift(
        "alter table chat.messages alter column sender_id drop not null,"
        " alter column kind drop not null",
        "changed: column chat.messages.kind",
    ),
    "default": drift(
        "alter table chat.messages alter column metadata drop default",
        "changed: column chat.messages.metadata",
    ),
    "another default": drift(
        "alter table chat.profiles alter column status set default 'away'",
        "changed: column chat.profiles.status",
    ),
    "narrower type": drift(
        "alter table chat.reactions alter column emoji type varchar(10)",
        "changed: column chat.reactions.emoji",
    ),
    "another type": drift(
        "alter table chat.saved_messages alter column saved_at type text",
        "changed: column chat.saved_messages.saved_at",
        is_destructive=True,
    ),
    "check that allows more": drift(
        "alter table chat.messages drop constraint messages_body_check,"
        " add constraint messages_body_check check (body <> 'x')",
        "changed: check chat.messages messages_body_check",
    ),
    "foreign key not validated": drift(
        "alter table chat.participants drop constraint participants_user_id_fkey,"
        " add constraint participants_user_id_fkey foreign key (user_id)"
        " references auth.users (id) on delete cascade not valid",
        "changed: foreign key chat.participants participants_user_id_fkey",
    ),
    "foreign key without its cascade": drift(
        "alter table chat.participants drop constraint participants_user_id_fkey,"
        " add constraint participants_user_id_fkey foreign key (user_id)"
        " references auth.users (id)",
        "changed: foreign key chat.participants participants_user_id_fkey",
        is_alone=True,
    ),
    "index of other columns": drift(
        f"drop index chat.{NARROW}; create index {NARROW} on chat.participants (user_id)",
        f"changed: index chat.{NARROW}",
    ),
    "policy": drift(
        f"alter policy {READ} on chat.messages using (true)",
        f"changed: policy chat.messages {READ}",
    ),
    "policy for the public": drift(
        f"alter policy {READ} on chat.messages to public",
        f"changed: policy chat.messages {READ}",
        is_alone=True,
    ),
    "trigger disabled": drift(
        "alter table chat.messages disable trigger messages_broadcast_message",
        "changed: trigger chat.messages messages_broadcast_message",
    ),
    "trigger of other events": drift(
        "create or replace trigger messages_number_message before update on chat.messages"
        " for each row execute function chat_private.number_message()",
        "changed: trigger chat.messages messages_number_message",
    ),
    "function body": drift(
        "create or replace function chat_private.conversation_ids_for_member()"
        " returns setof uuid language sql stable security definer set search_path = ''"
        " as 'select id from chat.conversations'",
        "changed: function chat_private.conversation_ids_for_member()",
    ),
    "function with another default, which policies depend on": drift(
        "create or replace function chat_private.can_use_topic("
        "topic text, purpose text default 'x') returns boolean language sql stable"
        " security definer set search_path = '' as 'select true'",
        "changed: function chat_private.can_use_topic(topic text, purpose text)",
    ),
    "function made definer": drift(
        "alter function chat.leave security definer", f"changed: function {LEAVE}"
    ),
    "function with another result": drift(
        "drop function chat.leave; create function chat.leave(conversation_id uuid)"
        " returns text language sql as 'select null::text'",
        f"changed: function {LEAVE}",
        is_alone=True,
    ),
    "function with another name of an argument": drift(
        "drop function chat.leave; create function chat.leave(id uuid)"
        " returns void language sql set search_path = '' as ''",
        f"changed: function {LEAVE}",
        is_alone=True,
    ),
    "grant": drift(
        "grant update, delete on chat.conversations to authenticated",
        "changed: grant chat.conversations to authenticated",
    ),
    "grant on a table with granted columns": drift(
        "grant update on chat.devices to authenticated",
        "changed: grant chat.devices to authenticated",
    ),
    "grant on a column": drift(
        "grant insert (username) on chat.profiles to authenticated",
        "changed: grant chat.profiles.username to authenticated",
    ),
    "row filter of the publication": drift(
        "alter publication supabase_realtime drop table chat.messages;"
        " alter publication supabase_realtime add table chat.messages where (seq > 5)",
        "changed: publication supabase_realtime chat.messages",
    ),
    "text of an error": drift(
        "update chat_private.errors set state = '42501' where code = 'conversation_not_found'",
        "changed: error conversation_not_found",
    ),
    "bucket for all": drift(
        "update storage.buckets set public = true, allowed_mime_types = null"
        " where id = 'chat-attachments'",
        "changed: bucket chat-attachments",
    ),
    "job at other times": drift(
        "select cron.schedule('parley-send-due-messages', '0 0 * * *', 'select 1')",
        "changed: job parley-send-due-messages",
    ),
    "job inactive": drift(
        "select cron.alter_job(jobid, active := false) from cron.job",
        "changed: job parley-send-due-messages",
        is_alone=True,
    ),
}

EXTRA = {
    "policy": drift(
        'create policy "all" on chat.messages for select to authenticated using (true)',
        'extra: policy chat.messages "all"',
    ),
    "grant to anon": drift(
        "grant select on chat.messages to anon", "extra: grant chat.messages to anon"
    ),
    "grant to another role": drift(
        "grant usage on schema chat_private to authenticated;"
        ' grant select on chat.tiers to "dashboard_user" with grant option',
        "extra: grant chat.tiers to dashboard_user",
    ),
    "grant on a column": drift(
        "grant update (body) on chat.messages to authenticated",
        "extra: grant chat.messages.body to authenticated",
    ),
    "grant of a function to all": drift(
        "grant execute on function chat_private.next_rev to public",
        "extra: grant chat_private.next_rev(conversation_id uuid) to public",
    ),
    "publication": drift(
        "alter publication supabase_realtime add table chat.drafts",
        "extra: publication supabase_realtime chat.drafts",
    ),
    "owner of a table": drift(
        "alter table chat.drafts owner to dashboard_user", "extra: owner chat.drafts", is_alone=True
    ),
    "owner of a function": drift(
        "alter function chat.leave owner to dashboard_user", f"extra: owner {LEAVE}", is_alone=True
    ),
    "table": drift(
        'create table chat."Own notes" (id int primary key); grant all on chat."Own notes" to anon',
        "extra: table chat.Own notes",
        is_destructive=True,
    ),
    "view": drift(
        "create view chat.shortcut as select * from chat.messages",
        "extra: table chat.shortcut",
        is_destructive=True,
    ),
    "column": drift(
        'alter table chat.profiles add column "Nick" text',
        "extra: column chat.profiles.Nick",
        is_destructive=True,
    ),
    "check": drift(
        "alter table chat.messages add constraint short check (length(body) < 5)",
        "extra: check chat.messages short",
        is_destructive=True,
    ),
    "index": drift(
        "create index mine on chat.messages (created_at)",
        "extra: index chat.mine",
        is_destructive=True,
    ),
    "trigger": drift(
        "create function public.f() returns trigger language plpgsql as 'begin return null; end';"
        " create trigger stop before insert on chat.messages"
        " for each row execute function public.f()",
        "extra: trigger chat.messages stop",
        is_destructive=True,
    ),
    "rule": drift(
        "create rule forget as on delete to chat.drafts do instead nothing",
        "extra: rule chat.drafts forget",
        is_destructive=True,
    ),
    "function": drift(
        "create function chat.backdoor() returns int language sql as 'select 1'",
        "extra: function chat.backdoor()",
        is_destructive=True,
    ),
    "type": drift(
        "create type chat.mood as enum ('good')", "extra: type chat.mood", is_destructive=True
    ),
    "text of an error": drift(
        "insert into chat_private.errors values ('own_error', '22023', 'No.', 'No.')",
        "extra: error own_error",
        is_destructive=True,
    ),
    "job": drift(
        "select cron.schedule('parley-own', '0 0 * * *', 'select 1')",
        "extra: job parley-own",
        is_destructive=True,
    ),
}

GROUPS = {"missing": MISSING, "changed": CHANGED, "extra": EXTRA}
DRIFTS = {
    **{
        f"{state}: together": [planted for planted in group.values() if not planted.is_alone]
        for state, group in GROUPS.items()
    },
    **{
        f"{state}: {name}": [planted]
        for state, group in GROUPS.items()
        for name, planted in group.items()
        if planted.is_alone
    },
}
