-- Purpose: polls: votes for the options of a message of kind 'poll'.
-- Objects: table chat.poll_votes; functions chat.poll_results, chat.vote, chat.close_poll.
-- Locks:   share row exclusive on chat.messages, for as long as it takes to add a trigger.
-- Breaking: no.

set lock_timeout = '5s';

insert into chat_private.errors (code, state, message, hint)
values
    (
        'not_a_poll', '22023',
        'This message is not a poll.',
        'Give the seq of a message of kind poll.'
    ),
    (
        'poll_closed', 'PT409',
        'This poll is closed.',
        'Read the results with poll_results.'
    ),
    (
        'unknown_option', '22023',
        'The poll has no such option.',
        'Give ids from the options in the poll''s metadata.'
    ),
    (
        'one_option_only', '22023',
        'In this poll one votes for one option.',
        'Give one option, or none to take the vote back.'
    ),
    (
        'not_allowed_to_close', '42501',
        'Only its sender, an owner or admin of the conversation, or a moderator can close a poll.',
        'Ask one of them.'
    );

-- Tables ---------------------------------------------------------------------------------------

create table chat.poll_votes (
    conversation_id uuid not null,
    message_seq bigint not null,
    user_id uuid not null,
    option_id text not null,
    created_at timestamptz not null default chat_private.now(),
    primary key (conversation_id, message_seq, user_id, option_id),
    constraint poll_votes_message_seq_fkey foreign key (conversation_id, message_seq)
    references chat.messages (conversation_id, seq) on delete cascade,
    constraint poll_votes_user_id_fkey foreign key (user_id, conversation_id)
    references chat.participants (user_id, conversation_id) on delete cascade,
    constraint poll_votes_option_id_check check (length(option_id) between 1 and 50)
);
comment on table chat.poll_votes is
    'Who voted for what. Written with chat.vote; the counts are the column poll_results of the '
    'message.';
alter table chat.poll_votes enable row level security;
grant select on chat.poll_votes to authenticated, service_role;

-- Indexes --------------------------------------------------------------------------------------

-- Serves: the foreign key; what a user voted for.
create index poll_votes_user_id_conversation_id_idx
on chat.poll_votes (user_id, conversation_id);

-- Functions ------------------------------------------------------------------------------------

create function chat_private.is_poll_closed(poll chat.messages)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
    return poll.metadata ? 'closed_at'
        or coalesce((poll.metadata ->> 'closes_at')::timestamptz <= chat_private.now(), false);
end;
$$;
revoke execute on function chat_private.is_poll_closed(chat.messages)
from public, anon, authenticated;

-- Security definer: as reaction_summary. Reads the poll itself: the row passed in may be made up.
create function chat_private.poll_results(message chat.messages)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := auth.uid();
    v_poll chat.messages;
begin
    if message.kind <> 'poll' then
        return null;
    end if;
    select m.* into v_poll
    from chat.messages as m
    where
        m.conversation_id = message.conversation_id
        and m.seq = message.seq
        and m.kind = 'poll'
        and chat_private.can_read_message(m.conversation_id, m.seq);
    if not found then
        return null;
    end if;
    return jsonb_build_object(
        'is_closed', chat_private.is_poll_closed(v_poll),
        'voter_count', (
            select count(distinct v.user_id)
            from chat.poll_votes as v
            where v.conversation_id = v_poll.conversation_id and v.message_seq = v_poll.seq
        ),
        'options', (
            select
                jsonb_agg(
                    jsonb_build_object(
                        'id', o.value -> 'id', 'count', c.count, 'is_mine', c.is_mine
                    )
                    order by o.number
                )
            from
                jsonb_array_elements(v_poll.metadata -> 'options')
                with ordinality as o (value, number)
            cross join lateral (
                select
                    count(*) as count,
                    coalesce(bool_or(v.user_id = v_user_id), false) as is_mine
                from chat.poll_votes as v
                where
                    v.conversation_id = v_poll.conversation_id
                    and v.message_seq = v_poll.seq
                    and v.option_id = o.value ->> 'id'
            ) as c
        )
    );
