-- Purpose: bans.
-- Objects: table chat.bans; functions chat.ban_user, chat.unban_user, chat.return_after_ban.
-- Locks:   share row exclusive on chat.tenant_members and chat.participants, for as long as it
--          takes to add triggers.
-- Breaking: no.

set lock_timeout = '5s';

insert into chat_private.errors (code, state, message, hint)
values
    (
        'not_a_moderator', '42501',
        'Only a moderator, admin or owner of the tenant can do this.',
        'Report it instead, or ask one of them.'
    ),
    (
        'outranked', '42501',
        'This user''s role is not below yours.',
        'Ask somebody of a higher role.'
    ),
    (
        'ban_not_found', 'PT404',
        'There is no ban of this user to lift.',
        'See the bans of the tenant that have no lifted_at.'
    ),
    (
        'expiry_in_past', '22023',
        'The end of a ban is in the future.',
        'Give a later expires_at, or none for a ban without end.'
    );

-- Tables ---------------------------------------------------------------------------------------

create table chat.bans (
    id uuid primary key default gen_random_uuid(),
    tenant_id uuid not null references chat.tenants (id) on delete cascade,
    user_id uuid not null references chat.profiles (id) on delete cascade,
    banned_by uuid references chat.profiles (id) on delete set null,
    reason text,
    was_member boolean not null,
    created_at timestamptz not null default chat_private.now(),
    expires_at timestamptz,
    lifted_at timestamptz,
    lifted_by uuid references chat.profiles (id) on delete set null,
    constraint bans_reason_check check (length(reason) between 1 and 2000)
);
comment on table chat.bans is
    'Who was banned from a tenant: they are not its members until the ban is lifted. Written by '
    'functions, read by its moderators.';
comment on column chat.bans.was_member is 'Whether lifting the ban makes them a member again.';
alter table chat.bans enable row level security;
grant select on chat.bans to authenticated, service_role;

-- Indexes --------------------------------------------------------------------------------------

-- Serves: whether somebody is banned, asked on every send; one ban at a time.
create unique index bans_tenant_id_user_id_idx on chat.bans (tenant_id, user_id)
where lifted_at is null;

-- Serves: bans to end by themselves.
create index bans_expires_at_idx on chat.bans (expires_at) where lifted_at is null;

-- Serve: a tenant's bans, newest first; the foreign keys.
create index bans_tenant_id_created_at_idx on chat.bans (tenant_id, created_at desc);
create index bans_user_id_idx on chat.bans (user_id);
create index bans_banned_by_idx on chat.bans (banned_by);
create index bans_lifted_by_idx on chat.bans (lifted_by);

-- Functions ------------------------------------------------------------------------------------

-- The caller's membership of a tenant that they moderate. Raises sign_in_required,
-- tenant_required, not_a_tenant_member, not_a_moderator.
create function chat_private.require_moderator(tenant_id uuid)
returns chat.tenant_members
language plpgsql
stable
set search_path = ''
as $$
declare
    v_member chat.tenant_members;
begin
    if auth.uid() is null then
        perform chat_private.raise_error('sign_in_required');
    end if;
    select m.* into strict v_member
    from chat.tenant_members as m
    where
        m.tenant_id = chat_private.resolve_tenant(require_moderator.tenant_id)
        and m.user_id = auth.uid();
    if v_member.role = 'member' then
        perform chat_private.raise_error('not_a_moderator');
    end if;
    return v_member;
end;
$$;
revoke execute on function chat_private.require_moderator(uuid) from public, anon, authenticated;

-- A ban is lifted, shortened or taken over by nobody below who set it, as long as that one is a
-- member of the tenant. Raises outranked.
create function chat_private.check_may_change_ban(ban chat.bans, caller chat.tenant_members)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
    if exists (
        select
        from chat.tenant_members as m
        where
            m.tenant_id = ban.tenant_id
            and m.user_id = ban.banned_by
            and m.removed_at is null
            and m.role < caller.role
    ) then
        perform chat_private.raise_error('outranked');
    end if;
end;
$$;
revoke execute on function chat_private.check_may_change_ban(chat.bans, chat.tenant_members)
from public, anon, authenticated;

-- A ban takes the membership away, which leaves the tenant's conversations, each with a new topic.
-- Security definer: writes what its caller may only read. Checks that the caller moderates the
-- tenant and that the user's role in it is lower, and may change the ban there is.
create function chat_private.ban_user(
    user_id uuid,
    reason text,
    expires_at timestamptz,
    tenant_id uuid
)
returns chat.bans
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_caller chat.tenant_members := chat_private.require_moderator(ban_user.tenant_id);
    v_member chat.tenant_members;
    v_ban chat.bans;
