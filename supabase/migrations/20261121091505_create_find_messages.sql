-- Purpose: which messages have the words that somebody searches for.
-- Objects: type chat_private.search_hit; functions chat_private.parse_search,
--          chat_private.find_messages.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

insert into chat_private.errors (code, state, message, hint)
values
    (
        'search_query_empty', '22023',
        'There is no word to search for.',
        'Give a word that is to be found: one that is neither excluded nor a stop word.'
    );

-- Types ----------------------------------------------------------------------------------------

-- A message found. Compares as "newest first" orders.
create type chat_private.search_hit as (created_at timestamptz, conversation_id uuid, seq bigint);

-- Functions ------------------------------------------------------------------------------------

-- Any of these marks, see search_vector.
create function chat_private.search_any(marks text [])
returns tsquery
language plpgsql
immutable
parallel safe
set search_path = ''
as $$
begin
    return (''' ' || array_to_string(marks, ''' | '' ') || '''')::tsquery;
end;
$$;
revoke execute on function chat_private.search_any(text []) from public, anon, authenticated;

-- The marks of search_vector for the spans of a level from number bottom to that of second top.
create function chat_private.search_span(level integer, bottom bigint, top bigint)
returns tsquery
language plpgsql
immutable
parallel safe
set search_path = ''
as $$
declare
    v_shift constant integer := 6 * search_span.level + 2;
    v_span constant tsquery := chat_private.search_any(
        array(
            select
                search_span.level
                || to_hex(case when search_span.level < 2 then s.number & 16383 else s.number end)
            from generate_series(search_span.bottom, search_span.top >> v_shift) as s (number)
        )
    );
begin
    if search_span.level >= 2 then
        return v_span;
    end if;
    return v_span && chat_private.search_span(
        search_span.level + 2, (search_span.bottom << v_shift) >> (v_shift + 12), search_span.top
    );
end;
$$;
revoke execute on function chat_private.search_span(integer, bigint, bigint)
from public, anon, authenticated;

-- What the user typed, by the rules of each language that messages of these tenants are indexed in.
-- Raises search_query_empty when in none of those they use now a word is left that must be there:
-- nearly every message would match.
create function chat_private.parse_search(query text, tenant_ids uuid [])
returns tsquery
language plpgsql
stable
set search_path = ''
as $$
declare
    v_words tsquery;
    v_has_words boolean;
begin
    select
        string_agg(
            format('( %s ) & %s', l.words, chat_private.search_any(array[l.name])), ' | '
        )::tsquery,
        bool_or(l.is_current)
    into v_words, v_has_words
    from (
        select
            k.name,
            bool_or(k.is_current) as is_current,
            websearch_to_tsquery(k.name::regconfig, parse_search.query) as words
        from (
            select
                s.search_language as name,
                true as is_current
            from chat.settings as s
            where s.tenant_id = any (parse_search.tenant_ids)
            union all
            select
                unnest(s.past_search_languages),
                false
            from chat.settings as s
            where s.tenant_id = any (parse_search.tenant_ids)
            union all
            -- A caller without conversations.
            select
                'simple',
                true
            where parse_search.tenant_ids is null
        ) as k
        group by k.name
    ) as l
    where querytree(l.words) not in ('', 'T');
    if v_has_words is not true then
        perform chat_private.raise_error('search_query_empty');
    end if;
    return v_words;
end;
$$;
revoke execute on function chat_private.parse_search(text, uuid [])
from public, anon, authenticated;

-- The newest messages with these words before a position, of some conversations and there from a
-- message on. Says of them what the policy of messages says: not expired, not hidden; and leaves
-- out what people sent whom the caller has blocked.
--
-- Reads the index back in time, a span after the other, each some four times as long as the one
-- before, until enough are found: however common the words are, not many more are looked at than
-- needed.
create function chat_private.find_messages(
    words tsquery,
    conversation_ids uuid [],
    visible_from_seqs bigint [],
    readable bigint,
    newest timestamptz,
    sender_id uuid,
    sent_after timestamptz,
    before chat_private.search_hit,
    wanted integer
)
returns chat_private.search_hit []
language plpgsql
stable
set search_path = ''
-- Spans and words are the index's business, whatever the planner thinks of them.
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $$
declare
    v_user_id constant uuid := auth.uid();
    v_now constant timestamptz := chat_private.now();
    v_conversations constant integer := cardinality(conversation_ids);
    v_blocked_ids constant uuid [] := array(
        select b.blocked_id from chat.blocks as b where b.blocker_id = v_user_id
    );
    -- Of all messages, how many are somebody else's for one of the caller's own.
    v_all constant bigint := (
        select greatest(c.reltuples::bigint, find_messages.readable)
        from pg_catalog.pg_class as c
        where c.oid = 'chat.messages'::regclass
    );
    v_is_narrow boolean;
    v_words tsquery := find_messages.words;
    v_query tsquery;
    v_hits chat_private.search_hit [] := '{}'::chat_private.search_hit [];
    v_found chat_private.search_hit [];
    v_seen bigint;
    v_seen_before bigint := 0;
    -- Half a minute for clocks that were set back.
    v_top bigint := floor(
        extract(epoch from least(before.created_at, greatest(newest, clock_timestamp())))
    ) + 30;
    v_until timestamptz := coalesce(before.created_at, 'infinity');
    v_from timestamptz;
    v_bottom bigint;
    v_level integer;
    -- A minute.
    v_step integer := 2;
begin
    loop
        -- The index can leave out others' messages itself, at a price for each conversation: worth
        -- it with few, or when one's own are few among all.
        if v_is_narrow is not true then
            v_is_narrow := v_conversations <= 10 or (
                v_conversations <= 1000
                and (
                    readable::numeric * readable * (100 + v_conversations)
                    < 150::numeric * wanted * v_all
                    or v_seen_before > readable
                )
            );
            if v_is_narrow then
                v_words := v_words && chat_private.search_any(conversation_ids::text []);
            end if;
        end if;

        v_level := v_step / 3;
        if v_level = 4 or (v_is_narrow and readable <= 5000) then
            v_query := v_words;
            v_from := '-infinity';
        else
            -- 1, 4 and 16 marks of each level.
            v_bottom := (v_top >> (6 * v_level + 2)) + 1 - (1 << (2 * (v_step % 3)));
            v_from := to_timestamp(v_bottom << (6 * v_level + 2));
            v_query := v_words && chat_private.search_span(v_level, v_bottom, v_top);
        end if;
        select
            count(*),
            array_agg(
                row(m.created_at, m.conversation_id, m.seq)::chat_private.search_hit
                order by m.created_at desc, m.conversation_id desc, m.seq desc
            ) filter (where i.id is not null and h.user_id is null)
        into v_seen, v_found
        from chat.messages as m
        left join unnest(conversation_ids, visible_from_seqs) as i (id, visible_from_seq)
            on
                m.conversation_id = i.id
                and m.seq >= i.visible_from_seq
                and (m.expires_at is null or m.expires_at > v_now)
                and (m.created_at >= find_messages.sent_after) is not false
                and (m.sender_id = find_messages.sender_id) is not false
                and (m.sender_id = any (v_blocked_ids)) is not true
        left join chat.hidden_messages as h
            on
                m.conversation_id = h.conversation_id
                and m.seq = h.message_seq
                and h.user_id = v_user_id
        where
            m.deleted_at is null
            and m.kind <> 'system'
            and chat_private.search_vector(
                m.kind, m.body, m.metadata, m.search_language, m.conversation_id, m.created_at
            ) @@ v_query
            and m.created_at >= v_from
            and m.created_at <= v_until
            and (
                before is null
                or row(m.created_at, m.conversation_id, m.seq)::chat_private.search_hit < before
            );
        v_hits := v_hits || v_found;
        if cardinality(v_hits) >= wanted
            or v_from = '-infinity'
            or v_from <= find_messages.sent_after
        then
            return v_hits[:wanted];
        end if;
        v_seen_before := v_seen_before + v_seen;
        v_top := (v_bottom << (6 * v_level + 2)) - 1;
        -- Nothing is between: times have microseconds.
        v_until := v_from - interval '1 microsecond';
        -- After nothing, a level further. A span of one mark may have been next to nothing itself.
        v_step := v_step + case
            when v_seen > 0 or v_step % 3 = 0 then 1
            else 4 - v_step % 3
        end;
    end loop;
end;
$$;
revoke execute on function chat_private.find_messages(
    tsquery, uuid [], bigint [], bigint, timestamptz, uuid, timestamptz, chat_private.search_hit,
    integer
)
from public, anon, authenticated;
