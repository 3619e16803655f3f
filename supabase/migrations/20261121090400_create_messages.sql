-- Purpose: messages, numbered without gaps, readable by participants only.
-- Objects: enum chat.message_kind; tables chat.messages, chat.hidden_messages; function
--          chat.send_message.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

insert into chat_private.errors (code, state, message, hint)
values
    (
        'system_message', '42501',
        'System messages are written by the database.',
        'Send another kind.'
    ),
    (
        'message_too_long', '22023',
        'The message is longer than this tenant allows.',
        'Shorten it, or send several.'
    ),
    (
        'thread_in_thread', '22023',
        'That message is in a thread itself.',
        'Use the seq of the thread''s first message as thread_root_seq.'
    );

-- Types ----------------------------------------------------------------------------------------

create type chat.message_kind as enum (
    'text', 'image', 'file', 'audio', 'video', 'location', 'contact', 'poll', 'custom', 'system'
);

-- Tables ---------------------------------------------------------------------------------------

-- A message's tenant is its conversation's and its sender is a participant of it, both by foreign
-- key; so a tenant_id here could only repeat them, at 16 bytes a message.
create table chat.messages (
    conversation_id uuid not null references chat.conversations (id) on delete cascade,
    id uuid not null default gen_random_uuid(),
    sender_id uuid,
    seq bigint not null,
    rev bigint not null,
    created_at timestamptz not null,
    expires_at timestamptz,
    kind chat.message_kind not null default 'text',
    is_changed boolean not null default false,
    body text,
    metadata jsonb not null default '{}',
    reply_to_seq bigint,
    thread_root_seq bigint,
    thread_count integer not null default 0,
    edited_at timestamptz,
    deleted_at timestamptz,
    search_language text,
    primary key (conversation_id, seq),
    constraint messages_id_key unique (id),
    constraint messages_sender_id_fkey foreign key (conversation_id, sender_id)
    references chat.participants (conversation_id, user_id) on delete set null (sender_id),
    -- By construction a reply answers a message of the same conversation. What is referred to stays, as a
    -- tombstone, so nothing needs to be set to null: looking whether it is costs half as much.
    constraint messages_reply_to_seq_fkey foreign key (conversation_id, reply_to_seq)
    references chat.messages (conversation_id, seq) on delete restrict,
    constraint messages_thread_root_seq_fkey foreign key (conversation_id, thread_root_seq)
    references chat.messages (conversation_id, seq) on delete restrict,
    constraint messages_body_check check (
        length(body) <= 10000
        and (kind <> 'text' or deleted_at is not null or (body is not null and body ~ '\S'))
    ),
    -- Most messages have none, and need no call.
    constraint messages_metadata_kind_check check (
        deleted_at is not null
        or (kind = 'text' and metadata = '{}')
        or chat_private.is_valid_metadata(kind::text, metadata)
    ),
    constraint messages_metadata_check check (
        jsonb_typeof(metadata) = 'object' and octet_length(metadata::text) <= 16384
    ),
    constraint messages_deleted_check check (deleted_at is null or body is null),
    constraint messages_seq_check check (
        seq > 0 and rev >= seq and reply_to_seq < seq and thread_root_seq < seq
    )
);
comment on table chat.messages is
    'What was said. Addressed within a conversation by seq; sent with chat.send_message.';
comment on column chat.messages.id is
    'Chosen by the sender; sending the same id again returns the stored message.';
comment on column chat.messages.sender_id is
    'Null for system messages and when the sender''s account is gone.';
comment on column chat.messages.rev is
    'The conversation''s rev at which this message last changed.';
comment on column chat.messages.is_changed is
    'Whether anything about it changed after it was sent, its reactions and votes included.';
comment on column chat.messages.thread_root_seq is
    'The message whose thread this one is in.';
comment on column chat.messages.thread_count is 'How many messages its thread has.';
comment on column chat.messages.expires_at is
    'From here on nobody can read it, whether or not it has been removed. Null: never.';
comment on column chat.messages.search_language is
    'How its words are indexed: the tenant''s search_language when it was sent. Null: simple.';
