-- Purpose: a log that is only added to, each row sealed by the next.
-- Objects: tables chat_private.audit_log, chat_private.audit_heads; functions
--          chat.read_audit_log, chat.verify_audit_log.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

insert into chat_private.errors (code, state, message, hint)
values
    (
        'not_a_tenant_admin', '42501',
        'Only an admin or owner of the tenant can do this.',
        'Ask one of them.'
    ),
    (
        'append_only', '42501',
        'The audit log is only ever added to.',
        'Keep it; verify_audit_log shows whether somebody has not.'
    );

-- Tables ---------------------------------------------------------------------------------------

create table chat_private.audit_heads (
    tenant_id uuid primary key,
    last_seq bigint not null,
    last_hash bytea not null
);
comment on table chat_private.audit_heads is
    'The end of each tenant''s chain; locked by who adds to it.';
alter table chat_private.audit_heads enable row level security;

-- No foreign keys: what happened outlives those it happened to.
create table chat_private.audit_log (
    tenant_id uuid not null,
    seq bigint not null,
    happened_at timestamptz not null,
    actor_id uuid,
    actor_role text not null,
    action text not null,
    target_id uuid,
    conversation_id uuid,
    details jsonb not null,
    previous_hash bytea not null,
    hash bytea not null,
    primary key (tenant_id, seq)
);
comment on table chat_private.audit_log is
    'Who did what, never what was said. One chain a tenant: each row''s hash covers the row and '
    'the hash before it. The nil tenant is the installation itself.';
comment on column chat_private.audit_log.actor_id is
    'Null when nobody was signed in: the service role, or a database user.';
alter table chat_private.audit_log enable row level security;

-- Functions ------------------------------------------------------------------------------------

