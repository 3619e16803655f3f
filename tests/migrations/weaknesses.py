"""What may go wrong in an installed database: each weakens one thing."""

from __future__ import annotations

from typing import NamedTuple


class Weakness(NamedTuple):
    """``difference`` is what the structure shows; ``attack`` the part of the play that succeeds.

    ``by``: who succeeds, and in what.
    """

    name: str
    sql: str
    difference: str = ""
    attack: str = ""
    by: str = ""


_ALL_CONVERSATIONS = (
    "create or replace function chat_private.{0}() returns {1} language sql stable"
    " security definer set search_path = '' as 'select {2} from chat.conversations'"
)

POLICIES = (
    Weakness(
        "dropped, and row level security off",
        'drop policy "participants can read receipts" on chat.receipts;'
        " alter table chat.receipts disable row level security",
        'policy chat.receipts "participants can read receipts"',
        "verify_reads('^chat.receipts$')",
        "stranger: select chat.receipts",
    ),
    Weakness(
        "true",
        'alter policy "participants can read their conversations" on chat.conversations'
        " using (true)",
        'policy chat.conversations "participants can read their conversations"',
        "verify_reads('^chat.conversations$')",
        "elsewhere: select chat.conversations",
    ),
    Weakness(
        "for the public",
        'alter policy "participants can read their conversations" on chat.conversations to public',
        'policy chat.conversations "participants can read their conversations"',
    ),
    Weakness(
        "for anon",
        "grant usage on schema chat to anon; grant select on chat.messages to anon;"
        ' create policy "anon" on chat.messages for select to anon using (true)',
        'policy chat.messages "anon"',
        "verify_reads('^chat.messages$')",
        "anon: select chat.messages",
    ),
    Weakness(
        "without expiry and what is hidden",
        'alter policy "participants can read messages until they expire" on chat.messages using'
        " (conversation_id = any (array(select chat_private.conversation_ids_for_member())))",
        'policy chat.messages "participants can read messages until they expire"',
        "verify_reads('^chat.messages$')",
        "late: select chat.messages",
    ),
    Weakness(
        "with check gone",
        'alter policy "users can block others" on chat.blocks with check (true)',
        'policy chat.blocks "users can block others"',
        "verify_inserts('^chat.blocks$')",
        "stranger: insert chat.blocks, again, granted columns",
    ),
    Weakness(
        "with check without the conversation",
        'alter policy "participants can make their own drafts" on chat.drafts'
        " with check (user_id = (select auth.uid()))",
        'policy chat.drafts "participants can make their own drafts"',
        "verify_inserts('^chat.drafts$')",
        "former: insert chat.drafts, as theirs, granted columns",
    ),
    Weakness(
        "using true on update",
        'alter policy "users can change their own profile" on chat.profiles'
        " using (true) with check (true)",
        'policy chat.profiles "users can change their own profile"',
        "verify_updates('^chat.profiles$')",
        "blocked: update chat.profiles, display_name",
    ),
    Weakness(
        "delete of the project's own",
        "grant delete on chat.participants to authenticated;"
        ' create policy "d" on chat.participants for delete to authenticated using (true)',
        "grant chat.participants to authenticated",
        "verify_deletes('^chat.participants$')",
        "member: delete chat.participants",
    ),
    Weakness(
        "anybody joins",
        "grant insert on chat.participants to authenticated;"
        ' create policy "i" on chat.participants for insert to authenticated'
        " with check (user_id = auth.uid())",
        'policy chat.participants "i"',
        "verify_inserts('^chat.participants$')",
        "stranger: insert chat.participants, as theirs, granted columns",
    ),
    Weakness(
        "off on messages",
        "alter table chat.messages disable row level security",
        "table chat.messages",
        "verify_reads('^chat.messages$')",
        "other: select chat.messages",
    ),
)

