-- Purpose: full-text search in the messages that the caller may read.
-- Objects: function chat.search_messages.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

insert into chat_private.errors (code, state, message, hint)
values
    (
        'search_query_too_long', '22023',
        'A search takes at most 500 characters.',
        'Search for fewer words.'
    ),
    (
        'search_order_unknown', '22023',
        'Messages found are ordered by newest or ranked.',
        'Use one of the two, or leave order_by out.'
    ),
    (
        'search_page_size_out_of_range', '22023',
        'A page of messages found has from 1 to 100.',
        'Leave page_size out, or give another.'
    ),
    (
        'search_cursor_invalid', '22023',
        'This cursor was not made by a search in this order.',
        'Use a next_cursor as it was returned, with the same other arguments.'
    );

-- Functions ------------------------------------------------------------------------------------

create function chat_private.encode_search_hit(hit chat_private.search_hit)
returns text
language plpgsql
immutable
parallel safe
set search_path = ''
as $$
begin
    return concat_ws(
        '~', (extract(epoch from hit.created_at) * 1000000)::bigint, hit.conversation_id, hit.seq
    );
end;
$$;
revoke execute on function chat_private.encode_search_hit(chat_private.search_hit)
from public, anon, authenticated;

create function chat_private.decode_search_hit(parts text [])
returns chat_private.search_hit
language plpgsql
immutable
strict
parallel safe
set search_path = ''
as $$
begin
    return row(
        timestamptz '1970-01-01 00:00:00+00' + parts[1]::bigint * interval '1 microsecond',
        parts[2]::uuid,
        parts[3]::bigint
    )::chat_private.search_hit;
end;
$$;
revoke execute on function chat_private.decode_search_hit(text []) from public, anon, authenticated;

-- The parts of a cursor. Newest: the hit that the page ended with. Ranked: its score, it, and the
-- newest hit of the first page, so that what is sent meanwhile moves nothing. Raises
-- search_cursor_invalid.
create function chat_private.parse_search_cursor(cursor text, is_ranked boolean)
returns text []
language plpgsql
stable
set search_path = ''
as $$
declare
    v_hit constant text := '(~\d{1,16}~[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}~\d{1,18})';
    v_pattern constant text := case
        when parse_search_cursor.is_ranked then '^ranked~\d{1,7}' || v_hit || '{2}$'
        else '^newest' || v_hit || '$'
    end;
begin
    if parse_search_cursor.cursor !~ v_pattern then
        perform chat_private.raise_error('search_cursor_invalid');
    end if;
    return (string_to_array(parse_search_cursor.cursor, '~'))[2:];
end;
$$;
revoke execute on function chat_private.parse_search_cursor(text, boolean)
from public, anon, authenticated;

-- Security definer: under row level security the index of words could not be used, for @@ is not
-- leakproof. Finds in the caller's own conversations alone, and tells only which messages: they are
-- read under row level security.
create function chat_private.search_messages(
    query text,
    conversation_id uuid,
    sender_id uuid,
    sent_after timestamptz,
    sent_before timestamptz,
    order_by text,
    page_size integer,
    cursor text
)
returns table (hit chat_private.search_hit, score integer, next_cursor text)
language plpgsql
stable
security definer
rows 20
set search_path = ''
as $$
declare
    v_user_id constant uuid := auth.uid();
    v_is_ranked constant boolean := search_messages.order_by = 'ranked';
    -- Of how many, the newest, the best are looked for.
    v_ranked_of constant integer := 500;
    v_after text [];
    v_before chat_private.search_hit;
    v_scope record;
    v_words tsquery;
    v_hits chat_private.search_hit [];
