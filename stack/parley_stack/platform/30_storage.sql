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
