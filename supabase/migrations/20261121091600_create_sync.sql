-- Purpose: everything that changed since a client last asked.
-- Objects: function chat.sync.
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
    ),
    (
        'sync_page_size_out_of_range', '22023',
        'A page of sync has from 1 to 2000 rows.',
        'Leave page_size out, or give another.'
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
set search_path = ''
as $$
begin
    if decode_sync_cursor.cursor !~ '^(v1(\.[\w-]{22}\d{1,18}(~\d{1,18}){3})*)?$' then
        perform chat_private.raise_error('sync_cursor_invalid');
    end if;
    return query
    select
        encode(decode(translate(left(e.entry, 22), '-_', '+/') || '==', 'base64'), 'hex')::uuid,
        split_part(substr(e.entry, 23), '~', 1)::bigint,
        split_part(substr(e.entry, 23), '~', 2)::bigint,
        split_part(substr(e.entry, 23), '~', 3)::bigint,
        split_part(substr(e.entry, 23), '~', 4)::bigint
    from string_to_table(decode_sync_cursor.cursor, '.') as e (entry)
    where e.entry not in ('', 'v1');
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
    );
    return v_step;
end;
$$;
revoke execute on function chat_private.take_sync_step(
    chat.conversations, chat_private.sync_position, bigint, bigint, integer
)
from public, anon, authenticated;

-- Security definer: reads the counters of all the caller's conversations without the cost of
-- policies. Tells of the caller's own conversations alone, and numbers alone: the rows are read
-- under row level security. Raises sign_in_required, conversation_not_found, sync_cursor_invalid,
-- sync_page_size_out_of_range.
create function chat_private.plan_sync(cursor text, conversation_id uuid, page_size integer)
returns setof chat_private.sync_step
language plpgsql
stable
security definer
rows 50
set search_path = ''
as $$
declare
    v_user_id constant uuid := auth.uid();
    v_known chat_private.sync_position [];
    v_left integer := plan_sync.page_size;
    v_state record;
    v_step chat_private.sync_step;
begin
    if v_user_id is null then
        perform chat_private.raise_error('sign_in_required');
    end if;
    if coalesce(plan_sync.page_size not between 1 and 2000, true) then
        perform chat_private.raise_error('sync_page_size_out_of_range');
    end if;
    select array_agg(k) into v_known
    from chat_private.decode_sync_cursor(plan_sync.cursor) as k
    where plan_sync.conversation_id is null or k.conversation_id = plan_sync.conversation_id;
    if plan_sync.conversation_id is not null and v_known is null then
        perform chat_private.require_participant(plan_sync.conversation_id);
    end if;

    -- No longer the caller's, or no longer there.
    return query
    select
        k.conversation_id,
        true,
        true,
        false,
        false,
        null::bigint,
        null::bigint [],
        null::chat_private.sync_position
    from unnest(v_known) as k
    where not exists (
        select
        from chat.participants as p
        where
            p.conversation_id = k.conversation_id
            and p.user_id = v_user_id
            and p.left_at is null
    );

    for v_state in
        select
            c as conversation,
            k as known,
            c.id,
            c.rev,
            c.last_seq,
            c.participant_count,
            p.visible_from_seq,
            coalesce(s.rev, 0) as private_rev,
            k.conversation_id is null
            or k.rev < c.sync_from_rev
            or k.visible_from_seq <> p.visible_from_seq
            -- Ahead of the database, which then is an older copy of itself.
            or k.rev > c.rev
            or k.seq > c.last_seq
            or k.private_rev > coalesce(s.rev, 0) as is_resync,
            (k.rev, k.seq, k.private_rev) is not distinct from (c.rev, c.last_seq, coalesce(s.rev, 0))
            as is_known
        from chat.participants as p
        inner join chat.conversations as c on p.conversation_id = c.id
        left join chat.participant_settings as s
            on p.conversation_id = s.conversation_id and p.user_id = s.user_id
        left join unnest(v_known) as k on p.conversation_id = k.conversation_id
        where
            p.user_id = v_user_id
            and p.left_at is null
            and (plan_sync.conversation_id is null or p.conversation_id = plan_sync.conversation_id)
        order by c.last_activity_at desc, c.id
    loop
        if v_left <= 0 or (v_state.is_known and not v_state.is_resync) then
            v_step := row(
                v_state.id,
                false,
                false,
                false,
                v_state.is_resync or not v_state.is_known,
                null,
                null,
                v_state.known
            );
        elsif v_state.is_resync then
            v_step := row(
                v_state.id,
                true,
                false,
                true,
                false,
                -1,
                '{}'::bigint [],
                row(
                    v_state.id,
                    v_state.rev,
                    v_state.last_seq,
                    v_state.private_rev,
                    v_state.visible_from_seq
                )
            );
            v_left := v_left - 1 - v_state.participant_count;
        else
            v_step := chat_private.take_sync_step(
                v_state.conversation,
                v_state.known,
                v_state.private_rev,
                v_state.visible_from_seq,
                v_left
            );
            v_left := v_left - 1 - cardinality(v_step.message_seqs);
        end if;
        return next v_step;
    end loop;
end;
$$;
revoke execute on function chat_private.plan_sync(text, uuid, integer) from public, anon;
grant execute on function chat_private.plan_sync(text, uuid, integer) to authenticated;

