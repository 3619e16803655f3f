-- Purpose: editing and deleting messages.
-- Objects: tables chat.message_revisions, chat_private.deleted_messages; functions
--          chat.edit_message, chat.delete_message.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

insert into chat_private.errors (code, state, message, hint)
values
    (
        'not_the_sender', '42501',
        'Only its sender can edit a message.',
        'Send a message of your own.'
    ),
    (
        'edit_window_over', '42501',
        'This message can no longer be edited.',
        'Send a correction instead.'
    ),
    (
        'not_allowed_to_delete', '42501',
        'Only its sender, an owner or admin of the conversation, or a moderator can delete it.',
        'Hide it for yourself with hide_message.'
    );

-- Tables ---------------------------------------------------------------------------------------

create table chat.message_revisions (
    conversation_id uuid not null,
    message_seq bigint not null,
    revision integer not null,
    body text,
    metadata jsonb not null,
    replaced_at timestamptz not null,
    primary key (conversation_id, message_seq, revision),
    constraint message_revisions_message_seq_fkey foreign key (conversation_id, message_seq)
    references chat.messages (conversation_id, seq) on delete cascade
);
comment on table chat.message_revisions is
    'Every earlier text of an edited message, for those whom the tenant''s settings let see it.';
alter table chat.message_revisions enable row level security;
grant select on chat.message_revisions to authenticated, service_role;

-- What a tombstone said, until it is purged: it can be restored within a set time. Also the queue of
-- the sweep: a message has a row here from when it is deleted or has expired until it is purged.
create table chat_private.deleted_messages (
    conversation_id uuid not null,
    message_seq bigint not null,
    body text,
    metadata jsonb not null,
    deleted_by uuid,
    is_expired boolean not null default false,
    removed_at timestamptz not null default chat_private.now(),
    due_at timestamptz not null default chat_private.now(),
    purged_at timestamptz,
    primary key (conversation_id, message_seq),
    constraint deleted_messages_purged_check check (purged_at is null or body is null),
    constraint deleted_messages_message_seq_fkey foreign key (conversation_id, message_seq)
    references chat.messages (conversation_id, seq) on delete cascade
);
comment on table chat_private.deleted_messages is
    'What messages said that were deleted for everyone, or have expired, until they are purged.';
comment on column chat_private.deleted_messages.is_expired is
    'Removed by the sweep because its time was over, and not by anybody.';
comment on column chat_private.deleted_messages.due_at is
    'The sweep has nothing to do with it before.';
comment on column chat_private.deleted_messages.purged_at is
    'Nothing is left to restore; the tombstone stays while it can be read or is referred to.';
alter table chat_private.deleted_messages enable row level security;

-- Functions ------------------------------------------------------------------------------------

-- Security definer: as conversation_ids_for_member. The caller's conversations in which the
-- tenant lets them see earlier texts.
create function chat_private.conversation_ids_for_revisions()
returns setof uuid
language plpgsql
stable
parallel safe
security definer
rows 50
set search_path = ''
as $$
begin
    return query
    select p.conversation_id
    from chat.participants as p
    inner join chat.settings as s on p.tenant_id = s.tenant_id
    where
        p.user_id = auth.uid()
        and p.left_at is null
        and (
            s.revisions_visible_to = 'participants'
            or (s.revisions_visible_to = 'admins' and p.role in ('owner', 'admin'))
        );
end;
$$;
revoke execute on function chat_private.conversation_ids_for_revisions() from public, anon;
grant execute on function chat_private.conversation_ids_for_revisions() to authenticated;

