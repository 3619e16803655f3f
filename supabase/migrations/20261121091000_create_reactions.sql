-- Purpose: reactions, with their counts in one query.
-- Objects: table chat.reactions; functions chat.reaction_summary, chat.react, chat.unreact.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

insert into chat_private.errors (code, state, message, hint)
values
    (
        'too_many_reactions', 'PT409',
        'A message takes at most 20 different reactions.',
        'Use one that it has already.'
    );

-- Tables ---------------------------------------------------------------------------------------

-- The foreign keys to participants name the user first, so that one index serves both them and
-- the question what somebody did.
create table chat.reactions (
    conversation_id uuid not null,
    message_seq bigint not null,
    user_id uuid not null,
    emoji text not null,
    created_at timestamptz not null default chat_private.now(),
    primary key (conversation_id, message_seq, user_id, emoji),
    constraint reactions_message_seq_fkey foreign key (conversation_id, message_seq)
    references chat.messages (conversation_id, seq) on delete cascade,
    constraint reactions_user_id_fkey foreign key (user_id, conversation_id)
    references chat.participants (user_id, conversation_id) on delete cascade,
    constraint reactions_emoji_check check (length(emoji) between 1 and 64 and emoji !~ '\s')
);
comment on table chat.reactions is
    'Who reacted to a message, and how. Written with chat.react and chat.unreact; the counts of a '
    'page of messages are their column reaction_summary.';
comment on column chat.reactions.emoji is
    'An emoji, or the name of one of the application''s own: 1 to 64 characters without blanks.';
alter table chat.reactions enable row level security;
grant select on chat.reactions to authenticated, service_role;

-- Indexes --------------------------------------------------------------------------------------

-- Serves: the foreign key; what a user reacted to.
create index reactions_user_id_conversation_id_idx
on chat.reactions (user_id, conversation_id);

-- Functions ------------------------------------------------------------------------------------

-- The caller's participation, with the conversation locked: asked before, so that a stranger waits
-- for no lock, and again under it, for somebody may have removed the caller meanwhile.
create function chat_private.lock_as_participant(conversation_id uuid)
returns chat.participants
language plpgsql
set search_path = ''
as $$
begin
    perform chat_private.require_participant(lock_as_participant.conversation_id);
    perform chat_private.lock_conversation(lock_as_participant.conversation_id);
    return chat_private.require_participant(lock_as_participant.conversation_id);
end;
$$;
revoke execute on function chat_private.lock_as_participant(uuid)
from public, anon, authenticated;

-- Reacting, voting and pinning are writing: whoever is silenced, blocked or banned does none of it,
-- nor anybody in a closed conversation. Slow mode and rate limits are for messages.
create function chat_private.check_may_respond(participant chat.participants)
returns void
language plpgsql
set search_path = ''
as $$
begin
    perform chat_private.check_may_write(
        chat_private.lock_conversation(participant.conversation_id), participant
    );
end;
$$;
revoke execute on function chat_private.check_may_respond(chat.participants)
from public, anon, authenticated;

-- Says of one message what the policies on chat.messages say, to functions that bypass them, and
-- that it is not deleted.
create function chat_private.can_read_message(conversation_id uuid, seq bigint)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
    return exists (
        select
        from chat.messages as m
        inner join chat.participants as p on m.conversation_id = p.conversation_id
        where
            m.conversation_id = can_read_message.conversation_id
            and m.seq = can_read_message.seq
            and m.deleted_at is null
            and (m.expires_at is null or m.expires_at > chat_private.now())
            and p.user_id = auth.uid()
            and p.left_at is null
            and p.visible_from_seq <= m.seq
            and not exists (
                select
                from chat.hidden_messages as h
                where
                    h.conversation_id = m.conversation_id
                    and h.message_seq = m.seq
                    and h.user_id = p.user_id
            )
    );
end;
$$;
revoke execute on function chat_private.can_read_message(uuid, bigint)
from public, anon, authenticated;

-- Security definer: under row security each call would ask anew which conversations are the
-- caller's. Checks, for a message that has reactions, that the caller can read it: the row passed
-- in may be made up.
create function chat_private.reaction_summary(message chat.messages)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := auth.uid();
    v_summary jsonb;
begin
    select
        jsonb_agg(
            jsonb_build_object('emoji', s.emoji, 'count', s.count, 'is_mine', s.is_mine)
            order by s.first_at, s.emoji
        )
    into v_summary
    from (
        select
            r.emoji,
            count(*) as count,
            bool_or(r.user_id = v_user_id) as is_mine,
            min(r.created_at) as first_at
        from chat.reactions as r
        where r.conversation_id = message.conversation_id and r.message_seq = message.seq
        group by r.emoji
    ) as s;
    if v_summary is null
        or not chat_private.can_read_message(message.conversation_id, message.seq)
    then
        return '[]'::jsonb;
    end if;
    return v_summary;
end;
$$;
revoke execute on function chat_private.reaction_summary(chat.messages) from public, anon;
grant execute on function chat_private.reaction_summary(chat.messages) to authenticated;