-- What a row's hash is. The text of jsonb is canonical: keys sorted, one spelling of each value.
create function chat_private.audit_hash(entry chat_private.audit_log)
returns bytea
language plpgsql
stable
set search_path = ''
as $$
begin
    return sha256(
        entry.previous_hash || convert_to(
            jsonb_build_object(
                'tenant_id', entry.tenant_id,
                'seq', entry.seq,
                'happened_at',
                to_char(entry.happened_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'),
                'actor_id', entry.actor_id,
                'actor_role', entry.actor_role,
                'action', entry.action,
                'target_id', entry.target_id,
                'conversation_id', entry.conversation_id,
                'details', entry.details
            )::text,
            'UTF8'
        )
    );
end;
$$;
revoke execute on function chat_private.audit_hash(chat_private.audit_log)
from public, anon, authenticated;

-- Puts a new row at the end of its tenant's chain, whatever seq and hashes it came with.
create function chat_private.chain_audit_entry()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    v_head chat_private.audit_heads;
begin
    insert into chat_private.audit_heads (tenant_id, last_seq, last_hash)
    values (new.tenant_id, 0, '')
    on conflict do nothing;
    select h.* into strict v_head
    from chat_private.audit_heads as h
    where h.tenant_id = new.tenant_id
    for no key update;
    new.seq := v_head.last_seq + 1;
    new.previous_hash := v_head.last_hash;
    new.hash := chat_private.audit_hash(new);
    update chat_private.audit_heads as h
    set last_seq = new.seq,
        last_hash = new.hash
    where h.tenant_id = new.tenant_id;
    return new;
end;
$$;
revoke execute on function chat_private.chain_audit_entry() from public, anon, authenticated;

create function chat_private.keep_audit_log()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    perform chat_private.raise_error('append_only');
end;
$$;
revoke execute on function chat_private.keep_audit_log() from public, anon, authenticated;

-- Adds a row to a tenant's log. It locks the end of the chain until the transaction ends, so call
-- it after the conversation is locked and the work is done.
create function chat_private.record_audit(
    tenant_id uuid,
    action text,
    target_id uuid,
    conversation_id uuid,
    details jsonb
)
returns void
language plpgsql
set search_path = ''
as $$
begin
    insert into chat_private.audit_log (
        tenant_id, seq, happened_at, actor_id, actor_role, action, target_id, conversation_id,
        details, previous_hash, hash
    )
    values (
        record_audit.tenant_id,
        0,
        chat_private.now(),
        auth.uid(),
        coalesce(auth.jwt() ->> 'role', session_user),
        record_audit.action,
        record_audit.target_id,
        record_audit.conversation_id,
        record_audit.details,
        '',
        ''
    );
end;
$$;
revoke execute on function chat_private.record_audit(uuid, text, uuid, uuid, jsonb)
from public, anon, authenticated;

-- Recomputes a tenant's chain. broken_seq is the first row that is not what was written, or is
-- missing; null when all is well.
create function chat_private.verify_audit_log(tenant_id uuid)
returns table (entries bigint, broken_seq bigint, problem text)
language plpgsql
stable
set search_path = ''
as $$
declare
    v_entry chat_private.audit_log;
    v_head chat_private.audit_heads;
    v_hash bytea := ''::bytea;
begin
    entries := 0;
    for v_entry in
        select a.*
        from chat_private.audit_log as a
        where a.tenant_id = verify_audit_log.tenant_id
        order by a.seq
    loop
        entries := entries + 1;
        problem := case
            when v_entry.seq <> entries then 'missing'
            when v_entry.previous_hash <> v_hash then 'not after the row before it'
            when v_entry.hash <> chat_private.audit_hash(v_entry) then 'changed'
        end;
        if problem is not null then
            broken_seq := entries;
            return next;
            return;
        end if;
        v_hash := v_entry.hash;
    end loop;
    select h.* into v_head
    from chat_private.audit_heads as h
    where h.tenant_id = verify_audit_log.tenant_id;
    if (coalesce(v_head.last_seq, 0), coalesce(v_head.last_hash, '')) <> (entries, v_hash) then
        broken_seq := entries + 1;
        problem := 'missing at the end';
    end if;
    return next;
end;
$$;
revoke execute on function chat_private.verify_audit_log(uuid) from public, anon, authenticated;

-- Raises sign_in_required, tenant_required, not_a_tenant_member, not_a_tenant_admin; returns the
-- tenant.
create function chat_private.require_tenant_admin(tenant_id uuid)
returns uuid
language plpgsql
stable
set search_path = ''
as $$
declare
    v_tenant_id uuid;
begin
    if auth.uid() is null then
        perform chat_private.raise_error('sign_in_required');
    end if;
    v_tenant_id := chat_private.resolve_tenant(require_tenant_admin.tenant_id);
    if v_tenant_id <> all (array(select chat_private.tenant_ids_for_admin())) then
        perform chat_private.raise_error('not_a_tenant_admin');
    end if;
    return v_tenant_id;
end;
$$;
revoke execute on function chat_private.require_tenant_admin(uuid)
from public, anon, authenticated;

-- Security definer: reads the log, which nobody can. Checks that the caller is owner or admin of
-- the tenant.
create function chat_private.read_audit_log(tenant_id uuid, before_seq bigint, page_size integer)
returns table (
    seq bigint,
    happened_at timestamptz,
    actor_id uuid,
    actor_role text,
    action text,
    target_id uuid,
    conversation_id uuid,
    details jsonb,
    hash text
)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
    v_tenant_id constant uuid := chat_private.require_tenant_admin(read_audit_log.tenant_id);
begin
    return query
    select
        a.seq,
        a.happened_at,
        a.actor_id,
        a.actor_role,
        a.action,
        a.target_id,
        a.conversation_id,
        a.details,
        encode(a.hash, 'hex')
    from chat_private.audit_log as a
    where
        a.tenant_id = v_tenant_id
        and a.seq < coalesce(read_audit_log.before_seq, 9223372036854775807)
    order by a.seq desc
    limit least(greatest(read_audit_log.page_size, 1), 1000);
end;
$$;
revoke execute on function chat_private.read_audit_log(uuid, bigint, integer) from public, anon;
grant execute on function chat_private.read_audit_log(uuid, bigint, integer) to authenticated;

create function chat.read_audit_log(
    tenant_id uuid default null,
    before_seq bigint default null,
    page_size integer default 100
)
returns table (
    seq bigint,
    happened_at timestamptz,
    actor_id uuid,
    actor_role text,
    action text,
    target_id uuid,
    conversation_id uuid,
    details jsonb,
    hash text
)
language sql
stable
set search_path = ''
begin atomic
select a.* from chat_private.read_audit_log(tenant_id, before_seq, page_size) as a;
end;
comment on function chat.read_audit_log(uuid, bigint, integer) is
    'Who did what in a tenant, newest first, for its owners and admins. Page with before_seq.';
revoke execute on function chat.read_audit_log(uuid, bigint, integer) from public, anon;
grant execute on function chat.read_audit_log(uuid, bigint, integer) to authenticated;

-- Security definer: as read_audit_log, with the same check.
create function chat_private.verify_own_audit_log(tenant_id uuid)
returns table (entries bigint, broken_seq bigint, problem text)
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    return query
    select v.*
    from chat_private.verify_audit_log(
        chat_private.require_tenant_admin(verify_own_audit_log.tenant_id)
    ) as v;
end;
$$;
revoke execute on function chat_private.verify_own_audit_log(uuid) from public, anon;
grant execute on function chat_private.verify_own_audit_log(uuid) to authenticated;

create function chat.verify_audit_log(tenant_id uuid default null)
returns table (entries bigint, broken_seq bigint, problem text)
language sql
stable
set search_path = ''
begin atomic
select v.* from chat_private.verify_own_audit_log(tenant_id) as v;
end;
comment on function chat.verify_audit_log(uuid) is
    'Recomputes the chain of a tenant''s log, for its owners and admins. broken_seq is the first '
    'row that was changed or is missing, null when there is none.';
revoke execute on function chat.verify_audit_log(uuid) from public, anon;
grant execute on function chat.verify_audit_log(uuid) to authenticated;

-- Triggers -------------------------------------------------------------------------------------

create trigger audit_log_chain_audit_entry
before insert on chat_private.audit_log
for each row execute function chat_private.chain_audit_entry();

create trigger audit_log_keep_audit_log
before update or delete or truncate on chat_private.audit_log
for each statement execute function chat_private.keep_audit_log();

create trigger audit_heads_keep_audit_log
before delete or truncate on chat_private.audit_heads
for each statement execute function chat_private.keep_audit_log();

-- Fire in sessions that replicate, too.
alter table chat_private.audit_log enable always trigger audit_log_chain_audit_entry;
alter table chat_private.audit_log enable always trigger audit_log_keep_audit_log;
alter table chat_private.audit_heads enable always trigger audit_heads_keep_audit_log;