-- A message is gone: whoever had not read it has nothing to read, and private marks on it count no
-- more. The caller has locked the conversation and marked the message as deleted.
create function chat_private.count_gone(message chat.messages, number integer)
returns void
language plpgsql
set search_path = ''
as $$
begin
    if message.kind = 'system' then
        return;
    end if;
    update chat.participants as p
    set read_count = p.read_count + count_gone.number
    where
        p.conversation_id = message.conversation_id
        and p.user_id is distinct from message.sender_id
        and message.seq > p.last_read_seq;
    -- Each update counts anew.
    update chat.participant_settings as s
    set unread_from_seq = s.unread_from_seq
    where
        s.conversation_id = message.conversation_id
        and s.user_id is distinct from message.sender_id
        and (
            s.unread_from_seq <= message.seq
            or exists (
                select
                from chat.hidden_messages as h
                where
                    h.conversation_id = s.conversation_id
                    and h.message_seq = message.seq
                    and h.user_id = s.user_id
            )
        );
end;
$$;
revoke execute on function chat_private.count_gone(chat.messages, integer)
from public, anon, authenticated;

-- Security definer: updates what its caller may only read. Checks that the caller sent the message
-- and may still write here.
create function chat_private.edit_message(
    conversation_id uuid,
    seq bigint,
    body text,
    metadata jsonb,
    mentions uuid []
)
returns chat.messages
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_participant constant chat.participants :=
        chat_private.require_participant(edit_message.conversation_id);
    v_conversation chat.conversations :=
        chat_private.lock_conversation(edit_message.conversation_id);
    v_message chat.messages := chat_private.require_message(v_participant, edit_message.seq);
    v_settings constant chat.settings := chat_private.settings_for(v_conversation.tenant_id);
    v_metadata constant jsonb := coalesce(edit_message.metadata, v_message.metadata);
begin
    if v_message.sender_id is distinct from v_participant.user_id or v_message.kind = 'system' then
        perform chat_private.raise_error('not_the_sender');
    end if;
    if v_message.created_at + v_settings.edit_window < chat_private.now() then
        perform chat_private.raise_error('edit_window_over');
    end if;
    perform chat_private.check_may_write(v_conversation, v_participant);
    if length(edit_message.body) > v_settings.message_max_length then
        perform chat_private.raise_error('message_too_long');
    end if;
    if (v_message.body, v_message.metadata) is not distinct from (edit_message.body, v_metadata)
    then
        return v_message;
    end if;

    insert into chat.message_revisions (
        conversation_id, message_seq, revision, body, metadata, replaced_at
    )
    select
        v_message.conversation_id,
        v_message.seq,
        1 + count(*),
        v_message.body,
        v_message.metadata,
        chat_private.now()
    from chat.message_revisions as r
    where r.conversation_id = v_message.conversation_id and r.message_seq = v_message.seq;
    v_conversation := chat_private.touch_message(v_message.conversation_id, v_message.seq);
    update chat.messages as m
    set body = edit_message.body,
        metadata = v_metadata,
        edited_at = chat_private.now()
    where m.conversation_id = v_message.conversation_id and m.seq = v_message.seq
    returning m.* into v_message;
    if edit_message.mentions is not null then
        perform chat_private.set_mentions(
            v_message.conversation_id, v_message.seq, edit_message.mentions
        );
    end if;
    perform chat_private.broadcast_change(
        v_conversation,
        'message_updated',
        jsonb_build_object('seq', v_message.seq, 'message', to_jsonb(v_message))
    );
    return v_message;
end;
$$;
revoke execute on function chat_private.edit_message(uuid, bigint, text, jsonb, uuid [])
from public, anon;
grant execute on function chat_private.edit_message(uuid, bigint, text, jsonb, uuid [])
to authenticated;

create function chat.edit_message(
    conversation_id uuid,
    seq bigint,
    body text,
    metadata jsonb default null,
    mentions uuid [] default null
)
returns chat.messages
language sql
set search_path = ''
begin atomic
select chat_private.edit_message(conversation_id, seq, body, metadata, mentions);
end;
comment on function chat.edit_message(uuid, bigint, text, jsonb, uuid []) is
    'Replaces the text of one''s own message; the earlier one is kept as a revision. Without '
    'metadata or mentions those stay. Editing to what it already says changes nothing.';
revoke execute on function chat.edit_message(uuid, bigint, text, jsonb, uuid []) from public, anon;
grant execute on function chat.edit_message(uuid, bigint, text, jsonb, uuid []) to authenticated;