begin
    if search_messages.conversation_id is not null or v_user_id is null then
        perform chat_private.require_participant(search_messages.conversation_id);
    end if;
    if length(search_messages.query) > 500 then
        perform chat_private.raise_error('search_query_too_long');
    end if;
    if coalesce(search_messages.order_by not in ('newest', 'ranked'), true) then
        perform chat_private.raise_error('search_order_unknown');
    end if;
    if coalesce(search_messages.page_size not between 1 and 100, true) then
        perform chat_private.raise_error('search_page_size_out_of_range');
    end if;
    v_after := chat_private.parse_search_cursor(search_messages.cursor, v_is_ranked);
    v_before := chat_private.decode_search_hit(
        case when v_is_ranked then v_after[5:] else v_after end
    );
    if sent_before is not null and (sent_before <= v_before.created_at) is not false then
        -- The first position of that time: nothing at it is before.
        v_before := row(sent_before, '00000000-0000-0000-0000-000000000000'::uuid, 0);
    end if;

    select
        array_agg(p.conversation_id) as ids,
        array_agg(p.visible_from_seq) as visible_from_seqs,
        array_agg(distinct p.tenant_id) as tenant_ids,
        sum(greatest(c.last_seq - p.visible_from_seq + 1, 0))::bigint as readable,
        max(c.last_activity_at) as newest
    into v_scope
    from chat.participants as p
    inner join chat.conversations as c on p.conversation_id = c.id
    where
        p.user_id = v_user_id
        and p.left_at is null
        and (
            search_messages.conversation_id is null
            or p.conversation_id = search_messages.conversation_id
        )
        and (
            search_messages.sender_id is null
            or exists (
                select
                from chat.participants as q
                where
                    q.conversation_id = p.conversation_id
                    and q.user_id = search_messages.sender_id
            )
        );
    v_words := chat_private.parse_search(search_messages.query, v_scope.tenant_ids);
    if v_scope.ids is null then
        return;
    end if;
    v_hits := chat_private.find_messages(
        v_words,
        v_scope.ids,
        v_scope.visible_from_seqs,
        v_scope.readable,
        v_scope.newest,
        search_messages.sender_id,
        search_messages.sent_after,
        v_before,
        case when v_is_ranked then v_ranked_of else search_messages.page_size end
    );

    return query
    select
        f.hit,
        f.score,
        case
            when v_is_ranked then concat_ws(
                '~',
                'ranked',
                f.score,
                chat_private.encode_search_hit(f.hit),
                -- The position right after the newest.
                chat_private.encode_search_hit(
                    case
                        when v_before is not null then v_before
                        else row(
                            v_hits[1].created_at, v_hits[1].conversation_id, v_hits[1].seq + 1
                        )::chat_private.search_hit
                    end
                )
            )
            else 'newest~' || chat_private.encode_search_hit(f.hit)
        end
    from (
        select
            row(u.created_at, u.conversation_id, u.seq)::chat_private.search_hit as hit,
            -- As an integer, so that it is the same in a cursor.
            (
                1000000 * ts_rank(
                    to_tsvector(
                        l.language,
                        chat_private.searchable_text(m.kind, m.body, m.metadata)
                    ),
                    websearch_to_tsquery(l.language, search_messages.query)
                )
            )::integer as score
        from unnest(v_hits) as u
        inner join chat.messages as m on u.conversation_id = m.conversation_id and u.seq = m.seq
        cross join lateral (
            select coalesce(m.search_language, 'simple')::regconfig as language
        ) as l
    ) as f
    where
        not v_is_ranked
        or v_after is null
        or (f.score, f.hit)
        < (v_after[1]::integer, chat_private.decode_search_hit(v_after[2:4]))
    order by
        case when v_is_ranked then f.score end desc,
        f.hit desc
    limit search_messages.page_size;
end;
$$;
revoke execute on function chat_private.search_messages(
    text, uuid, uuid, timestamptz, timestamptz, text, integer, text
)
from public, anon;
grant execute on function chat_private.search_messages(
    text, uuid, uuid, timestamptz, timestamptz, text, integer, text
)
to authenticated;

-- The words found, in the text around them; as HTML that is safe to show.
create function chat_private.search_snippet(content text, language text, query text)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
    v_language constant regconfig := coalesce(search_snippet.language, 'simple')::regconfig;
    v_html text := replace(search_snippet.content, '&', '&amp;');
begin
    v_html := replace(replace(v_html, '<', '&lt;'), '>', '&gt;');
    v_html := replace(replace(v_html, '"', '&quot;'), '''', '&#39;');
    return ts_headline(
        v_language,
        v_html,
        websearch_to_tsquery(v_language, search_snippet.query),
        'StartSel=<mark>, StopSel=</mark>, MaxWords=30, MinWords=15'
    );
end;
$$;
revoke execute on function chat_private.search_snippet(text, text, text) from public, anon;
grant execute on function chat_private.search_snippet(text, text, text) to authenticated;

create function chat.search_messages(
    query text,
    conversation_id uuid default null,
    sender_id uuid default null,
    sent_after timestamptz default null,
    sent_before timestamptz default null,
    order_by text default 'newest',
    page_size integer default 20,
    cursor text default null
)
returns table (message chat.messages, snippet text, rank real, next_cursor text)
language sql
stable
rows 20
set search_path = ''
begin atomic
select
    m,
    chat_private.search_snippet(
        chat_private.searchable_text(m.kind, m.body, m.metadata), m.search_language, query
    ),
    (s.score / 1000000.0)::real,
    s.next_cursor
from chat_private.search_messages(
    query, conversation_id, sender_id, sent_after, sent_before, order_by, page_size, cursor
) with ordinality as s (hit, score, next_cursor, number)
inner join chat.messages as m
    on (s.hit).conversation_id = m.conversation_id and (s.hit).seq = m.seq
order by s.number;
end;
comment on function chat.search_messages(
    text, uuid, uuid, timestamptz, timestamptz, text, integer, text
) is
    'Finds readable messages by their words: all words, "a phrase", or, -without. Newest first, or '
    'with order_by ''ranked'' the best of the newest 500. The snippet is HTML: the text escaped, '
    'the words found in <mark>. For the next page pass the last row''s next_cursor as cursor, and '
    'all else as before; fewer rows than page_size are the last.';
revoke execute on function chat.search_messages(
    text, uuid, uuid, timestamptz, timestamptz, text, integer, text
)
from public, anon;
grant execute on function chat.search_messages(
    text, uuid, uuid, timestamptz, timestamptz, text, integer, text
)
to authenticated;