-- What the caller alone sees of a conversation, whole, under row level security.
create function chat_private.private_state(conversation_id uuid)
returns jsonb
language sql
stable
set search_path = ''
begin atomic
select
    jsonb_build_object(
        'settings', (
            select to_jsonb(s)
            from chat.participant_settings as s
            where
                s.conversation_id = private_state.conversation_id
                and s.user_id = (select auth.uid())
        ),
        'hidden_seqs', (
            select coalesce(jsonb_agg(h.message_seq order by h.message_seq), '[]')
            from chat.hidden_messages as h
            where
                h.conversation_id = private_state.conversation_id
                and h.user_id = (select auth.uid())
        ),
        'drafts', (
            select coalesce(jsonb_agg(d order by d.thread_root_seq nulls first), '[]')
            from chat.drafts as d
            where
                d.conversation_id = private_state.conversation_id
                and d.user_id = (select auth.uid())
        ),
        'saved_messages', (
            select coalesce(jsonb_agg(v order by v.message_seq), '[]')
            from chat.saved_messages as v
            where
                v.conversation_id = private_state.conversation_id
                and v.user_id = (select auth.uid())
        ),
        'scheduled_messages', (
            select coalesce(jsonb_agg(c order by c.send_at, c.id), '[]')
            from chat.scheduled_messages as c
            where
                c.conversation_id = private_state.conversation_id
                and c.user_id = (select auth.uid())
        ),
        'thread_reads', (
            select coalesce(jsonb_agg(t order by t.thread_root_seq), '[]')
            from chat.thread_reads as t
            where
                t.conversation_id = private_state.conversation_id
                and t.user_id = (select auth.uid())
        )
    );
end;
revoke execute on function chat_private.private_state(uuid) from public, anon;
grant execute on function chat_private.private_state(uuid) to authenticated;

create function chat.sync(
    cursor text default null,
    conversation_id uuid default null,
    page_size integer default 500
)
returns jsonb
language sql
stable
set search_path = ''
begin atomic
with steps as materialized (
    select s.*
    from chat_private.plan_sync(cursor, conversation_id, page_size) as s
)

select
    jsonb_build_object(
        'cursor',
        (
            select
                concat_ws(
                    '.',
                    'v1',
                    string_agg(chat_private.encode_sync_position(s."position"), '.')
                )
            from steps as s
            where (s."position").conversation_id is not null
        ),
        'has_more', (select coalesce(bool_or(s.has_more), false) from steps as s),
        'left', (
            select coalesce(jsonb_agg(s.conversation_id), '[]')
            from steps as s
            where s.is_left
        ),
        'conversations', (
            select
                coalesce(
                    jsonb_agg(
                        jsonb_build_object(
                            'conversation_id', s.conversation_id,
                            'resync', s.is_resync,
                            'conversation', (
                                select to_jsonb(i)
                                from chat.inbox as i
                                where i.conversation_id = s.conversation_id
                            ),
                            'participants', (
                                -- Without what moves without a rev.
                                select
                                    coalesce(
                                        jsonb_agg(
                                            to_jsonb(p) - array['read_count', 'last_sent_at']
                                            order by p.rev, p.user_id
                                        ),
                                        '[]'
                                    )
                                from chat.participants as p
                                where
                                    p.conversation_id = s.conversation_id
                                    and p.rev > s.known_rev
                                    and p.rev <= (s."position").rev
                            ),
                            'messages', (
                                select
                                    coalesce(
                                        jsonb_agg(
                                            to_jsonb(m) || jsonb_build_object(
                                                'reaction_summary',
                                                case
                                                    when m.is_changed
                                                        then chat.reaction_summary(m)
                                                    else '[]'
                                                end,
                                                'poll_results',
                                                case
                                                    when m.kind = 'poll' then chat.poll_results(m)
                                                end
                                            )
                                            order by m.seq
                                        ),
                                        '[]'
                                    )
                                from chat.messages as m
                                where
                                    m.conversation_id = s.conversation_id
                                    and m.seq = any (s.message_seqs)
                            ),
                            'attachments', (
                                select coalesce(jsonb_agg(a order by a.message_seq, a.position), '[]')
                                from chat.attachments as a
                                where
                                    a.conversation_id = s.conversation_id
                                    and a.message_seq = any (s.message_seqs)
                            ),
                            'mentions', (
                                select coalesce(jsonb_agg(a order by a.message_seq, a.user_id), '[]')
                                from chat.mentions as a
                                where
                                    a.conversation_id = s.conversation_id
                                    and a.message_seq = any (s.message_seqs)
                            ),
                            'pins', (
                                select coalesce(jsonb_agg(a order by a.message_seq), '[]')
                                from chat.pins as a
                                where
                                    a.conversation_id = s.conversation_id
                                    and a.message_seq = any (s.message_seqs)
                            ),
                            'private', chat_private.private_state(s.conversation_id)
                        )
                    ),
                    '[]'
                )
            from steps as s
            where s.is_due and not s.is_left
        )
    );
end;
comment on function chat.sync(text, uuid, integer) is
    'What changed since a cursor, in one conversation or in all of the caller''s: see '
    'docs/reference/sync.md. Ask with the cursor of the last answer, again while has_more.';
revoke execute on function chat.sync(text, uuid, integer) from public, anon;
grant execute on function chat.sync(text, uuid, integer) to authenticated;