alter table chat.messages enable row level security;
grant select on chat.messages to authenticated, service_role;

create table chat.hidden_messages (
    conversation_id uuid not null,
    message_seq bigint not null,
    user_id uuid not null,
    hidden_at timestamptz not null default chat_private.now(),
    primary key (conversation_id, message_seq, user_id),
    constraint hidden_messages_message_seq_fkey foreign key (conversation_id, message_seq)
    references chat.messages (conversation_id, seq) on delete cascade,
    constraint hidden_messages_user_id_fkey foreign key (conversation_id, user_id)
    references chat.participants (conversation_id, user_id) on delete cascade
);
comment on table chat.hidden_messages is
    'Messages that somebody deleted for themselves: they cannot read them, everybody else can.';
alter table chat.hidden_messages enable row level security;
grant select on chat.hidden_messages to authenticated, service_role;

-- Indexes --------------------------------------------------------------------------------------

-- Serves: what a user has hidden, in the policy of messages; the foreign key.
create index hidden_messages_user_id_idx
on chat.hidden_messages (user_id, conversation_id, message_seq);
create index hidden_messages_conversation_id_user_id_idx
on chat.hidden_messages (conversation_id, user_id);

-- Serves: the foreign keys of replies and senders; the messages of one person in a conversation.
create index messages_reply_to_seq_idx on chat.messages (conversation_id, reply_to_seq)
where reply_to_seq is not null;
create index messages_sender_id_idx on chat.messages (conversation_id, sender_id);

-- Serves: a thread, and the foreign key.
create index messages_thread_root_seq_idx
on chat.messages (conversation_id, thread_root_seq, seq)
where thread_root_seq is not null;

-- Serves: what changed since a rev, for sync. New messages are found by seq.
create index messages_changed_idx on chat.messages (conversation_id, rev) where is_changed;

-- Functions ------------------------------------------------------------------------------------

-- Security definer: as conversation_ids_for_member. Conversations the caller may read from the
-- first message on, which is nearly all of them.
create function chat_private.conversation_ids_for_reader()
returns uuid []
language plpgsql
stable
parallel safe
security definer
set search_path = ''
as $$
begin
    return array(
        select p.conversation_id
        from chat.participants as p
        where p.user_id = auth.uid() and p.left_at is null and p.visible_from_seq <= 1
    );
end;
$$;
revoke execute on function chat_private.conversation_ids_for_reader() from public, anon;
grant execute on function chat_private.conversation_ids_for_reader() to authenticated;

-- Security definer: as above. The others: joined late, with the first message they may read.
create function chat_private.partly_visible_conversations()
returns table (conversation_id uuid, visible_from_seq bigint)
language plpgsql
stable
parallel safe
security definer
rows 2
set search_path = ''
as $$
begin
    return query
    select
        p.conversation_id,
        p.visible_from_seq
    from chat.participants as p
    where p.user_id = auth.uid() and p.left_at is null and p.visible_from_seq > 1;
end;
$$;
revoke execute on function chat_private.partly_visible_conversations() from public, anon;
grant execute on function chat_private.partly_visible_conversations() to authenticated;

-- Takes the conversation's next seq and rev under its row lock, inside the writing transaction:
-- a rolled back send leaves no gap, and readers see one order. Says until when the message can be
-- read, and in which language its words are indexed.
-- Security definer: whoever inserts needs no rights on the counters.
create function chat_private.number_message()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_counts constant boolean := new.kind <> 'system';
begin
    new.created_at := chat_private.now();
    new.edited_at := null;
    new.deleted_at := null;
    new.is_changed := false;
    new.thread_count := 0;
    new.expires_at := chat_private.expiry(
        new.created_at, chat_private.lifetimes_for(new.conversation_id, new.sender_id)
    );
    update chat.conversations as c
    set last_seq = c.last_seq + 1,
        rev = c.rev + 1,
        message_count = c.message_count + v_counts::integer,
        last_activity_at = new.created_at,
        expires_from = least(c.expires_from, new.expires_at)
    where c.id = new.conversation_id
    returning
        c.last_seq,
        c.rev,
        (
            select nullif(s.search_language, 'simple')
            from chat.settings as s
            where s.tenant_id = c.tenant_id
        )
    into new.seq, new.rev, new.search_language;
    if not found then
        perform chat_private.raise_error('conversation_not_found');
    end if;

    if v_counts then
        -- One's own message is never unread.
        update chat.participants as p
        set read_count = p.read_count + 1,
            last_sent_at = new.created_at
        where p.conversation_id = new.conversation_id and p.user_id = new.sender_id;
    end if;
    if new.thread_root_seq is not null then
        update chat.messages as m
        set thread_count = m.thread_count + 1,
            rev = new.rev,
            is_changed = true
        where m.conversation_id = new.conversation_id and m.seq = new.thread_root_seq;
    end if;
    return new;