GRANTS = (
    Weakness(
        "update of a table",
        "grant update on chat.messages to authenticated",
        "grant chat.messages to authenticated",
        "verify_updates('^chat.messages$')",
        "member: update chat.messages, body",
    ),
    Weakness(
        "update of a column",
        "grant update (last_seen_at) on chat.profiles to authenticated",
        "grant chat.profiles.last_seen_at to authenticated",
        "verify_updates('^chat.profiles$')",
        "member: update chat.profiles, last_seen_at",
    ),
    Weakness(
        "insert of a column",
        "grant insert (created_at) on chat.blocks to authenticated",
        "grant chat.blocks.created_at to authenticated",
        "verify_inserts('^chat.blocks$')",
        "stranger: insert chat.blocks, created_at alone",
    ),
    Weakness(
        "select to anon",
        "grant usage on schema chat to anon; grant select on chat.tiers to anon",
        "grant chat.tiers to anon",
        "verify_reads('^chat.tiers$')",
        "anon: select chat.tiers",
    ),
    Weakness(
        "truncate",
        "grant truncate on chat.messages to authenticated",
        "grant chat.messages to authenticated",
        "verify_privileges('^chat.messages$')",
        "member: truncate chat.messages, in principle",
    ),
    Weakness(
        "references",
        "grant references on chat.messages to authenticated",
        "grant chat.messages to authenticated",
        "verify_privileges('^chat.messages$')",
        "member: references chat.messages, in principle",
    ),
    Weakness(
        "usage of the private schema",
        "grant usage on schema chat_private to authenticated",
        "grant schema chat_private to authenticated",
        "verify_private_calls('^conversation_ids_for_member$')",
        "stranger: call chat_private.conversation_ids_for_member",
    ),
    Weakness(
        "select of a private table",
        "grant usage on schema chat_private to authenticated;"
        " grant select on chat_private.deleted_messages to authenticated",
        "grant chat_private.deleted_messages to authenticated",
        "verify_reads('^chat_private.deleted_messages$')",
        "member: select chat_private.deleted_messages",
    ),
    Weakness(
        "update of a private column",
        "grant update (sends) on chat_private.send_windows to authenticated",
        "grant chat_private.send_windows.sends to authenticated",
        "verify_privileges('^chat_private.send_windows$')",
        "member: update chat_private.send_windows, in principle",
    ),
    Weakness(
        "execute to the public",
        "grant usage on schema chat to anon; "
        " grant execute on function chat.mark_read, chat_private.mark_read to public",
        "grant chat.mark_read(conversation_id uuid, seq bigint) to public",
        "verify_calls('^mark_read$')",
        "anon: call chat.mark_read, briefly at group normal",
    ),
)

FUNCTIONS = (
    Weakness(
        "definer without a check",
        "create function chat.peek(conversation_id uuid) returns setof chat.messages"
        " language sql security definer set search_path = ''"
        " as 'select m.* from chat.messages as m where m.conversation_id = peek.conversation_id'",
        "function chat.peek(conversation_id uuid)",
        "verify_calls('^peek$')",
        "other: call chat.peek, fully at group normal",
    ),
    Weakness(
        "invoker made definer",
        "alter function chat.reaction_summary(chat.messages) security definer",
        "function chat.reaction_summary(message chat.messages)",
    ),
    Weakness(
        "membership of all",
        _ALL_CONVERSATIONS.format("conversation_ids_for_member", "setof uuid", "id"),
        "function chat_private.conversation_ids_for_member()",
        "verify_reads('^chat.participants$')",
        "stranger: select chat.participants",
    ),
    Weakness(
        "readers of all",
        _ALL_CONVERSATIONS.format("conversation_ids_for_reader", "uuid[]", "array_agg(id)"),
        "function chat_private.conversation_ids_for_reader()",
        "verify_reads('^chat.messages$')",
        "former: select chat.messages",
    ),
    Weakness(
        "admins of all",
        "create or replace function chat_private.tenant_ids_for_admin() returns setof uuid"
        " language sql stable security definer set search_path = ''"
        " as 'select tenant_id from chat.tenant_members where user_id = auth.uid()'",
        "function chat_private.tenant_ids_for_admin()",
        "verify_updates('^chat.settings$')",
        "member: update chat.settings, fan_out_limit",
    ),
    Weakness(
        "participation of anybody",
        "create or replace function chat_private.require_participant(conversation_id uuid)"
        " returns chat.participants language sql stable set search_path = '' as $$"
        " select p.* from chat.participants as p"
        " where p.conversation_id = require_participant.conversation_id limit 1 $$",
        "function chat_private.require_participant(conversation_id uuid)",
        "verify_calls('^delete_message$')",
        "stranger: call chat.delete_message, fully at group normal",
    ),
    Weakness(
        "administration of anybody",
        "create or replace function chat_private.require_admin(conversation_id uuid)"
        " returns chat.conversations language sql set search_path = '' as $$"
        " select chat_private.require_participant(conversation_id);"
        " select chat_private.lock_conversation(conversation_id) $$",
        "function chat_private.require_admin(conversation_id uuid)",
        "verify_calls('^add_participants$')",
        "member: call chat.add_participants, fully at group normal",
    ),
    Weakness(
        "moderation of anybody",
        "create or replace function chat_private.require_moderator(tenant_id uuid)"
        " returns chat.tenant_members language sql stable set search_path = '' as $$"
        " select m.* from chat.tenant_members as m where m.user_id = auth.uid()"
        " and m.tenant_id = coalesce(require_moderator.tenant_id, m.tenant_id) $$;"
        " update chat.tenant_members set role = 'moderator'",
        "function chat_private.require_moderator(tenant_id uuid)",
    ),
    Weakness(
        "notifications of anybody",
        "create or replace function chat_private.mark_notifications_read("
        "ids bigint [], up_to_id bigint) returns bigint language sql security definer"
        " set search_path = '' as $$ with marked as (update chat.notifications as n"
        " set read_at = now() where n.id = any (ids) returning n.id)"
        " select count(*) from marked $$",
        "function chat_private.mark_notifications_read(ids bigint[], up_to_id bigint)",
        "verify_calls('^mark_notifications_read$')",
        "stranger: call chat.mark_notifications_read, by ids",
    ),
    Weakness(
        "blocks that nobody asks for",
        "create or replace function chat_private.is_blocked_between(a uuid, b uuid)"
        " returns boolean language sql stable set search_path = '' as 'select false'",
        "function chat_private.is_blocked_between(a uuid, b uuid)",
        "verify_calls('^send_message$')",
        "blocked: call chat.send_message, fully at shunned",
    ),
    Weakness(
        "writing of anybody",
        "create or replace function chat_private.check_may_write("
        "conversation chat.conversations, participant chat.participants)"
        " returns chat.participants language sql set search_path = '' as 'select participant'",
        "function chat_private.check_may_write("
        "conversation chat.conversations, participant chat.participants)",
        "verify_calls('^send_message$')",
        "silenced: call chat.send_message, fully at group normal",
    ),
    Weakness(
        "search_path gone",
        "alter function chat_private.conversation_ids_for_member() reset search_path",
        "function chat_private.conversation_ids_for_member()",
    ),
    Weakness(
        "view of its owner's rights",
        "alter view chat.message_receipts set (security_invoker = false)",
        "table chat.message_receipts",
        "verify_reads('^chat.message_receipts$')",
        "stranger: select chat.message_receipts",
    ),
)