-- Leaves a tombstone, whoever asks for it. The caller has locked the conversation and checked.
create function chat_private.bury_message(message chat.messages, deleted_by uuid)
returns chat.messages
language plpgsql
set search_path = ''
as $$
declare
    v_message chat.messages;
    v_conversation chat.conversations;
begin
    insert into chat_private.deleted_messages (
        conversation_id, message_seq, body, metadata, deleted_by
    )
    values (
        message.conversation_id,
        message.seq,
        message.body,
        message.metadata,
        bury_message.deleted_by
    );
    v_conversation := chat_private.touch_message(message.conversation_id, message.seq);
    update chat.messages as m
    set body = null,
        metadata = '{}',
        deleted_at = chat_private.now()
    where m.conversation_id = message.conversation_id and m.seq = message.seq
    returning m.* into v_message;
    perform chat_private.count_gone(message, 1);
    if message.thread_root_seq is not null then
        update chat.messages as m
        set thread_count = m.thread_count - 1,
            rev = v_message.rev,
            is_changed = true
        where m.conversation_id = message.conversation_id and m.seq = message.thread_root_seq;
    end if;
    perform chat_private.broadcast_change(
        v_conversation,
        'message_deleted',
        jsonb_build_object('seq', v_message.seq, 'deleted_at', v_message.deleted_at)
    );
    return v_message;
end;
$$;
revoke execute on function chat_private.bury_message(chat.messages, uuid)
from public, anon, authenticated;

-- Security definer: updates what its caller may only read. Checks that the caller sent the
-- message, or owns or administers the conversation, or moderates the tenant as a participant.
create function chat_private.delete_message(conversation_id uuid, seq bigint)
returns chat.messages
language plpgsql
security definer
set search_path = ''
as $$
declare
    -- Under the lock: an admin who was demoted or removed meanwhile is none any more.
    v_participant constant chat.participants :=
        chat_private.lock_as_participant(delete_message.conversation_id);
    v_conversation constant chat.conversations :=
        chat_private.lock_conversation(delete_message.conversation_id);
    v_message chat.messages;
begin
    select m.* into v_message
    from chat.messages as m
    where
        m.conversation_id = v_conversation.id
        and m.seq = delete_message.seq
        and m.seq >= v_participant.visible_from_seq
        and (m.expires_at is null or m.expires_at > chat_private.now());
    if not found then
        perform chat_private.raise_error('message_not_found');
    end if;
    if v_message.sender_id is distinct from v_participant.user_id
        and (v_participant.role = 'member' or v_conversation.kind = 'direct')
        and v_conversation.tenant_id
        <> all (array(select chat_private.tenant_ids_for_moderator()))
    then
        perform chat_private.raise_error('not_allowed_to_delete');
    end if;
    if v_message.deleted_at is not null then
        return v_message;
    end if;
    return chat_private.bury_message(v_message, v_participant.user_id);
end;
$$;
revoke execute on function chat_private.delete_message(uuid, bigint) from public, anon;
grant execute on function chat_private.delete_message(uuid, bigint) to authenticated;

create function chat.delete_message(conversation_id uuid, seq bigint)
returns chat.messages
language sql
set search_path = ''
begin atomic
select chat_private.delete_message(conversation_id, seq);
end;
comment on function chat.delete_message(uuid, bigint) is
    'Deletes a message for everyone and returns its tombstone. Deleting again changes nothing.';
revoke execute on function chat.delete_message(uuid, bigint) from public, anon;
grant execute on function chat.delete_message(uuid, bigint) to authenticated;

-- Policies -------------------------------------------------------------------------------------

-- Policies on chat.messages narrow the inner query to what the caller can read.
create policy "participants can read earlier texts where the tenant lets them"
on chat.message_revisions for select
to authenticated
using (
    conversation_id = any (array(select chat_private.conversation_ids_for_revisions()))
    and exists (
        select
        from chat.messages as m
        where
            m.conversation_id = message_revisions.conversation_id
            and m.seq = message_revisions.message_seq
            and m.deleted_at is null
    )
);