end;
$$;
revoke execute on function chat_private.poll_results(chat.messages) from public, anon;
grant execute on function chat_private.poll_results(chat.messages) to authenticated;

create function chat.poll_results(message chat.messages)
returns jsonb
language sql
stable
set search_path = ''
begin atomic
select chat_private.poll_results(message);
end;
comment on function chat.poll_results(chat.messages) is
    'How a poll stands: {is_closed, voter_count, options: [{id, count, is_mine}, ...]}; null for '
    'other messages. A column of chat.messages to PostgREST.';
revoke execute on function chat.poll_results(chat.messages) from public, anon;
grant execute on function chat.poll_results(chat.messages) to authenticated;

-- The poll a call is about, if the caller can read it. Raises message_not_found, not_a_poll.
create function chat_private.require_poll(participant chat.participants, seq bigint)
returns chat.messages
language plpgsql
stable
set search_path = ''
as $$
declare
    v_message constant chat.messages :=
        chat_private.require_message(participant, require_poll.seq);
begin
    if v_message.kind <> 'poll' then
        perform chat_private.raise_error('not_a_poll');
    end if;
    return v_message;
end;
$$;
revoke execute on function chat_private.require_poll(chat.participants, bigint)
from public, anon, authenticated;

-- Security definer: as react. Changes the caller's own votes alone.
create function chat_private.vote(conversation_id uuid, seq bigint, option_ids text [])
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_participant constant chat.participants :=
        chat_private.lock_as_participant(vote.conversation_id);
    v_poll constant chat.messages := chat_private.require_poll(v_participant, vote.seq);
    v_option_ids constant text [] := array(
        select distinct o.id from unnest(vote.option_ids) as o (id) order by o.id
    );
    v_voted constant text [] := array(
        select v.option_id
        from chat.poll_votes as v
        where
            v.conversation_id = v_poll.conversation_id
            and v.message_seq = v_poll.seq
            and v.user_id = v_participant.user_id
        order by v.option_id
    );
begin
    if v_option_ids = v_voted then
        return chat_private.poll_results(v_poll);
    end if;
    perform chat_private.check_may_respond(v_participant);
    if chat_private.is_poll_closed(v_poll) then
        perform chat_private.raise_error('poll_closed');
    end if;
    if exists (
        select
        from unnest(v_option_ids) as o (id)
        where not exists (
            select
            from jsonb_array_elements(v_poll.metadata -> 'options') as p (value)
            where p.value ->> 'id' = o.id
        )
    ) then
        perform chat_private.raise_error('unknown_option');
    end if;
    if cardinality(v_option_ids) > 1
        and not coalesce((v_poll.metadata -> 'multiple')::boolean, false)
    then
        perform chat_private.raise_error('one_option_only');
    end if;

    delete from chat.poll_votes as v
    where
        v.conversation_id = v_poll.conversation_id
        and v.message_seq = v_poll.seq
        and v.user_id = v_participant.user_id
        and v.option_id <> all (v_option_ids);
    insert into chat.poll_votes (conversation_id, message_seq, user_id, option_id)
    select
        v_poll.conversation_id,
        v_poll.seq,
        v_participant.user_id,
        o.id
    from unnest(v_option_ids) as o (id)
    on conflict do nothing;
    perform chat_private.broadcast_change(
        chat_private.touch_message(v_poll.conversation_id, v_poll.seq),
        'poll_voted',
        jsonb_build_object(
            'seq', v_poll.seq,
            'user_id', v_participant.user_id,
            'option_ids', to_jsonb(v_option_ids)
        )
    );
    return chat_private.poll_results(v_poll);
end;
$$;
revoke execute on function chat_private.vote(uuid, bigint, text []) from public, anon;
grant execute on function chat_private.vote(uuid, bigint, text []) to authenticated;

