-- Purpose: the words of messages, indexed.
-- Objects: index chat.messages_search_idx; functions chat_private.searchable_text,
--          chat_private.search_vector; column chat.settings.past_search_languages.
-- Locks:   share on chat.messages while the index is built. A large table: build it concurrently
--          before, by hand, with this name.
-- Breaking: no.
--
-- A common word is in a million messages, of which a user may read a few thousand; so words alone
-- do not narrow a search. The index also has, as words nobody can type, what does: a message's
-- conversation, and its time in spans of growing width. A search then reads back in time, a span at
-- a time, each as one look-up of words and span together.

set lock_timeout = '5s';

-- Tables ---------------------------------------------------------------------------------------

alter table chat.settings add column past_search_languages text [] not null default '{}';
comment on column chat.settings.past_search_languages is
    'What search_language was before: messages sent then are found by the rules of that language.';

-- Functions ------------------------------------------------------------------------------------

create function chat_private.remember_search_language()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    new.past_search_languages := array(
        select distinct l.name
        from unnest(old.past_search_languages || old.search_language) as l (name)
        where l.name <> new.search_language
        order by l.name
    );
    return new;
end;
$$;
revoke execute on function chat_private.remember_search_language()
from public, anon, authenticated;

-- What a message says to somebody who looks for words: its text or caption; what a poll asks; the
-- name and description of a file, place or contact.
create function chat_private.searchable_text(kind chat.message_kind, body text, metadata jsonb)
returns text
language plpgsql
immutable
parallel safe
set search_path = ''
as $$
begin
    case
        when kind in ('text', 'custom') then
            return body;
        when kind = 'poll' then
            return concat_ws(
                e'\n',
                body,
                metadata ->> 'question',
                (
                    select string_agg(o.value ->> 'text', e'\n' order by o.number)
                    from jsonb_array_elements(metadata -> 'options')
                        with ordinality as o (value, number)
                )
            );
        else
            return concat_ws(
                e'\n', body, metadata ->> 'name', metadata ->> 'alt', metadata ->> 'address'
            );
    end case;
end;
$$;
revoke execute on function chat_private.searchable_text(chat.message_kind, text, jsonb)
from public, anon;
grant execute on function chat_private.searchable_text(chat.message_kind, text, jsonb)
to authenticated;

-- What is indexed of a message: its words, and marks, which begin with a space as no word does. Of
-- the language, the conversation, and the time in spans of 2^2, 2^8, 2^14 and 2^20 seconds (4
-- seconds, 4 minutes, 5 hours, 12 days). Spans of the first two levels are numbered modulo 16384, so
-- that quiet times do not cost a new word for each message; together with the mark two levels up
-- they are exact. Immutable, because the languages are those that come with PostgreSQL.
create function chat_private.search_vector(
    kind chat.message_kind,
    body text,
    metadata jsonb,
    language text,
    conversation_id uuid,
    created_at timestamptz
)
returns tsvector
language plpgsql
immutable
parallel safe
set search_path = ''
as $$
declare
    v_language constant text := coalesce(search_vector.language, 'simple');
    v_seconds constant bigint := floor(extract(epoch from search_vector.created_at));
begin
    return to_tsvector(
        v_language::regconfig,
        chat_private.searchable_text(
            search_vector.kind, search_vector.body, search_vector.metadata
        )
    ) || array_to_tsvector(
        array[
            ' ' || v_language,
            ' ' || search_vector.conversation_id,
            ' 0' || to_hex((v_seconds >> 2) & 16383),
            ' 1' || to_hex((v_seconds >> 8) & 16383),
            ' 2' || to_hex(v_seconds >> 14),
            ' 3' || to_hex(v_seconds >> 20)
        ]
    );
end;
$$;
revoke execute on function chat_private.search_vector(
    chat.message_kind, text, jsonb, text, uuid, timestamptz
)
from public, anon, authenticated;

-- Indexes --------------------------------------------------------------------------------------

-- Serves: find_messages. Without fastupdate: with it every search reads all that waits to be
-- sorted in, and one send in some hundreds pays for all of them.
create index messages_search_idx on chat.messages using gin (
    chat_private.search_vector(kind, body, metadata, search_language, conversation_id, created_at)
) with (fastupdate = off)
where deleted_at is null and kind <> 'system';

-- Triggers -------------------------------------------------------------------------------------

create trigger settings_remember_search_language
before update on chat.settings
for each row execute function chat_private.remember_search_language();
