-- Purpose: who changed tiers and from when that counts; what is to be computed anew because of it.
-- Objects: table chat.tier_changes, chat_private.retention_jobs; triggers on chat.tenant_members,
--          chat.tiers, chat.settings, chat.participants, chat.conversations.
-- Locks:   share row exclusive on five tables of chat, for as long as it takes to add triggers.
-- Breaking: no.

set lock_timeout = '5s';

-- Tables ---------------------------------------------------------------------------------------

create table chat.tier_changes (
    id bigint primary key generated always as identity,
    tenant_id uuid not null,
    user_id uuid not null,
    from_tier text not null,
    to_tier text not null,
    changed_at timestamptz not null,
    effective_at timestamptz not null,
    ended_at timestamptz,
    applied_at timestamptz,
    constraint tier_changes_user_id_fkey foreign key (tenant_id, user_id)
    references chat.tenant_members (tenant_id, user_id) on delete cascade,
    constraint tier_changes_from_tier_fkey foreign key (from_tier) references chat.tiers (name),
    constraint tier_changes_to_tier_fkey foreign key (to_tier) references chat.tiers (name),
    constraint tier_changes_effective_at_check check (effective_at >= changed_at)
);
comment on table chat.tier_changes is
    'Each change of a member''s tier: until effective_at their messages live as from_tier says, then '
    'as to_tier does. Written by the database.';
comment on column chat.tier_changes.ended_at is
    'When a later change took its place. An upgrade leaves nothing to wait for: ended at once.';
comment on column chat.tier_changes.applied_at is
    'When the last message of theirs had its expires_at computed anew.';
alter table chat.tier_changes enable row level security;
grant select on chat.tier_changes to authenticated, service_role;

-- A policy changed, and with it when messages expire: of one person, one conversation, or a tenant.
create table chat_private.retention_jobs (
    id bigint primary key generated always as identity,
    tenant_id uuid not null references chat.tenants (id) on delete cascade,
    user_id uuid,
    conversation_id uuid,
    queued_at timestamptz not null default chat_private.now(),
    cursor_conversation_id uuid not null default '00000000-0000-0000-0000-000000000000',
    cursor_seq bigint,
    has_changed boolean not null default false,
    constraint retention_jobs_user_id_fkey foreign key (tenant_id, user_id)
    references chat.tenant_members (tenant_id, user_id) on delete cascade,
    constraint retention_jobs_conversation_id_fkey foreign key (tenant_id, conversation_id)
    references chat.conversations (tenant_id, id) on delete cascade
);
comment on table chat_private.retention_jobs is
    'Messages whose expires_at is to be computed anew, with how far that has come.';
comment on column chat_private.retention_jobs.cursor_seq is
    'Of cursor_conversation_id, the last message done. Null: all of that conversation are.';
comment on column chat_private.retention_jobs.has_changed is
    'Whether anything in cursor_conversation_id has changed so far.';
alter table chat_private.retention_jobs enable row level security;

-- Indexes --------------------------------------------------------------------------------------

-- Serves: what of a member still counts, at each send; the foreign key.
create index tier_changes_user_id_idx on chat.tier_changes (tenant_id, user_id, effective_at);
create index tier_changes_from_tier_idx on chat.tier_changes (from_tier);
create index tier_changes_to_tier_idx on chat.tier_changes (to_tier);

-- Serve: the foreign keys.
create index retention_jobs_user_id_idx on chat_private.retention_jobs (tenant_id, user_id);
create index retention_jobs_conversation_id_idx
on chat_private.retention_jobs (tenant_id, conversation_id)
where conversation_id is not null;

-- Functions ------------------------------------------------------------------------------------

-- Whether messages of one tier live at least as long as those of another.
create function chat_private.lives_as_long(tier text, as_tier text)
returns boolean
language sql
stable
set search_path = ''
begin atomic
select coalesce(t.retention >= o.retention, t.retention is null)
from chat.tiers as t, chat.tiers as o
where t.name = lives_as_long.tier and o.name = lives_as_long.as_tier;
end;
revoke execute on function chat_private.lives_as_long(text, text)
from public, anon, authenticated;

-- Queues what a change of policy means for messages already sent, and does the beginning of it at
-- once, so that most people need not wait for the sweep: 1000 messages a transaction, and only in
-- conversations that nobody is writing in just now, for here locks come in any order.
create function chat_private.queue_retention_job(
    tenant_id uuid,
    user_id uuid default null,
    conversation_id uuid default null
)
returns void
language plpgsql
set search_path = ''
as $$
declare
    v_job_id bigint;
    v_left integer := coalesce(
        nullif(current_setting('chat.retention_left', true), '')::integer, 1000
    );
begin
    insert into chat_private.retention_jobs as j (tenant_id, user_id, conversation_id)
    values (
        queue_retention_job.tenant_id,
        queue_retention_job.user_id,
        queue_retention_job.conversation_id
    )
    returning j.id into v_job_id;
    if v_left > 0 then
        v_left := v_left - chat_private.run_retention_job(v_job_id, v_left, may_wait => false);
        perform set_config('chat.retention_left', v_left::text, true);
    end if;
end;
$$;
revoke execute on function chat_private.queue_retention_job(uuid, uuid, uuid)
from public, anon, authenticated;

