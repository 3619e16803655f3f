-- Schema storage, as a Supabase project has it: buckets, objects, the functions policies call.
-- Runs once, in one transaction, after 10_roles.sql, as a superuser.
-- Table, column, index, trigger and argument names are the platform's: seeds, policies and
-- migrations of applications name them.

create schema storage authorization supabase_storage_admin;

set role supabase_storage_admin;

-- Rights on what comes later, whoever of the group makes it. Row security decides.
alter default privileges in schema storage
    grant all on tables to postgres, anon, authenticated, service_role;
alter default privileges in schema storage
    grant all on sequences to postgres, anon, authenticated, service_role;
alter default privileges in schema storage
    grant all on routines to postgres, anon, authenticated, service_role;


-- types ---------------------------------------------------------------------------------------

create type storage.buckettype as enum ('STANDARD', 'ANALYTICS', 'VECTOR');


-- tables --------------------------------------------------------------------------------------

create table storage.buckets (
    id text not null primary key,
    name text not null,
    owner uuid,
    created_at timestamptz default now(),
    updated_at timestamptz default now(),
    public boolean default false,
    avif_autodetection boolean default false,
    file_size_limit bigint,
    allowed_mime_types text[],
    owner_id text,
    type storage.buckettype not null default 'STANDARD',
    versioning_status text default 'DISABLED'
);
comment on column storage.buckets.owner is 'Deprecated: owner_id, where it is a uuid.';

create table storage.objects (
    id uuid not null default gen_random_uuid() primary key,
    bucket_id text,
    name text,
    owner uuid,
    created_at timestamptz default now(),
    updated_at timestamptz default now(),
    last_accessed_at timestamptz default now(),
    metadata jsonb,
    path_tokens text[] generated always as (string_to_array(name, '/')) stored,
    version text,
    owner_id text,
    user_metadata jsonb,
    archived_at timestamptz,
    is_delete_marker boolean not null default false,
    is_versioned boolean not null default false,
    constraint "objects_bucketId_fkey" foreign key (bucket_id) references storage.buckets (id)
);
comment on column storage.objects.owner is 'Deprecated: owner_id, where it is a uuid.';
comment on column storage.objects.metadata is
    'What the server knows of the file: size, mimetype, eTag, cacheControl.';

create table storage.migrations (
    id integer not null primary key,
    name varchar(100) not null unique,
    hash varchar(40) not null,
    executed_at timestamp default now()
);
comment on table storage.migrations is 'Versions of this schema; empty, dumps name it.';

create table storage.s3_multipart_uploads (
    id text not null primary key,
    in_progress_size bigint not null default 0,
    upload_signature text not null,
    bucket_id text not null references storage.buckets (id),
    key text not null collate "C",
    version text not null,
    owner_id text,
    created_at timestamptz not null default now(),
    user_metadata jsonb,
    metadata jsonb
);
comment on table storage.s3_multipart_uploads is 'Unused here; dumps name it.';

create table storage.s3_multipart_uploads_parts (
    id uuid not null default gen_random_uuid() primary key,
    upload_id text not null references storage.s3_multipart_uploads (id) on delete cascade,
    size bigint not null default 0,
    part_number integer not null,
    bucket_id text not null references storage.buckets (id),
    key text not null collate "C",
    etag text not null,
    owner_id text,
    version text not null,
    created_at timestamptz not null default now()
);
comment on table storage.s3_multipart_uploads_parts is 'Unused here; dumps name it.';

create table storage.buckets_analytics (
    id uuid not null default gen_random_uuid() primary key,
    name text not null,
    type storage.buckettype not null default 'ANALYTICS',
    format text not null default 'ICEBERG',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz
);
comment on table storage.buckets_analytics is 'Unused here; dumps name it.';