begin
    if ban_user.expires_at <= chat_private.now() then
        perform chat_private.raise_error('expiry_in_past');
    end if;
    -- Locks in the order of all that end a membership or a ban: the ban, the membership, and the
    -- conversations that are left by it, in the order of their ids.
    perform
    from chat.bans as b
    where
        b.tenant_id = v_caller.tenant_id
        and b.user_id = ban_user.user_id
        and b.lifted_at is null
    for no key update;
    select m.* into v_member
    from chat.tenant_members as m
    where m.tenant_id = v_caller.tenant_id and m.user_id = ban_user.user_id
    for no key update;
    if not found then
        perform chat_private.raise_error('user_not_found');
    end if;
    perform
    from chat.conversations as c
    where
        c.id in (
            select p.conversation_id
            from chat.participants as p
            where
                p.tenant_id = v_member.tenant_id
                and p.user_id = v_member.user_id
                and p.left_at is null
        )
    order by c.id
    for no key update;
    -- Again, after waiting: somebody may have changed the caller's role meanwhile.
    v_caller := chat_private.require_moderator(v_caller.tenant_id);
    if v_member.removed_at is null and v_caller.role >= v_member.role then
        perform chat_private.raise_error('outranked');
    end if;
    select b.* into v_ban
    from chat.bans as b
    where
        b.tenant_id = v_member.tenant_id and b.user_id = v_member.user_id and b.lifted_at is null;
    perform chat_private.check_may_change_ban(v_ban, v_caller);

    update chat.bans as b
    set reason = ban_user.reason,
        expires_at = ban_user.expires_at,
        banned_by = v_caller.user_id
    where
        b.tenant_id = v_member.tenant_id and b.user_id = v_member.user_id and b.lifted_at is null
    returning b.* into v_ban;
    if not found then
        insert into chat.bans as b (
            tenant_id, user_id, banned_by, reason, was_member, expires_at
        )
        values (
            v_member.tenant_id,
            v_member.user_id,
            v_caller.user_id,
            ban_user.reason,
            v_member.removed_at is null,
            ban_user.expires_at
        )
        returning b.* into v_ban;
    end if;
    update chat.tenant_members as m
    set removed_at = chat_private.now(),
        role = 'member'
    where
        m.tenant_id = v_member.tenant_id
        and m.user_id = v_member.user_id
        and m.removed_at is null;
    return v_ban;
end;
$$;
revoke execute on function chat_private.ban_user(uuid, text, timestamptz, uuid)
from public, anon;
grant execute on function chat_private.ban_user(uuid, text, timestamptz, uuid)
to authenticated;

create function chat.ban_user(
    user_id uuid,
    reason text default null,
    expires_at timestamptz default null,
    tenant_id uuid default null
)
returns chat.bans
language sql
set search_path = ''
begin atomic
select chat_private.ban_user(user_id, reason, expires_at, tenant_id);
end;
comment on function chat.ban_user(uuid, text, timestamptz, uuid) is
    'Bans somebody of a lower role from a tenant, for moderators: from the commit on they see, '
    'send and hear nothing of it. Banning again changes reason and end.';
revoke execute on function chat.ban_user(uuid, text, timestamptz, uuid) from public, anon;
grant execute on function chat.ban_user(uuid, text, timestamptz, uuid) to authenticated;

-- Ends a ban: who was a member is one again, in none of the conversations of before.
create function chat_private.lift_ban(ban chat.bans, lifted_by uuid)
returns chat.bans
language plpgsql
set search_path = ''
as $$
declare
    v_ban chat.bans;
begin
    update chat.bans as b
    set lifted_at = chat_private.now(),
        lifted_by = lift_ban.lifted_by
    where b.id = ban.id
    returning b.* into v_ban;
    update chat.tenant_members as m
    set removed_at = null
    where
        m.tenant_id = ban.tenant_id
        and m.user_id = ban.user_id
        and m.removed_at is not null
        and ban.was_member;
    return v_ban;
end;
$$;
revoke execute on function chat_private.lift_ban(chat.bans, uuid)
from public, anon, authenticated;

-- Security definer: writes what its caller may only read. Checks that the caller moderates the
-- tenant and, if whoever banned is still a member of it, is not below them.
create function chat_private.unban_user(user_id uuid, tenant_id uuid)
returns chat.bans
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_caller constant chat.tenant_members := chat_private.require_moderator(unban_user.tenant_id);
    v_ban chat.bans;
begin
    select b.* into v_ban
    from chat.bans as b
    where
        b.tenant_id = v_caller.tenant_id
        and b.user_id = unban_user.user_id
        and b.lifted_at is null
    for no key update;
    if not found then
        perform chat_private.raise_error('ban_not_found');
    end if;
    perform chat_private.check_may_change_ban(v_ban, v_caller);
    return chat_private.lift_ban(v_ban, v_caller.user_id);