end;
$$;
revoke execute on function chat_private.number_message() from public, anon, authenticated;

-- The message a call is about, if the caller's participation lets them read it. Raises
-- message_not_found.
create function chat_private.require_message(participant chat.participants, seq bigint)
returns chat.messages
language plpgsql
stable
set search_path = ''
as $$
declare
    v_message chat.messages;
begin
    select m.* into v_message
    from chat.messages as m
    where
        m.conversation_id = participant.conversation_id
        and m.seq = require_message.seq
        and m.seq >= participant.visible_from_seq
        and m.deleted_at is null
        and (m.expires_at is null or m.expires_at > chat_private.now());
    if not found then
        perform chat_private.raise_error('message_not_found');
    end if;
    return v_message;
end;
$$;
revoke execute on function chat_private.require_message(chat.participants, bigint)
from public, anon, authenticated;

-- Something about a message changed: takes the conversation's next rev and puts it on the message,
-- so that sync finds it. The caller has locked the conversation and broadcasts the change.
create function chat_private.touch_message(conversation_id uuid, seq bigint)
returns chat.conversations
language plpgsql
set search_path = ''
as $$
declare
    v_conversation constant chat.conversations :=
        chat_private.next_rev(touch_message.conversation_id);
begin
    update chat.messages as m
    set rev = v_conversation.rev,
        is_changed = true
    where m.conversation_id = touch_message.conversation_id and m.seq = touch_message.seq;
    return v_conversation;
end;
$$;
revoke execute on function chat_private.touch_message(uuid, bigint)
from public, anon, authenticated;

create function chat_private.keep_message_identity()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    if (new.conversation_id, new.seq, new.id, new.created_at)
        is distinct from (old.conversation_id, old.seq, old.id, old.created_at)
        or (new.sender_id is distinct from old.sender_id and new.sender_id is not null)
    then
        perform chat_private.raise_error('immutable_column');
    end if;
    return new;
end;
$$;
revoke execute on function chat_private.keep_message_identity() from public, anon, authenticated;

-- Security definer: inserts into a table its caller may only read. Checks that the caller takes
-- part and may send; what else holds is in the table's constraints and triggers.
create function chat_private.send_message(
    conversation_id uuid,
    body text,
    id uuid,
    kind text,
    metadata jsonb,
    reply_to_seq bigint,
    thread_root_seq bigint,
    mentions uuid []
)
returns chat.messages
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_participant constant chat.participants :=
        chat_private.require_participant(send_message.conversation_id);
    v_conversation constant chat.conversations :=
        chat_private.lock_conversation(send_message.conversation_id);
    v_message chat.messages;
