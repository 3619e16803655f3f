-- Realtime: what a hosted project has in schema realtime.
--
-- Objects: schema, types, messages (partitioned by UTC day), subscription, the functions that
-- migrations call (send, send_binary, broadcast_changes, topic), partition upkeep, publications.
-- Runs once as superuser in a fresh database, after the roles and schema auth.
-- Source: Supabase Realtime protocol.

create schema realtime;
alter schema realtime owner to supabase_realtime_admin;

-- The migration role creates policies on realtime.messages, which only an owner may.
grant supabase_realtime_admin to postgres;


-- types

create type realtime.action as enum (
    'INSERT',
    'UPDATE',
    'DELETE',
    'TRUNCATE',
    'ERROR'
);

create type realtime.equality_op as enum (
    'eq',
    'neq',
    'lt',
    'lte',
    'gt',
    'gte',
    'in',
    'like',
    'ilike',
    'is',
    'match',
    'imatch',
    'isdistinct'
);

create type realtime.user_defined_filter as (
    column_name text,
    op realtime.equality_op,
    value text,
    negate boolean
);

create type realtime.wal_column as (
    name text,
    type_name text,
    type_oid oid,
    value jsonb,
    is_pkey boolean,
    is_selectable boolean
);

create type realtime.wal_rls as (
    wal jsonb,
    is_rls_enabled boolean,
    subscription_ids uuid[],
    errors text[]
);

alter type realtime.action owner to supabase_realtime_admin;
alter type realtime.equality_op owner to supabase_realtime_admin;
alter type realtime.user_defined_filter owner to supabase_realtime_admin;
alter type realtime.wal_column owner to supabase_realtime_admin;
alter type realtime.wal_rls owner to supabase_realtime_admin;


-- tables

create table realtime.messages (
    topic text not null,
    extension text not null,
    payload jsonb,
    event text,
    private boolean default false,
    -- UTC whatever the session's TimeZone: replay and the partitions read these as UTC.
    updated_at timestamp without time zone not null default (now() at time zone 'utc'),
    inserted_at timestamp without time zone not null default (now() at time zone 'utc'),
    id uuid not null default gen_random_uuid(),
    binary_payload bytea,
    primary key (id, inserted_at),
    constraint messages_payload_exclusive check (payload is null or binary_payload is null)
) partition by range (inserted_at);

comment on table realtime.messages is
    'Broadcasts from the database; row level security decides who joins and sends on private channels.';

alter table realtime.messages owner to supabase_realtime_admin;
alter table realtime.messages enable row level security;
grant select, insert, update on realtime.messages to anon, authenticated, service_role;

create index messages_inserted_at_topic_idx
    on realtime.messages (inserted_at desc, topic)
    where extension = 'broadcast' and private is true;

-- Not truly immutable; a generated column asks for it, and a role's name changes rarely.
create function realtime.to_regrole(role_name text)
returns regrole
language sql
immutable
set search_path = ''
as $$
    select role_name::regrole
$$;

alter function realtime.to_regrole(text) owner to supabase_realtime_admin;

create table realtime.subscription (
    id bigint generated always as identity primary key,
    subscription_id uuid not null,
    entity regclass not null,
    filters realtime.user_defined_filter[] not null default '{}',
    claims jsonb not null,
    claims_role regrole not null generated always as (realtime.to_regrole(claims ->> 'role')) stored,
    created_at timestamp without time zone not null default (now() at time zone 'utc'),
    action_filter text default '*' check (action_filter in ('*', 'INSERT', 'UPDATE', 'DELETE')),
    selected_columns text[]
);

alter table realtime.subscription owner to supabase_realtime_admin;
grant select on realtime.subscription to anon, authenticated, service_role;

create unique index subscription_subscription_id_entity_filters_idx
    on realtime.subscription (
        subscription_id,
        entity,
        filters,
        action_filter,
        coalesce(selected_columns, '{}')
    );
create index subscription_entity_idx on realtime.subscription (entity);


-- functions
--
-- Executable by public, as on a hosted project: the schema's usage grant is the gate, and every
-- function here runs with the caller's own rights.

create function realtime.topic()
returns text
language sql
stable
set search_path = ''
as $$
    select nullif(current_setting('realtime.topic', true), '')
$$;

alter function realtime.topic() owner to supabase_realtime_admin;

-- Never raises: a failed broadcast must not undo the change it speaks of. The topic stays set for
-- the rest of the transaction, so the policies on realtime.messages can read it.
create function realtime.send(payload jsonb, event text, topic text, private boolean default true)
returns void
language plpgsql
set search_path = ''
as $$
declare
    v_id uuid := gen_random_uuid();
