-- Purpose: everything that changed since a client last asked.
-- Objects: function chat.sync.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

insert into chat_private.errors (code, state, message, hint)
values
    (
        'sync_page_size_out_of_range', '22023',
        'A page of sync has from 1 to 2000 rows.',
        'Leave page_size out, or give another.'
    );

-- Functions ------------------------------------------------------------------------------------

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
    for v_state in
        select
            coalesce(o.id, k.conversation_id) as id,
            k.known,
            o.conversation,
            o.rev,
            o.last_seq,
            o.participant_count,
            o.visible_from_seq,
            o.private_rev,
            -- Not the caller's any more, or not there.
            o.id is null as is_left,
            k.conversation_id is null
            or k.rev < o.sync_from_rev
            or k.visible_from_seq <> o.visible_from_seq
            -- Ahead of the database, which then is an older copy of itself.
            or k.rev > o.rev
            or k.seq > o.last_seq
            or k.private_rev > o.private_rev as is_resync,
            (k.rev, k.seq, k.private_rev) = (o.rev, o.last_seq, o.private_rev) as is_known
        from (
            select
                c as conversation,
                c.id,
                c.rev,
                c.last_seq,
                c.participant_count,
                c.sync_from_rev,
                c.last_activity_at,
                p.visible_from_seq,
                coalesce(s.rev, 0) as private_rev
            from chat.participants as p
            inner join chat.conversations as c on p.conversation_id = c.id
            left join chat.participant_settings as s
                on p.conversation_id = s.conversation_id and p.user_id = s.user_id
            where
                p.user_id = v_user_id
                and p.left_at is null
                and (
                    plan_sync.conversation_id is null
                    or p.conversation_id = plan_sync.conversation_id
                )
        ) as o
        full join (
            select
                d as known,
                d.*
            from chat_private.decode_sync_cursor(plan_sync.cursor) as d
            where
                plan_sync.conversation_id is null
                or d.conversation_id = plan_sync.conversation_id
        ) as k on o.id = k.conversation_id
        order by o.last_activity_at desc nulls last, o.id
    loop
        if v_state.is_left then
            v_step := row(v_state.id, true, true, false, false, null, null, null);
            return next v_step;
            continue;
        end if;
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
    if not found and plan_sync.conversation_id is not null then
        perform chat_private.raise_error('conversation_not_found');
    end if;
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