ELSEWHERE = (
    Weakness(
        "Realtime: hear all",
        'alter policy "parley: users can hear their conversations and their inbox"'
        " on realtime.messages using (true)",
        'policy realtime.messages "parley: users can hear their conversations and their inbox"',
        "verify_realtime()",
        "former: hear topic of group, broadcast",
    ),
    Weakness(
        "Realtime: send all",
        'alter policy "parley: participants can say that they are typing"'
        " on realtime.messages with check (true)",
        'policy realtime.messages "parley: participants can say that they are typing"',
        "verify_realtime()",
        "stranger: send inbox of owner, broadcast",
    ),
    Weakness(
        "Realtime: a policy of the project's own",
        'create policy "all" on realtime.messages for select to authenticated using (true)',
        "",
        "verify_realtime()",
        "banned: hear topic of group, presence",
    ),
    Weakness(
        "Realtime: any epoch",
        "create or replace function chat_private.can_use_topic(topic text, purpose text)"
        " returns boolean language sql stable security definer set search_path = '' as $$"
        " select exists (select from chat.participants as p where p.user_id = auth.uid()"
        " and can_use_topic.topic like 'conversation:' || p.conversation_id || ':%') $$",
        "function chat_private.can_use_topic(topic text, purpose text)",
        "verify_realtime()",
        "member: hear topic of group before, broadcast",
    ),
    Weakness(
        "Storage: read all",
        'alter policy "parley: readers of a message can read its files" on storage.objects'
        " using (bucket_id = 'chat-attachments')",
        'policy storage.objects "parley: readers of a message can read its files"',
        "verify_storage()",
        "stranger: select storage.objects, admin",
    ),
    Weakness(
        "Storage: upload anywhere",
        'alter policy "parley: participants can upload to where they may write"'
        " on storage.objects with check (bucket_id = 'chat-attachments')",
        'policy storage.objects "parley: participants can upload to where they may write"',
        "verify_storage()",
        "other: insert storage.objects, new",
    ),
    Weakness(
        "Storage: delete what was sent",
        'alter policy "parley: uploaders can delete what they have not sent" on storage.objects'
        " using (bucket_id = 'chat-attachments' and owner_id = (select auth.uid())::text)",
        'policy storage.objects "parley: uploaders can delete what they have not sent"',
        "verify_storage()",
        "owner: delete storage.objects, owner",
    ),
    Weakness(
        "Storage: the bucket",
        'create policy "all" on storage.buckets to authenticated using (true)',
        "",
        "verify_storage()",
        "stranger: update storage.buckets",
    ),
    Weakness(
        "Storage: a policy of the project's own",
        'create policy "all" on storage.objects for update to authenticated using (true)',
        "",
        "verify_storage()",
        "member: update storage.objects, member",
    ),
)

RULES = (
    Weakness(
        "trigger disabled",
        "alter table chat.messages disable trigger messages_broadcast_message",
        "trigger chat.messages messages_broadcast_message",
    ),
    Weakness(
        "foreign key dropped",
        "alter table chat.participants drop constraint participants_user_id_fkey",
        "foreign key chat.participants participants_user_id_fkey",
    ),
    Weakness(
        "check dropped",
        "alter table chat.messages drop constraint messages_body_check",
        "check chat.messages messages_body_check",
    ),
    Weakness(
        "index dropped",
        "drop index chat.participants_user_id_conversation_id_idx",
        "index chat.participants_user_id_conversation_id_idx",
    ),
)

WEAKNESSES = [
    weakness._replace(name=f"{group}: {weakness.name}")
    for group, weaknesses in (
        ("policy", POLICIES),
        ("grant", GRANTS),
        ("function", FUNCTIONS),
        ("elsewhere", ELSEWHERE),
        ("rule", RULES),
    )
    for weakness in weaknesses
]