begin
    perform set_config('realtime.topic', send.topic, true);
    insert into realtime.messages (id, payload, event, topic, private, extension)
    values (
        v_id,
        case
            when send.payload ? 'id' then send.payload
            else jsonb_set(send.payload, '{id}', to_jsonb(v_id))
        end,
        send.event,
        send.topic,
        send.private,
        'broadcast'
    );
exception
    when others then
        raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
end;
$$;

alter function realtime.send(jsonb, text, text, boolean) owner to supabase_realtime_admin;

create function realtime.send_binary(
    payload bytea,
    event text,
    topic text,
    private boolean default true
)
returns void
language plpgsql
set search_path = ''
as $$
begin
    perform set_config('realtime.topic', send_binary.topic, true);
    insert into realtime.messages (binary_payload, event, topic, private, extension)
    values (
        send_binary.payload,
        send_binary.event,
        send_binary.topic,
        send_binary.private,
        'broadcast'
    );
exception
    when others then
        raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
end;
$$;

alter function realtime.send_binary(bytea, text, text, boolean) owner to supabase_realtime_admin;

create function realtime.broadcast_changes(
    topic_name text,
    event_name text,
    operation text,
    table_name text,
    table_schema text,
    new record,
    old record,
    level text default 'ROW'
)
returns void
language plpgsql
set search_path = ''
as $$
begin
    if level = 'STATEMENT' then
        raise exception 'function can only be triggered for each row, not for each statement';
    end if;
    if operation is null or operation not in ('INSERT', 'UPDATE', 'DELETE') then
        raise exception 'Unexpected operation type: %', operation;
    end if;
    perform realtime.send(
        jsonb_build_object(
            'old_record', old,
            'record', new,
            'operation', operation,
            'table', table_name,
            'schema', table_schema
        ),
        event_name,
        topic_name
    );
exception
    when others then
        raise exception 'Failed to process the row: %', sqlerrm;
end;
$$;

alter function realtime.broadcast_changes(text, text, text, text, text, record, record, text)
    owner to supabase_realtime_admin;

-- Keeps the daily partitions from yesterday to three days ahead (UTC) and drops those whose last
-- moment is over 72 hours old. Attaching locks out no writer; dropping does, so it gives up after
-- lock_timeout and is tried again at the next call.
create function realtime.maintain_partitions()
returns void
language plpgsql
set search_path = ''
set timezone = 'UTC'
set lock_timeout = '2s'
as $$
declare
    v_now timestamp without time zone := statement_timestamp() at time zone 'utc';
    v_day date;
    v_name text;
begin
    perform pg_advisory_xact_lock(hashtextextended('realtime.maintain_partitions', 0));
    for v_day in
        select (v_now::date + days.offset_days)::date
        from generate_series(-1, 3) as days (offset_days)
    loop
        v_name := 'messages_' || to_char(v_day, 'YYYY_MM_DD');
        continue when to_regclass(format('realtime.%I', v_name)) is not null;
        execute format(
            'create table realtime.%I (like realtime.messages including defaults including constraints)',
            v_name
        );
        execute format('alter table realtime.%I owner to supabase_realtime_admin', v_name);
        execute format('alter table realtime.%I enable row level security', v_name);
        execute format(
            'alter table realtime.messages attach partition realtime.%I for values from (%L) to (%L)',
            v_name,
            v_day::timestamp,
            (v_day + 1)::timestamp
        );
    end loop;

    for v_name in
        select child.relname
        from pg_catalog.pg_inherits as inherits
        join pg_catalog.pg_class as child on child.oid = inherits.inhrelid
        where inherits.inhparent = 'realtime.messages'::regclass
            and child.relname ~ '^messages_\d{4}_\d{2}_\d{2}$'
            and to_date(right(child.relname, 10), 'YYYY_MM_DD') + 1 <= v_now - interval '72 hours'
    loop
        begin
            execute format('drop table realtime.%I', v_name);
        exception
            when lock_not_available then
                raise warning 'realtime.% is in use and stays until the next upkeep', v_name;
        end;
    end loop;
end;
$$;

alter function realtime.maintain_partitions() owner to supabase_realtime_admin;
revoke execute on function realtime.maintain_partitions() from public;

select realtime.maintain_partitions();


-- publications

-- The migration role adds and drops tables of this one, and may drop and recreate it.
create publication supabase_realtime;
alter publication supabase_realtime owner to postgres;

-- Partitions are announced under their root's name, so the reader knows one table.
create publication supabase_realtime_messages_publication
    for table realtime.messages
    with (publish = 'insert', publish_via_partition_root = true);


-- grants

grant usage on schema realtime to postgres, anon, authenticated, service_role;
