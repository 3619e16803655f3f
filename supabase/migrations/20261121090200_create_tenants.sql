-- Purpose: tenants (organisations, stores) and who belongs to them.
-- Objects: enum chat.tenant_role; tables chat.tenants, chat.tenant_members; trigger on auth.users.
-- Locks:   share row exclusive on auth.users, for as long as it takes to add a trigger.
-- Breaking: no. A default tenant exists, and every user is a member of it.

set lock_timeout = '5s';

-- Types ----------------------------------------------------------------------------------------

create type chat.tenant_role as enum ('owner', 'admin', 'moderator', 'member');

-- Tables ---------------------------------------------------------------------------------------

create table chat.tenants (
    id uuid primary key default gen_random_uuid(),
    slug text not null,
    name text not null,
    is_open boolean not null default false,
    created_at timestamptz not null default chat_private.now(),
    constraint tenants_slug_key unique (slug),
    constraint tenants_slug_check check (slug ~ '^[a-z0-9](-?[a-z0-9]){0,62}$'),
    constraint tenants_name_check check (length(name) between 1 and 200)
);
comment on table chat.tenants is
    'Organisations that share nothing: no conversation spans two. Only the service role writes.';
comment on column chat.tenants.is_open is 'Whoever signs up becomes a member.';
alter table chat.tenants enable row level security;
grant select on chat.tenants to authenticated;
grant select, insert, update, delete on chat.tenants to service_role;

create table chat.tenant_members (
    tenant_id uuid not null references chat.tenants (id) on delete cascade,
    user_id uuid not null references chat.profiles (id) on delete cascade,
    role chat.tenant_role not null default 'member',
    tier text not null default 'free' references chat.tiers (name),
    joined_at timestamptz not null default chat_private.now(),
    removed_at timestamptz,
    primary key (tenant_id, user_id)
);
comment on table chat.tenant_members is
    'Who belongs to a tenant. Removing sets removed_at: history keeps naming its people.';
alter table chat.tenant_members enable row level security;
grant select on chat.tenant_members to authenticated;
grant select, insert, update, delete on chat.tenant_members to service_role;

-- Indexes --------------------------------------------------------------------------------------

-- Serves: the tenants of a user, in policies and on every start of a conversation.
create index tenant_members_user_id_idx on chat.tenant_members (user_id, tenant_id)
where removed_at is null;

-- Serve: the foreign keys, when a user or a tier goes.
create index tenant_members_user_id_fkey_idx on chat.tenant_members (user_id);
create index tenant_members_tier_idx on chat.tenant_members (tier);

-- Functions ------------------------------------------------------------------------------------

-- Security definer: a policy on tenant_members that read tenant_members would recurse (42P17).
-- Tells nothing but the caller's own tenants.
create function chat_private.tenant_ids_for_member()
returns setof uuid
language plpgsql
stable
parallel safe
security definer
rows 2
set search_path = ''
as $$
begin
    return query
    select m.tenant_id
    from chat.tenant_members as m
    where m.user_id = auth.uid() and m.removed_at is null;
end;
$$;
revoke execute on function chat_private.tenant_ids_for_member() from public, anon;
grant execute on function chat_private.tenant_ids_for_member() to authenticated;

-- Security definer: as above; the caller's own tenants, where they are owner or admin.
create function chat_private.tenant_ids_for_admin()
returns setof uuid
language plpgsql
stable
parallel safe
security definer
rows 1
set search_path = ''
as $$
begin
    return query
    select m.tenant_id
    from chat.tenant_members as m
    where m.user_id = auth.uid() and m.removed_at is null and m.role in ('owner', 'admin');
end;
$$;
revoke execute on function chat_private.tenant_ids_for_admin() from public, anon;
grant execute on function chat_private.tenant_ids_for_admin() to authenticated;

-- The tenant a call is about: the one it names, else the caller's only one.
create function chat_private.resolve_tenant(tenant_id uuid)
returns uuid
language plpgsql
stable
set search_path = ''
as $$
declare
    v_tenant_ids uuid [] := array(select chat_private.tenant_ids_for_member());
begin
    if resolve_tenant.tenant_id is null then
        if cardinality(v_tenant_ids) <> 1 then
            perform chat_private.raise_error('tenant_required');
        end if;
        return v_tenant_ids[1];
    end if;
    if resolve_tenant.tenant_id <> all (v_tenant_ids) then
        perform chat_private.raise_error('not_a_tenant_member');
    end if;
    return resolve_tenant.tenant_id;
end;
$$;
revoke execute on function chat_private.resolve_tenant(uuid) from public, anon, authenticated;

-- Security definer: runs in the session of the Auth server, which has no rights on chat.
create function chat_private.join_open_tenants()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    insert into chat.tenant_members (tenant_id, user_id)
    select t.id, new.id
    from chat.tenants as t
    where t.is_open
    on conflict do nothing;
    return null;
end;
$$;
revoke execute on function chat_private.join_open_tenants() from public, anon, authenticated;

-- Triggers -------------------------------------------------------------------------------------

create trigger parley_200_join_open_tenants
after insert on auth.users
for each row execute function chat_private.join_open_tenants();

-- Policies -------------------------------------------------------------------------------------

create policy "members can read their tenants"
on chat.tenants for select
to authenticated
using (id = any (array(select chat_private.tenant_ids_for_member())));

create policy "members can read themselves and admins their tenants"
on chat.tenant_members for select
to authenticated
using (
    user_id = (select auth.uid())
    or tenant_id = any (array(select chat_private.tenant_ids_for_admin()))
);

-- The default tenant, for projects that have no tenants of their own.
insert into chat.tenants (id, slug, name, is_open)
values ('00000000-0000-4000-8000-000000000001', 'default', 'Default', true);

insert into chat.tenant_members (tenant_id, user_id)
select '00000000-0000-4000-8000-000000000001', p.id
from chat.profiles as p;