create table storage.buckets_vectors (
    id text not null primary key,
    type storage.buckettype not null default 'VECTOR',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
comment on table storage.buckets_vectors is 'Unused here; dumps name it.';


-- indexes -------------------------------------------------------------------------------------

create unique index bname on storage.buckets (name);
-- One object a name; by prefix; in the order of list, of either kind of comparison.
create unique index bucketid_objname on storage.objects (bucket_id, name);
create index name_prefix_search on storage.objects (name text_pattern_ops);
create index idx_objects_bucket_id_name on storage.objects (bucket_id, name collate "C");
create index idx_objects_bucket_id_name_lower
    on storage.objects (bucket_id, lower(name) collate "C");
create index idx_multipart_uploads_list
    on storage.s3_multipart_uploads (bucket_id, key, created_at);
create unique index buckets_analytics_unique_name_idx
    on storage.buckets_analytics (name) where deleted_at is null;


-- functions: names ----------------------------------------------------------------------------

create function storage.foldername(name text)
returns text[]
language plpgsql
immutable
set search_path = ''
as $$
declare
    v_parts constant text[] := string_to_array(foldername.name, '/');
begin
    return v_parts[1:cardinality(v_parts) - 1];
end;
$$;
comment on function storage.foldername(text) is 'Segments of the path but the last.';

create function storage.filename(name text)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
    return split_part(filename.name, '/', -1);
end;
$$;
comment on function storage.filename(text) is 'Last segment of the path.';

create function storage.extension(name text)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
    return split_part(split_part(extension.name, '/', -1), '.', -1);
end;
$$;
comment on function storage.extension(text) is
    'What follows the last dot of the last segment; without a dot, the whole of it.';


-- functions: requests -------------------------------------------------------------------------

create function storage.operation()
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
    return current_setting('storage.operation', true);
end;
$$;
comment on function storage.operation() is
    'What the request does, such as storage.object.upload; null outside a request.';

create function storage.allow_any_operation(expected_operations text[])
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
    return coalesce(
        regexp_replace(storage.operation(), '^storage\.', '') = any (
            select regexp_replace(e.name, '^storage\.', '')
            from unnest(expected_operations) as e (name)
            where e.name <> ''
        ),
        false
    );
end;
$$;
comment on function storage.allow_any_operation(text[]) is
    'Whether the request is one of these operations, with or without "storage." before them.';

create function storage.allow_only_operation(expected_operation text)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
    return storage.allow_any_operation(array[expected_operation]);
end;
$$;

-- Raises whatever the policies answer, so that nothing of the probe stays.
create function storage.can_insert_object(
    bucketid text,
    name text,
    owner uuid,
    metadata jsonb
)
returns void
language plpgsql
set search_path = ''
as $$
begin
    insert into storage.objects (bucket_id, name, owner, owner_id, metadata)
    values (bucketid, name, owner, owner::text, metadata);
    raise exception using
        errcode = 'PT200',
        message = 'ROLLBACK',
        detail = 'rollback successful insert';
end;
$$;
comment on function storage.can_insert_object(text, text, uuid, jsonb) is
    'Raises PT200 if the caller may insert this object, and why not otherwise.';


-- functions: lists ----------------------------------------------------------------------------
-- All with the caller's rights: a list shows what the caller can select.

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


-- triggers ------------------------------------------------------------------------------------

create function storage.update_updated_at_column()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    new.updated_at := now();
    return new;
end;
$$;

create function storage.enforce_bucket_name_length()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    if length(new.name) > 100 then
        raise exception using
            message = format(
                'bucket name "%s" is too long (%s characters). Max is 100.',
                new.name,
                length(new.name)
            );
    end if;
    return new;
end;
$$;

-- Deleting a row leaves the file behind; the Storage server, which deletes both, sets the setting.
create function storage.protect_delete()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    if current_setting('storage.allow_delete_query', true) is distinct from 'true' then
        raise exception using
            errcode = '42501',
            message = 'Direct deletion from storage tables is not allowed. '
                'Use the Storage API instead.',
            hint = 'This prevents accidental data loss from orphaned objects.';
    end if;
    return null;
end;
$$;

create trigger update_objects_updated_at
before update on storage.objects
for each row execute function storage.update_updated_at_column();

create trigger enforce_bucket_name_length_trigger
before insert or update of name on storage.buckets
for each row execute function storage.enforce_bucket_name_length();

create trigger protect_objects_delete
before delete on storage.objects
for each statement execute function storage.protect_delete();

create trigger protect_buckets_delete
before delete on storage.buckets
for each statement execute function storage.protect_delete();


-- grants --------------------------------------------------------------------------------------
-- Row security decides what the API roles do with it.

grant usage on schema storage to postgres, anon, authenticated, service_role;
grant all on schema storage to dashboard_user;
grant all on all tables in schema storage to dashboard_user;
grant execute on all routines in schema storage to public;
-- Those an application has no business in.
revoke all on storage.migrations from anon, authenticated, service_role;


-- policies ------------------------------------------------------------------------------------
-- None: a project makes its own, as postgres, who is a member of the owner.

alter table storage.buckets enable row level security;
alter table storage.objects enable row level security;
alter table storage.migrations enable row level security;
alter table storage.s3_multipart_uploads enable row level security;
alter table storage.s3_multipart_uploads_parts enable row level security;
alter table storage.buckets_analytics enable row level security;
alter table storage.buckets_vectors enable row level security;

reset role;