begin
    -- Asked under the lock: of two sends with one id, the second sees the first and adds nothing.
    select m.* into v_message
    from chat.messages as m
    where m.id = send_message.id;
    if found then
        if v_message.conversation_id <> v_conversation.id
            or v_message.sender_id is distinct from v_participant.user_id
        then
            perform chat_private.raise_error('message_id_taken');
        end if;
        if v_message.expires_at <= chat_private.now() then
            -- Stored it is, but nobody reads it any more.
            v_message.body := null;
            v_message.metadata := '{}';
        end if;
        return v_message;
    end if;

    perform chat_private.check_may_send(v_conversation, v_participant);
    if send_message.kind = 'system' then
        perform chat_private.raise_error('system_message');
    end if;
    if length(send_message.body)
        > (chat_private.settings_for(v_conversation.tenant_id)).message_max_length
    then
        perform chat_private.raise_error('message_too_long');
    end if;
    if send_message.reply_to_seq is not null then
        perform chat_private.require_message(v_participant, send_message.reply_to_seq);
    end if;
    if send_message.thread_root_seq is not null then
        v_message := chat_private.require_message(v_participant, send_message.thread_root_seq);
        if v_message.thread_root_seq is not null then
            perform chat_private.raise_error('thread_in_thread');
        end if;
    end if;

    insert into chat.messages as m (
        conversation_id, id, sender_id, kind, body, metadata, reply_to_seq, thread_root_seq
    )
    values (
        v_conversation.id,
        coalesce(send_message.id, gen_random_uuid()),
        v_participant.user_id,
        send_message.kind::chat.message_kind,
        send_message.body,
        coalesce(send_message.metadata, '{}'),
        send_message.reply_to_seq,
        send_message.thread_root_seq
    )
    -- Sent at the same moment in another conversation, whose lock this call does not have.
    on conflict on constraint messages_id_key do nothing
    returning m.* into v_message;
    if not found then
        perform chat_private.raise_error('message_id_taken');
    end if;
    if cardinality(send_message.mentions) > 0 then
        perform chat_private.set_mentions(
            v_message.conversation_id, v_message.seq, send_message.mentions
        );
    end if;
    return v_message;
end;
$$;
revoke execute on function chat_private.send_message(uuid, text, uuid, text, jsonb, bigint, bigint, uuid [])
from public, anon;
grant execute on function chat_private.send_message(uuid, text, uuid, text, jsonb, bigint, bigint, uuid [])
to authenticated;

create function chat.send_message(
    conversation_id uuid,
    body text default null,
    id uuid default null,
    kind text default 'text',
    metadata jsonb default '{}',
    reply_to_seq bigint default null,
    thread_root_seq bigint default null,
    mentions uuid [] default '{}'
)
returns chat.messages
language sql
set search_path = ''
begin atomic
select
    chat_private.send_message(
        conversation_id, body, id, kind, metadata, reply_to_seq, thread_root_seq, mentions
    );
end;
comment on function chat.send_message(uuid, text, uuid, text, jsonb, bigint, bigint, uuid []) is
    'Sends a message and returns it as stored. With the id of a message already sent here by the '
    'caller it returns that one and changes nothing.';
revoke execute on function chat.send_message(uuid, text, uuid, text, jsonb, bigint, bigint, uuid [])
from public, anon;
grant execute on function chat.send_message(uuid, text, uuid, text, jsonb, bigint, bigint, uuid [])
to authenticated;

-- Triggers -------------------------------------------------------------------------------------

create trigger messages_number_message
before insert on chat.messages
for each row
when (chat_private.is_live())
execute function chat_private.number_message();

create trigger messages_keep_message_identity
before update on chat.messages
for each row execute function chat_private.keep_message_identity();

-- Policies -------------------------------------------------------------------------------------

create policy "users can read what they have hidden"
on chat.hidden_messages for select
to authenticated
using (user_id = (select auth.uid()));

-- As a number, because of a condition that it cannot know the planner takes a half for false, and of
-- these together nine in ten: then the newest of a conversation would be all of it, sorted. Who asks
-- for a conversation may read nearly all of it.
create policy "participants can read messages until they expire"
on chat.messages for select
to authenticated
using (
    (
        (
            conversation_id = any ((select chat_private.conversation_ids_for_reader())::uuid [])
            or exists (
                select from chat_private.partly_visible_conversations() as v
                where
                    v.conversation_id = messages.conversation_id
                    and v.visible_from_seq <= messages.seq
            )
        )
        and (expires_at is null or expires_at > (select chat_private.now()))
        and (conversation_id, seq) not in (
            select
                h.conversation_id,
                h.message_seq
            from chat.hidden_messages as h
            where h.user_id = (select auth.uid())
        )
    )::integer <> 0
);
