-- Lists of objects, in schema storage. All with the caller's rights: a list shows what the caller can
-- select.

set role supabase_storage_admin;

create function storage.get_size_by_bucket()
returns table (size bigint, bucket_id text)
language plpgsql
stable
set search_path = ''
as $$
begin
    return query
    select
        sum((o.metadata ->> 'size')::bigint)::bigint,
        o.bucket_id
    from storage.objects as o
    group by o.bucket_id;
end;
$$;

-- Case-insensitive; `prefix` and `search` are joined, and what follows up to `levels` segments is
-- an item. Sorted by name files and folders are mixed, otherwise folders come first.
create function storage.search(
    prefix text,
    bucketname text,
    limits integer default 100,
    levels integer default 1,
    offsets integer default 0,
    search text default '',
    sortcolumn text default 'name',
    sortorder text default 'asc'
)
returns table (
    name text,
    id uuid,
    updated_at timestamptz,
    created_at timestamptz,
    last_accessed_at timestamptz,
    metadata jsonb
)
language plpgsql
stable
set search_path = ''
as $$
declare
    v_wanted constant text := lower(coalesce(prefix, '') || coalesce(search, ''));
    v_like constant text := regexp_replace(v_wanted, '([\\%_])', '\\\1', 'g') || '%';
    v_is_descending constant boolean := lower(coalesce(sortorder, 'asc')) = 'desc';
    v_direction constant text := case when v_is_descending then 'desc' else 'asc' end;
    v_column constant text := case
        when sortcolumn in ('updated_at', 'created_at', 'last_accessed_at') then sortcolumn
        else 'name'
    end;
begin
    return query execute format(
        $query$
        with found as (
            select
                o.*,
                array_to_string(o.path_tokens[$3:$3], '/') as item,
                array_length(o.path_tokens, 1) > $3 as is_folder
            from storage.objects as o
            where o.bucket_id = $1 and lower(o.name) like $2
                and array_length(o.path_tokens, 1) >= $3
        ),
        items as (
            select distinct
                f.item, true as is_folder, null::uuid as id, null::timestamptz as updated_at,
                null::timestamptz as created_at, null::timestamptz as last_accessed_at,
                null::jsonb as metadata
            from found as f
            where f.is_folder
            union all
            select
                f.item, false, f.id, f.updated_at, f.created_at, f.last_accessed_at, f.metadata
            from found as f
            where not f.is_folder
        )
        select i.item, i.id, i.updated_at, i.created_at, i.last_accessed_at, i.metadata
        from items as i
        order by %s
        limit $4 offset $5
        $query$,
        case v_column
            when 'name' then format('i.item collate "C" %s', v_direction)
            else format(
                'i.is_folder desc, i.%I %s, i.item collate "C" %s',
                v_column, v_direction, v_direction
            )
        end
    )
    using
        bucketname,
        v_like,
        coalesce(levels, 1),
        least(coalesce(limits, 100), 1500),
        greatest(coalesce(offsets, 0), 0);
end;
$$;
comment on function storage.search(text, text, integer, integer, integer, text, text, text) is
    'One level of a bucket. levels is the number of the segment to list, from 1.';

-- Case-sensitive and literal; in the order of the bytes of the name. `start_after`, and
-- `next_token` where it is given, exclude what comes up to them, a folder whole.
create function storage.list_objects_with_delimiter(
    _bucket_id text,
    prefix_param text,
    delimiter_param text,
    max_keys integer default 100,
    start_after text default '',
    next_token text default '',
    sort_order text default 'asc'
)
returns table (
    name text,
    id uuid,
    metadata jsonb,
    updated_at timestamptz,
    created_at timestamptz,
    last_accessed_at timestamptz
)
language plpgsql
stable
set search_path = ''
as $$
declare
    v_prefix constant text := coalesce(prefix_param, '');
    v_after constant text := coalesce(nullif(next_token, ''), nullif(start_after, ''));
    v_is_descending constant boolean := lower(coalesce(sort_order, 'asc')) = 'desc';