create function chat.reaction_summary(message chat.messages)
returns jsonb
language sql
stable
set search_path = ''
begin atomic
select chat_private.reaction_summary(message);
end;
comment on function chat.reaction_summary(chat.messages) is
    'The reactions to a message, oldest first: [{emoji, count, is_mine}, ...]. A column of '
    'chat.messages to PostgREST.';
revoke execute on function chat.reaction_summary(chat.messages) from public, anon;
grant execute on function chat.reaction_summary(chat.messages) to authenticated;

-- One reaction changed: counts it as a change of the message and tells the participants.
create function chat_private.announce_reaction(
    event text,
    message chat.messages,
    user_id uuid,
    emoji text
)
returns void
language plpgsql
set search_path = ''
as $$
begin
    perform chat_private.broadcast_change(
        chat_private.touch_message(message.conversation_id, message.seq),
        announce_reaction.event,
        jsonb_build_object(
            'seq', message.seq,
            'user_id', announce_reaction.user_id,
            'emoji', announce_reaction.emoji,
            'count', (
                select count(*)
                from chat.reactions as r
                where
                    r.conversation_id = message.conversation_id
                    and r.message_seq = message.seq
                    and r.emoji = announce_reaction.emoji
            )
        )
    );
end;
$$;
revoke execute on function
chat_private.announce_reaction(text, chat.messages, uuid, text)
from public, anon, authenticated;

-- Security definer: writes a table its caller may only read. Checks that the caller takes part,
-- may write here and can read the message; reacts in the caller's name alone.
create function chat_private.react(conversation_id uuid, seq bigint, emoji text)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_participant constant chat.participants :=
        chat_private.lock_as_participant(react.conversation_id);
    v_message constant chat.messages := chat_private.require_message(v_participant, react.seq);
begin
    if exists (
        select
        from chat.reactions as r
        where
            r.conversation_id = v_message.conversation_id
            and r.message_seq = v_message.seq
            and r.user_id = v_participant.user_id
            and r.emoji = react.emoji
    ) then
        return chat_private.reaction_summary(v_message);
    end if;
    perform chat_private.check_may_respond(v_participant);
    if 20 <= (
        select count(distinct r.emoji)
        from chat.reactions as r
        where
            r.conversation_id = v_message.conversation_id
            and r.message_seq = v_message.seq
            and r.emoji <> react.emoji
    ) then
        perform chat_private.raise_error('too_many_reactions');
    end if;
    insert into chat.reactions (conversation_id, message_seq, user_id, emoji)
    values (v_message.conversation_id, v_message.seq, v_participant.user_id, react.emoji);
    perform chat_private.announce_reaction(
        'reaction_added', v_message, v_participant.user_id, react.emoji
    );
    return chat_private.reaction_summary(v_message);
end;
$$;
revoke execute on function chat_private.react(uuid, bigint, text) from public, anon;
grant execute on function chat_private.react(uuid, bigint, text) to authenticated;

create function chat.react(conversation_id uuid, seq bigint, emoji text)
returns jsonb
language sql
set search_path = ''
begin atomic
select chat_private.react(conversation_id, seq, emoji);
end;
comment on function chat.react(uuid, bigint, text) is
    'Reacts to a message and returns its reaction_summary. Reacting the same again changes '
    'nothing.';
revoke execute on function chat.react(uuid, bigint, text) from public, anon;
grant execute on function chat.react(uuid, bigint, text) to authenticated;

-- Security definer: as react. Removes the caller's own reaction alone, which is always allowed
-- to those who take part.
create function chat_private.unreact(conversation_id uuid, seq bigint, emoji text)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_participant constant chat.participants :=
        chat_private.lock_as_participant(unreact.conversation_id);
    v_message constant chat.messages := chat_private.require_message(v_participant, unreact.seq);
begin
    delete from chat.reactions as r
    where
        r.conversation_id = v_message.conversation_id
        and r.message_seq = v_message.seq
        and r.user_id = v_participant.user_id
        and r.emoji = unreact.emoji;
    if found then
        perform chat_private.announce_reaction(
            'reaction_removed', v_message, v_participant.user_id, unreact.emoji
        );
    end if;
    return chat_private.reaction_summary(v_message);
end;
$$;
revoke execute on function chat_private.unreact(uuid, bigint, text) from public, anon;
grant execute on function chat_private.unreact(uuid, bigint, text) to authenticated;

create function chat.unreact(conversation_id uuid, seq bigint, emoji text)
returns jsonb
language sql
set search_path = ''
begin atomic
select chat_private.unreact(conversation_id, seq, emoji);
end;
comment on function chat.unreact(uuid, bigint, text) is
    'Takes one''s reaction back and returns the message''s reaction_summary. Without such a '
    'reaction nothing changes.';
revoke execute on function chat.unreact(uuid, bigint, text) from public, anon;
grant execute on function chat.unreact(uuid, bigint, text) to authenticated;

-- Policies -------------------------------------------------------------------------------------

-- Policies on chat.messages narrow the inner queries to what the caller can read.
create policy "participants can read reactions to messages they can read"
on chat.reactions for select
to authenticated
using (
    conversation_id = any (array(select chat_private.conversation_ids_for_member()))
    and exists (
        select
        from chat.messages as m
        where
            m.conversation_id = reactions.conversation_id
            and m.seq = reactions.message_seq
            and m.deleted_at is null
    )
);
