-- Purpose: what the metadata of each kind of message holds.
-- Objects: functions chat_private.has_optional_texts, chat_private.has_optional_numbers,
--          chat_private.is_timestamp, chat_private.is_valid_poll, chat_private.is_valid_metadata.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

-- Functions ------------------------------------------------------------------------------------

-- None of these ever returns null: a check constraint lets null pass.

create function chat_private.has_optional_texts(metadata jsonb, keys text [], max_length integer)
returns boolean
language sql
immutable
parallel safe
set search_path = ''
return not exists (
    select
    from unnest(keys) as k (name)
    where
        metadata ? k.name
        and (
            jsonb_typeof(metadata -> k.name) <> 'string'
            or length(metadata ->> k.name) not between 1 and max_length
        )
);
comment on function chat_private.has_optional_texts(jsonb, text [], integer) is
    'Whether each of these keys is absent or a text of 1 to max_length characters.';
revoke execute on function chat_private.has_optional_texts(jsonb, text [], integer)
from public, anon, authenticated;

create function chat_private.has_optional_numbers(
    metadata jsonb,
    keys text [],
    low numeric,
    high numeric
)
returns boolean
language sql
immutable
parallel safe
set search_path = ''
return not exists (
    select
    from unnest(keys) as k (name)
    where
        metadata ? k.name
        and case jsonb_typeof(metadata -> k.name)
            when 'number' then (metadata -> k.name)::numeric not between low and high
            else true
        end
);
comment on function chat_private.has_optional_numbers(jsonb, text [], numeric, numeric) is
    'Whether each of these keys is absent or a number from low to high.';
revoke execute on function chat_private.has_optional_numbers(jsonb, text [], numeric, numeric)
from public, anon, authenticated;

-- Immutable in truth, though the cast is not in general: the time zone is part of what it accepts.
-- Not parallel safe, nor what calls it: catching an error starts a subtransaction.
create function chat_private.is_timestamp(value jsonb)
returns boolean
language plpgsql
immutable
set search_path = ''
as $$
begin
    if is_timestamp.value is null
        or jsonb_typeof(is_timestamp.value) <> 'string'
        or (is_timestamp.value #>> '{}')
        !~ '^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d(:?\d\d)?)$'
    then
        return false;
    end if;
    return (is_timestamp.value #>> '{}')::timestamptz is not null;
exception
    when datetime_field_overflow or invalid_datetime_format
        or invalid_time_zone_displacement_value
    then
        return false;
end;
$$;
comment on function chat_private.is_timestamp(jsonb) is
    'Whether this is a text in ISO 8601, with its time zone, of a time that exists.';
revoke execute on function chat_private.is_timestamp(jsonb) from public, anon, authenticated;

create function chat_private.is_valid_poll(metadata jsonb)
returns boolean
language plpgsql
immutable
set search_path = ''
as $$
declare
    v_options constant jsonb := is_valid_poll.metadata -> 'options';
begin
    if jsonb_typeof(v_options) is distinct from 'array'
        or jsonb_array_length(v_options) not between 2 and 20
        or not is_valid_poll.metadata ? 'question'
        or not chat_private.has_optional_texts(is_valid_poll.metadata, '{question}', 300)
        or is_valid_poll.metadata ->> 'question' !~ '\S'
        or jsonb_typeof(coalesce(is_valid_poll.metadata -> 'multiple', 'false')) <> 'boolean'
        or (
            is_valid_poll.metadata ? 'closes_at'
            and not chat_private.is_timestamp(is_valid_poll.metadata -> 'closes_at')
        )
        or (
            is_valid_poll.metadata ? 'closed_at'
            and not chat_private.is_timestamp(is_valid_poll.metadata -> 'closed_at')
        )
    then
        return false;
    end if;
    if exists (
        select
        from jsonb_array_elements(v_options) as o (value)
        where
            jsonb_typeof(o.value) <> 'object'
            or not o.value ?& '{id,text}'
            or not chat_private.has_optional_texts(o.value, '{id}', 50)
            or not chat_private.has_optional_texts(o.value, '{text}', 200)
            or o.value ->> 'text' !~ '\S'
    ) then
        return false;
    end if;
    return jsonb_array_length(v_options) = (
        select count(distinct o.value ->> 'id')
        from jsonb_array_elements(v_options) as o (value)
    );
end;
$$;
comment on function chat_private.is_valid_poll(jsonb) is
    '{question, options: [{id, text}, ...], multiple, closes_at}: 2 to 20 options with ids of '
    'their own; the last two keys can be left out. chat.close_poll adds closed_at.';
revoke execute on function chat_private.is_valid_poll(jsonb) from public, anon, authenticated;

create function chat_private.is_valid_metadata(kind text, metadata jsonb)
returns boolean
language plpgsql
immutable
set search_path = ''
as $$
begin
    if jsonb_typeof(coalesce(is_valid_metadata.metadata -> 'mention_all', 'false')) <> 'boolean'
    then
        return false;
    end if;
    -- What is in 16 KB of a custom message is its application's business, a text's too.
    if is_valid_metadata.kind in ('text', 'custom', 'system') then
        return true;
    end if;
    if is_valid_metadata.kind in ('image', 'file', 'audio', 'video') then
        return chat_private.has_optional_texts(
                is_valid_metadata.metadata, '{name,mime_type,alt}', 1000
            )
            and chat_private.has_optional_numbers(
                is_valid_metadata.metadata, '{width,height}', 1, 100000
            )
            and chat_private.has_optional_numbers(
                is_valid_metadata.metadata, '{size_bytes,duration_seconds}', 0, 1e15
            );
    end if;
    if is_valid_metadata.kind = 'location' then
        return is_valid_metadata.metadata ?& '{lat,lon}'
            and chat_private.has_optional_numbers(is_valid_metadata.metadata, '{lat}', -90, 90)
            and chat_private.has_optional_numbers(is_valid_metadata.metadata, '{lon}', -180, 180)
            and chat_private.has_optional_numbers(
                is_valid_metadata.metadata, '{accuracy_meters}', 0, 1e8
            )
            and chat_private.has_optional_texts(
                is_valid_metadata.metadata, '{name,address}', 1000
            );
    end if;
    if is_valid_metadata.kind = 'contact' then
        return is_valid_metadata.metadata ?| '{name,user_id}'
            and chat_private.has_optional_texts(
                is_valid_metadata.metadata, '{name,phone,email}', 320
            )
            and coalesce(
                is_valid_metadata.metadata ->> 'user_id'
                ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$',
                not is_valid_metadata.metadata ? 'user_id'
            );
    end if;
    return is_valid_metadata.kind = 'poll'
        and chat_private.is_valid_poll(is_valid_metadata.metadata);
end;
$$;
comment on function chat_private.is_valid_metadata(text, jsonb) is
    'Whether a message of this kind can have this metadata. Keys it does not know are let be.';
revoke execute on function chat_private.is_valid_metadata(text, jsonb)
from public, anon, authenticated;