begin
    return query
    with found as (
        select
            o.*,
            position(delimiter_param in substr(o.name, length(v_prefix) + 1)) as at
        from storage.objects as o
        where o.bucket_id = _bucket_id and starts_with(o.name, v_prefix)
    ),
    items as (
        select distinct
            left(f.name, length(v_prefix) + f.at + length(delimiter_param) - 1) as item,
            null::uuid as id, null::jsonb as metadata, null::timestamptz as updated_at,
            null::timestamptz as created_at, null::timestamptz as last_accessed_at
        from found as f
        where f.at > 0 and delimiter_param <> ''
        union all
        select
            f.name, f.id, f.metadata, f.updated_at, f.created_at, f.last_accessed_at
        from found as f
        where f.at = 0 or delimiter_param = ''
    )
    select i.item, i.id, i.metadata, i.updated_at, i.created_at, i.last_accessed_at
    from items as i
    where v_after is null or case
        when v_is_descending then i.item collate "C" < v_after
        else i.item collate "C" > v_after
            and not (i.id is null and starts_with(v_after, i.item))
    end
    order by
        case when not v_is_descending then i.item collate "C" end asc,
        case when v_is_descending then i.item collate "C" end desc
    limit max_keys;
end;
$$;

-- As above one level deep, by name or by a time; `key` is the segment at the level listed. By a
-- time, a folder has that of its first file: the next page begins after it.
create function storage.search_v2(
    prefix text,
    bucket_name text,
    limits integer default 100,
    levels integer default 1,
    start_after text default '',
    sort_order text default 'asc',
    sort_column text default 'name',
    sort_column_after text default ''
)
returns table (
    key text,
    name text,
    id uuid,
    updated_at timestamptz,
    created_at timestamptz,
    last_accessed_at timestamptz,
    metadata jsonb
)
language plpgsql
stable
set search_path = ''
as $$
declare
    v_prefix constant text := coalesce(prefix, '');
    v_level constant integer := coalesce(levels, 1);
    v_after constant text := nullif(start_after, '');
    v_time_after constant timestamptz := nullif(sort_column_after, '')::timestamptz;
    v_by_time constant boolean := coalesce(sort_column, '') in ('created_at', 'updated_at');
    v_is_descending constant boolean := lower(coalesce(sort_order, 'asc')) = 'desc';
begin
    return query
    with found as (
        select
            o.*,
            array_to_string(o.path_tokens[1:v_level], '/') as path,
            array_length(o.path_tokens, 1) > v_level as is_folder
        from storage.objects as o
        where o.bucket_id = bucket_name
            and starts_with(o.name, v_prefix)
            and array_length(o.path_tokens, 1) >= v_level
    ),
    items as (
        select
            f.path || '/' as item, f.path, null::uuid as id,
            case when sort_column = 'updated_at' then min(f.updated_at) end as updated_at,
            case when sort_column = 'created_at' then min(f.created_at) end as created_at,
            null::timestamptz as last_accessed_at, null::jsonb as metadata,
            min(case when sort_column = 'updated_at' then f.updated_at else f.created_at end)
                as at
        from found as f
        where f.is_folder
        group by f.path
        union all
        select
            f.name, f.name, f.id, f.updated_at, f.created_at, f.last_accessed_at, f.metadata,
            case when sort_column = 'updated_at' then f.updated_at else f.created_at end
        from found as f
        where not f.is_folder
    ),
    placed as (
        select i.*, case when v_by_time then date_trunc('milliseconds', i.at) end as place
        from items as i
    )
    select
        split_part(p.path, '/', v_level),
        p.item,
        p.id,
        p.updated_at,
        p.created_at,
        p.last_accessed_at,
        p.metadata
    from placed as p
    where case
        when v_by_time and v_time_after is not null then case
            when v_is_descending then
                p.place < v_time_after
                or (p.place = v_time_after and p.item collate "C" < coalesce(v_after, ''))
            else
                p.place > v_time_after
                or (p.place = v_time_after and p.item collate "C" > coalesce(v_after, ''))
        end
        when v_after is null or v_by_time then true
        when v_is_descending then p.item collate "C" < v_after
        else p.item collate "C" > v_after
    end
    order by
        case when not v_is_descending then p.place end asc,
        case when v_is_descending then p.place end desc,
        case when not v_is_descending then p.item collate "C" end asc,
        case when v_is_descending then p.item collate "C" end desc
    limit limits;
end;
$$;

reset role;
