-- Purpose: how far a client knows a conversation, and what it lacks.
-- Objects: types chat_private.sync_position, chat_private.sync_step; functions of them.
-- Locks:   none on existing tables.
-- Breaking: no.
--
-- Revs and seqs are taken under the lock of the conversation's row, so what has a lower one is
-- committed before: a cursor of both, for each conversation, misses nothing however late another
-- transaction commits. A cursor says for each conversation: all changes up to rev of messages up to
-- seq are known, and what is private up to private_rev.

set lock_timeout = '5s';

insert into chat_private.errors (code, state, message, hint)
values
    (
        'sync_cursor_invalid', '22023',
        'This cursor was not made by sync.',
        'Use cursors as they were returned, or start without one.'
    );

-- Types ----------------------------------------------------------------------------------------

create type chat_private.sync_position as (
    conversation_id uuid,
    rev bigint,
    seq bigint,
    private_rev bigint,
    visible_from_seq bigint
);

-- What one answer says of one conversation: nothing when it is not due. Null position: not reached
-- yet, and nothing known.
create type chat_private.sync_step as (
    conversation_id uuid,
    is_due boolean,
    is_left boolean,
    is_resync boolean,
    has_more boolean,
    known_rev bigint,
    message_seqs bigint [],
    "position" chat_private.sync_position
);

-- Functions ------------------------------------------------------------------------------------

-- Each position is 22 characters of base64url for the conversation's id, and four numbers.
create function chat_private.encode_sync_position("position" chat_private.sync_position)
returns text
language sql
immutable
parallel safe
set search_path = ''
return translate(
    left(encode(uuid_send((encode_sync_position."position").conversation_id), 'base64'), 22),
    '+/', '-_'
) || concat_ws(
    '~',
    (encode_sync_position."position").rev,
    (encode_sync_position."position").seq,
    (encode_sync_position."position").private_rev,
    (encode_sync_position."position").visible_from_seq
);
revoke execute on function chat_private.encode_sync_position(chat_private.sync_position)
from public, anon;
grant execute on function chat_private.encode_sync_position(chat_private.sync_position)
to authenticated;

-- The positions in a cursor. Raises sync_cursor_invalid.
create function chat_private.decode_sync_cursor(cursor text)
returns setof chat_private.sync_position
language plpgsql
stable
rows 500
set search_path = ''
as $$
declare
    v_positions chat_private.sync_position [];
begin
    if decode_sync_cursor.cursor !~ '^(v1(\.[\w-]{22}\d{1,18}(~\d{1,18}){3})*)?$' then
        perform chat_private.raise_error('sync_cursor_invalid');
    end if;
    v_positions := array(
        select
            row(
                encode(
                    decode(translate(left(e.entry, 22), '-_', '+/') || '==', 'base64'), 'hex'
                )::uuid,
                split_part(substr(e.entry, 23), '~', 1)::bigint,
                split_part(substr(e.entry, 23), '~', 2)::bigint,
                split_part(substr(e.entry, 23), '~', 3)::bigint,
                split_part(substr(e.entry, 23), '~', 4)::bigint
            )::chat_private.sync_position
        from string_to_table(decode_sync_cursor.cursor, '.') as e (entry)
        where e.entry not in ('', 'v1')
    );
    -- Each one is answered: a thousand times the same would be a thousand answers.
    if cardinality(v_positions) <> (
        select count(distinct p.conversation_id) from unnest(v_positions) as p
    ) then
        perform chat_private.raise_error('sync_cursor_invalid');
    end if;
    return query
    select p.*
    from unnest(v_positions) as p;
end;
$$;
revoke execute on function chat_private.decode_sync_cursor(text) from public, anon, authenticated;

-- What of one conversation is due to a client: the seqs of messages that are new to it or changed,
-- at most page_size and those that share the last rev. Changes of known messages come first, by
-- rev; new messages follow, by seq, in their latest state.
create function chat_private.take_sync_step(
    conversation chat.conversations,
    known chat_private.sync_position,
    current_private_rev bigint,
    visible_from_seq bigint,
    page_size integer
)
returns chat_private.sync_step
language plpgsql
stable
set search_path = ''
as $$
declare
    v_seqs bigint [];
    v_rev bigint;
    v_seq bigint := known.seq;
    v_step chat_private.sync_step;
begin
    select array_agg(c.seq), max(c.rev) into v_seqs, v_rev
    from (
        select m.seq, m.rev
        from chat.messages as m
        where
            m.conversation_id = conversation.id
            and m.is_changed
            and m.rev > known.rev
            and m.seq <= known.seq
        order by m.rev
        fetch first take_sync_step.page_size rows with ties
    ) as c;
    if coalesce(cardinality(v_seqs), 0) < take_sync_step.page_size then
        v_rev := conversation.rev;
        v_seq := least(
            conversation.last_seq,
            known.seq + take_sync_step.page_size - coalesce(cardinality(v_seqs), 0)
        );
        select
            v_seqs || array_agg(g.seq) || array(
                select u.message_seq
                from chat_private.unhidden_messages as u
                where
                    u.conversation_id = conversation.id
                    and u.user_id = auth.uid()
                    and u.private_rev > known.private_rev
                    and u.message_seq <= known.seq
            )
        into v_seqs
        from generate_series(known.seq + 1, v_seq) as g (seq);
    end if;
    v_step.conversation_id := conversation.id;
    v_step.is_due := true;
    v_step.is_left := false;
    v_step.is_resync := false;
    v_step.has_more := v_rev < conversation.rev or v_seq < conversation.last_seq;
    v_step.known_rev := known.rev;
    v_step.message_seqs := coalesce(v_seqs, '{}');
    v_step."position" := row(
        conversation.id,
        v_rev,
        v_seq,
        -- Private state is given whole, but what was unhidden only with the last page.
        case when v_step.has_more then known.private_rev else current_private_rev end,
        take_sync_step.visible_from_seq
    )::chat_private.sync_position;
    return v_step;
end;
$$;
revoke execute on function chat_private.take_sync_step(
    chat.conversations, chat_private.sync_position, bigint, bigint, integer
)
from public, anon, authenticated;