end;
$$;
revoke execute on function chat_private.unban_user(uuid, uuid) from public, anon;
grant execute on function chat_private.unban_user(uuid, uuid) to authenticated;

create function chat.unban_user(user_id uuid, tenant_id uuid default null)
returns chat.bans
language sql
set search_path = ''
begin atomic
select chat_private.unban_user(user_id, tenant_id);
end;
comment on function chat.unban_user(uuid, uuid) is
    'Lifts a ban, for moderators not below who set it. The user is a member again, but in none of '
    'the conversations of before.';
revoke execute on function chat.unban_user(uuid, uuid) from public, anon;
grant execute on function chat.unban_user(uuid, uuid) to authenticated;

-- For a scheduler, where there is one: lifts the bans that are over and returns how many.
create function chat_private.lift_expired_bans()
returns integer
language plpgsql
set search_path = ''
as $$
declare
    v_ban chat.bans;
    v_count integer := 0;
begin
    for v_ban in
        select b.*
        from chat.bans as b
        where b.lifted_at is null and b.expires_at <= chat_private.now()
        order by b.id
        limit 1000
        for no key update skip locked
    loop
        perform chat_private.lift_ban(v_ban, null);
        v_count := v_count + 1;
    end loop;
    return v_count;
end;
$$;
revoke execute on function chat_private.lift_expired_bans() from public, anon, authenticated;

-- Security definer: writes what its caller may not. Touches bans of the caller that are over.
create function chat_private.return_after_ban()
returns setof uuid
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := auth.uid();
    v_ban chat.bans;
    v_is_banned boolean := false;
    v_is_back boolean := false;
begin
    if v_user_id is null then
        perform chat_private.raise_error('sign_in_required');
    end if;
    for v_ban in
        select b.*
        from chat.bans as b
        where b.user_id = v_user_id and b.lifted_at is null
        order by b.id
        for no key update
    loop
        if v_ban.expires_at <= chat_private.now() then
            perform chat_private.lift_ban(v_ban, null);
            v_is_back := true;
            return next v_ban.tenant_id;
        else
            v_is_banned := true;
        end if;
    end loop;
    if v_is_back then
        return;
    end if;
    if v_is_banned then
        perform chat_private.raise_error('banned');
    end if;
    perform chat_private.raise_error('ban_not_found');
end;
$$;
revoke execute on function chat_private.return_after_ban() from public, anon;
grant execute on function chat_private.return_after_ban() to authenticated;

create function chat.return_after_ban()
returns setof uuid
language sql
set search_path = ''
begin atomic
select chat_private.return_after_ban();
end;
comment on function chat.return_after_ban() is
    'Makes the caller a member again of the tenants whose bans of them are over, and returns '
    'these. Refused with banned while a ban lasts.';
revoke execute on function chat.return_after_ban() from public, anon;
grant execute on function chat.return_after_ban() to authenticated;

-- While a ban lasts nobody makes its user a member, the service role included.
-- Security definer: whoever writes members may not read bans.
create function chat_private.keep_banned_out()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    if exists (
        select
        from chat.bans as b
        where
            b.tenant_id = new.tenant_id
            and b.user_id = new.user_id
            and b.lifted_at is null
            and (b.expires_at is null or b.expires_at > chat_private.now())
    ) then
        perform chat_private.raise_error('banned');
    end if;
    return new;
end;
$$;
revoke execute on function chat_private.keep_banned_out() from public, anon, authenticated;

-- Who takes part is a member of the tenant, whoever writes. Waits for a removal or ban that is
-- about to commit, which in turn waits for this: neither overlooks the other.
-- Security definer: whoever writes participants may not lock members.
create function chat_private.require_tenant_membership()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform
    from chat.tenant_members as m
    where
        m.tenant_id = new.tenant_id
        and m.user_id = new.user_id
        and m.removed_at is null
    for share;
    if not found then
        perform chat_private.raise_error('user_not_found');
    end if;
    return new;
end;
$$;
revoke execute on function chat_private.require_tenant_membership()
from public, anon, authenticated;

-- Triggers -------------------------------------------------------------------------------------

create trigger tenant_members_keep_banned_out
before insert or update of removed_at on chat.tenant_members
for each row
when (new.removed_at is null)
execute function chat_private.keep_banned_out();

create trigger participants_require_tenant_membership
before insert or update of left_at on chat.participants
for each row
when (new.left_at is null)
execute function chat_private.require_tenant_membership();

-- Policies -------------------------------------------------------------------------------------

create policy "moderators can read the bans of their tenants"
on chat.bans for select
to authenticated
using (tenant_id = any (array(select chat_private.tenant_ids_for_moderator())));