-- A higher tier counts at once and takes the place of whatever was to come. A lower one counts
-- after the grace; of several, each from its own time; where a lower one than this was to come
-- already, this one comes then instead.
-- Security definer: whoever changes a tier has no right on what follows.
create function chat_private.record_tier_change()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_now constant timestamptz := chat_private.now();
    -- By which tier their messages live at this moment.
    v_tier constant text := coalesce(
        (
            select c.to_tier
            from chat.tier_changes as c
            where
                c.tenant_id = new.tenant_id
                and c.user_id = new.user_id
                and c.ended_at is null
                and c.effective_at <= v_now
            order by c.effective_at desc, c.id desc
            limit 1
        ),
        (
            select c.from_tier
            from chat.tier_changes as c
            where
                c.tenant_id = new.tenant_id
                and c.user_id = new.user_id
                and c.ended_at is null
            order by c.effective_at, c.id
            limit 1
        ),
        old.tier
    );
    v_is_upgrade constant boolean := chat_private.lives_as_long(new.tier, v_tier);
    v_replaced_at timestamptz;
begin
    with replaced as (
        update chat.tier_changes as c
        set ended_at = v_now
        where
            c.tenant_id = new.tenant_id
            and c.user_id = new.user_id
            and c.ended_at is null
            and (
                v_is_upgrade
                or (c.effective_at > v_now and chat_private.lives_as_long(new.tier, c.to_tier))
            )
        returning c.effective_at
    )

    select min(r.effective_at) into v_replaced_at
    from replaced as r;
    insert into chat.tier_changes (
        tenant_id, user_id, from_tier, to_tier, changed_at, effective_at, ended_at
    )
    values (
        new.tenant_id,
        new.user_id,
        coalesce(
            (
                select c.to_tier
                from chat.tier_changes as c
                where
                    c.tenant_id = new.tenant_id
                    and c.user_id = new.user_id
                    and c.ended_at is null
                order by c.effective_at desc, c.id desc
                limit 1
            ),
            v_tier
        ),
        new.tier,
        v_now,
        case
            when v_is_upgrade then v_now
            else coalesce(
                v_replaced_at,
                v_now + (chat_private.settings_for(new.tenant_id)).downgrade_grace
            )
        end,
        case when v_is_upgrade then v_now end
    );
    perform chat_private.queue_retention_job(new.tenant_id, user_id => new.user_id);
    return null;
end;
$$;
revoke execute on function chat_private.record_tier_change() from public, anon, authenticated;

-- Security definer: as above. What a tier grants has changed: for all tenants that have it.
create function chat_private.apply_tier()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform chat_private.queue_retention_job(t.id)
    from chat.tenants as t
    where exists (
        select
        from chat.tenant_members as m
        where m.tenant_id = t.id and m.tier = new.name
    )
    or exists (
        select
        from chat.tier_changes as c
        where c.tenant_id = t.id and c.ended_at is null and new.name in (c.from_tier, c.to_tier)
    );
    return null;
end;
$$;
revoke execute on function chat_private.apply_tier() from public, anon, authenticated;

-- Security definer: as above.
create function chat_private.apply_settings()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform chat_private.queue_retention_job(new.tenant_id);
    return null;
end;
$$;
revoke execute on function chat_private.apply_settings() from public, anon, authenticated;

-- Security definer: as above.
create function chat_private.apply_conversation_retention()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform chat_private.queue_retention_job(new.tenant_id, conversation_id => new.id);
    return null;
end;
$$;
revoke execute on function chat_private.apply_conversation_retention()
from public, anon, authenticated;

-- Whoever joins may have the longest tier.
-- Security definer: as above.
create function chat_private.apply_joined()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform chat_private.queue_retention_job(n.tenant_id, conversation_id => n.conversation_id)
    from (
        select distinct
            p.tenant_id,
            p.conversation_id
        from new_participants as p
    ) as n
    inner join chat.settings as s on n.tenant_id = s.tenant_id
    inner join chat.conversations as c on n.conversation_id = c.id
    where s.retention_mode = 'longest_tier' and c.retention is null and c.last_seq > 0;
    return null;
end;
$$;
revoke execute on function chat_private.apply_joined() from public, anon, authenticated;

-- Triggers -------------------------------------------------------------------------------------

-- By name before what records in the audit log.
create trigger tenant_members_change_tier
after update of tier on chat.tenant_members
for each row
when (old.tier <> new.tier)
execute function chat_private.record_tier_change();

create trigger tiers_apply_tier
after update of retention on chat.tiers
for each row
when (old.retention is distinct from new.retention)
execute function chat_private.apply_tier();

create trigger settings_apply_settings
after update of retention_mode, retention, restore_window on chat.settings
for each row
when (
    (old.retention_mode, old.retention, old.restore_window)
    is distinct from (new.retention_mode, new.retention, new.restore_window)
)
execute function chat_private.apply_settings();

create trigger conversations_apply_retention
after update of retention on chat.conversations
for each row
when (old.retention is distinct from new.retention)
execute function chat_private.apply_conversation_retention();

create trigger participants_apply_joined
after insert on chat.participants
referencing new table as new_participants
for each statement execute function chat_private.apply_joined();

-- Policies -------------------------------------------------------------------------------------

create policy "members can read changes of their tier and admins all"
on chat.tier_changes for select
to authenticated
using (
    user_id = (select auth.uid())
    or tenant_id = any (array(select chat_private.tenant_ids_for_admin()))
);