create function chat.vote(conversation_id uuid, seq bigint, option_ids text [])
returns jsonb
language sql
set search_path = ''
begin atomic
select chat_private.vote(conversation_id, seq, option_ids);
end;
comment on function chat.vote(uuid, bigint, text []) is
    'Votes in a poll and returns its poll_results. Replaces how the caller voted before; no '
    'options take the vote back.';
revoke execute on function chat.vote(uuid, bigint, text []) from public, anon;
grant execute on function chat.vote(uuid, bigint, text []) to authenticated;

-- Security definer: updates what its caller may only read. Checks that the caller sent the poll,
-- or owns or administers the conversation, or moderates the tenant as a participant.
create function chat_private.close_poll(conversation_id uuid, seq bigint)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_participant constant chat.participants :=
        chat_private.lock_as_participant(close_poll.conversation_id);
    v_poll chat.messages := chat_private.require_poll(v_participant, close_poll.seq);
    v_conversation chat.conversations;
begin
    if v_poll.sender_id is distinct from v_participant.user_id
        and v_participant.role = 'member'
        and v_participant.tenant_id <> all (array(select chat_private.tenant_ids_for_moderator()))
    then
        perform chat_private.raise_error('not_allowed_to_close');
    end if;
    if chat_private.is_poll_closed(v_poll) then
        return chat_private.poll_results(v_poll);
    end if;
    perform chat_private.check_may_respond(v_participant);
    v_conversation := chat_private.touch_message(v_poll.conversation_id, v_poll.seq);
    update chat.messages as m
    set metadata = m.metadata || jsonb_build_object('closed_at', chat_private.now())
    where m.conversation_id = v_poll.conversation_id and m.seq = v_poll.seq
    returning m.* into v_poll;
    perform chat_private.broadcast_change(
        v_conversation,
        'poll_closed',
        jsonb_build_object('seq', v_poll.seq, 'closed_at', v_poll.metadata -> 'closed_at')
    );
    return chat_private.poll_results(v_poll);
end;
$$;
revoke execute on function chat_private.close_poll(uuid, bigint) from public, anon;
grant execute on function chat_private.close_poll(uuid, bigint) to authenticated;

create function chat.close_poll(conversation_id uuid, seq bigint)
returns jsonb
language sql
set search_path = ''
begin atomic
select chat_private.close_poll(conversation_id, seq);
end;
comment on function chat.close_poll(uuid, bigint) is
    'Ends a poll for good and returns its poll_results. Closing again changes nothing.';
revoke execute on function chat.close_poll(uuid, bigint) from public, anon;
grant execute on function chat.close_poll(uuid, bigint) to authenticated;

-- People voted for what a poll said: it cannot be edited under them, nor opened again.
create function chat_private.keep_poll()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    if new.kind <> old.kind
        or (new.metadata - 'closed_at') <> (old.metadata - 'closed_at')
        or old.metadata ? 'closed_at'
    then
        perform chat_private.raise_error('immutable_column');
    end if;
    return new;
end;
$$;
revoke execute on function chat_private.keep_poll() from public, anon, authenticated;

-- Triggers -------------------------------------------------------------------------------------

create trigger messages_keep_poll
before update of kind, metadata on chat.messages
for each row
when (
    old.kind = 'poll'
    and old.deleted_at is null
    and new.deleted_at is null
    and (new.kind, new.metadata) is distinct from (old.kind, old.metadata)
)
execute function chat_private.keep_poll();

-- Policies -------------------------------------------------------------------------------------

create policy "participants can read votes in polls they can read"
on chat.poll_votes for select
to authenticated
using (
    conversation_id = any (array(select chat_private.conversation_ids_for_member()))
    and exists (
        select
        from chat.messages as m
        where
            m.conversation_id = poll_votes.conversation_id
            and m.seq = poll_votes.message_seq
            and m.deleted_at is null
    )
);
