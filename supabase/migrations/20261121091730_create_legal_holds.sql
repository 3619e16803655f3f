-- Purpose: what must be kept whatever the policy says: of a user, a conversation, or a tenant.
-- Objects: table chat.legal_holds with a trigger; functions chat.place_hold, chat.lift_hold;
--          trigger on chat.conversations.
-- Locks:   share row exclusive on chat.conversations, for as long as it takes to add a trigger.
-- Breaking: no.

set lock_timeout = '5s';

insert into chat_private.errors (code, state, message, hint)
values
    (
        'hold_not_found', 'PT404',
        'There is no such legal hold in your tenants.',
        'Check the id; it may have been lifted.'
    ),
    (
        'hold_scope', '22023',
        'A legal hold is on a user, or on a conversation, or on the whole tenant.',
        'Give user_id or conversation_id, or neither.'
    ),
    (
        'under_legal_hold', 'PT409',
        'A legal hold keeps this.',
        'An admin of the tenant can lift it with lift_hold.'
    );

-- Tables ---------------------------------------------------------------------------------------

-- Its foreign keys stop whoever would delete what is held.
create table chat.legal_holds (
    id uuid primary key default gen_random_uuid(),
    tenant_id uuid not null references chat.tenants (id),
    user_id uuid,
    conversation_id uuid,
    reason text not null,
    placed_by uuid references chat.profiles (id) on delete set null,
    placed_at timestamptz not null default chat_private.now(),
    constraint legal_holds_user_id_fkey foreign key (tenant_id, user_id)
    references chat.tenant_members (tenant_id, user_id),
    constraint legal_holds_conversation_id_fkey foreign key (tenant_id, conversation_id)
    references chat.conversations (tenant_id, id),
    constraint legal_holds_scope_check check (user_id is null or conversation_id is null),
    constraint legal_holds_reason_check check (length(reason) between 1 and 2000)
);
comment on table chat.legal_holds is
    'What is held now: the messages of a user, of a conversation, or all of a tenant. Lifting deletes '
    'the row; the audit log has both. Made with chat.place_hold.';
alter table chat.legal_holds enable row level security;
grant select on chat.legal_holds to authenticated, service_role;

-- Indexes --------------------------------------------------------------------------------------

-- Serve: what is held in a tenant; the foreign keys.
create index legal_holds_tenant_id_user_id_idx on chat.legal_holds (tenant_id, user_id);
create index legal_holds_conversation_id_idx on chat.legal_holds (tenant_id, conversation_id)
where conversation_id is not null;
create index legal_holds_placed_by_idx on chat.legal_holds (placed_by);

-- Functions ------------------------------------------------------------------------------------

create function chat_private.is_held(tenant_id uuid, conversation_id uuid, sender_id uuid)
returns boolean
language sql
stable
set search_path = ''
begin atomic
select exists (
    select
    from chat.legal_holds as h
    where
        h.tenant_id = is_held.tenant_id
        and (h.conversation_id is null or h.conversation_id = is_held.conversation_id)
        and (h.user_id is null or h.user_id = is_held.sender_id)
);
end;
comment on function chat_private.is_held(uuid, uuid, uuid) is
    'Whether a message is under a hold; without sender_id, whether all of the conversation is.';
revoke execute on function chat_private.is_held(uuid, uuid, uuid)
from public, anon, authenticated;

-- The tenant that a caller may hold things in: any for the service role, else where they are owner
-- or admin. Raises as require_tenant_admin.
create function chat_private.require_hold_admin(tenant_id uuid)
returns uuid
language plpgsql
stable
set search_path = ''
as $$
begin
    if coalesce(auth.role() = 'service_role', false) then
        if require_hold_admin.tenant_id is null then
            perform chat_private.raise_error('tenant_required');
        end if;
        return require_hold_admin.tenant_id;
    end if;
    return chat_private.require_tenant_admin(require_hold_admin.tenant_id);
end;
$$;
revoke execute on function chat_private.require_hold_admin(uuid)
from public, anon, authenticated;

-- Security definer: writes a table its caller may only read. Checks that the caller is the service
-- role, or owner or admin of the tenant. The insert waits for batches of the sweep that run, which
-- hold the table in share mode: once it returns, nothing held is purged.
create function chat_private.place_hold(
    reason text,
    user_id uuid,
    conversation_id uuid,
    tenant_id uuid
)
returns chat.legal_holds
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_tenant_id constant uuid := chat_private.require_hold_admin(place_hold.tenant_id);
    v_hold chat.legal_holds;
begin
    if place_hold.user_id is not null and place_hold.conversation_id is not null then
        perform chat_private.raise_error('hold_scope');
    end if;
    if place_hold.user_id is not null and not exists (
        select
        from chat.tenant_members as m
        where m.tenant_id = v_tenant_id and m.user_id = place_hold.user_id
    ) then
        perform chat_private.raise_error('user_not_found');
    end if;
    if place_hold.conversation_id is not null and not exists (
        select
        from chat.conversations as c
        where c.tenant_id = v_tenant_id and c.id = place_hold.conversation_id
    ) then
        perform chat_private.raise_error('conversation_not_found');
    end if;
    insert into chat.legal_holds as h (tenant_id, user_id, conversation_id, reason, placed_by)
    values (
        v_tenant_id,
        place_hold.user_id,
        place_hold.conversation_id,
        place_hold.reason,
        auth.uid()
    )
    returning h.* into v_hold;
    perform chat_private.record_audit(
        v_tenant_id,
        'hold_placed',
        v_hold.user_id,
        v_hold.conversation_id,
        jsonb_build_object('hold_id', v_hold.id, 'reason', v_hold.reason)
    );
    return v_hold;
end;
$$;
revoke execute on function chat_private.place_hold(text, uuid, uuid, uuid) from public, anon;
grant execute on function chat_private.place_hold(text, uuid, uuid, uuid)
to authenticated, service_role;

create function chat.place_hold(
    reason text,
    user_id uuid default null,
    conversation_id uuid default null,
    tenant_id uuid default null
)
returns chat.legal_holds
language sql
set search_path = ''
begin atomic
select chat_private.place_hold(reason, user_id, conversation_id, tenant_id);
end;
comment on function chat.place_hold(text, uuid, uuid, uuid) is
    'Keeps the messages of a user, or of a conversation, or without either of the tenant, from being '
    'purged or erased, until lift_hold. For owners and admins of the tenant.';
revoke execute on function chat.place_hold(text, uuid, uuid, uuid) from public, anon;
grant execute on function chat.place_hold(text, uuid, uuid, uuid) to authenticated, service_role;

-- Security definer: as place_hold, with the same check.
create function chat_private.lift_hold(id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_hold chat.legal_holds;
begin
    select h.* into v_hold
    from chat.legal_holds as h
    where h.id = lift_hold.id
    for update;
    if not found or not (
        coalesce(auth.role() = 'service_role', false)
        or v_hold.tenant_id = any (array(select chat_private.tenant_ids_for_admin()))
    ) then
        perform chat_private.raise_error('hold_not_found');
    end if;
    delete from chat.legal_holds as h where h.id = v_hold.id;
    perform chat_private.record_audit(
        v_hold.tenant_id,
        'hold_lifted',
        v_hold.user_id,
        v_hold.conversation_id,
        jsonb_build_object('hold_id', v_hold.id, 'reason', v_hold.reason)
    );
end;
$$;
revoke execute on function chat_private.lift_hold(uuid) from public, anon;
grant execute on function chat_private.lift_hold(uuid) to authenticated, service_role;

create function chat.lift_hold(id uuid)
returns void
language sql
set search_path = ''
begin atomic
select chat_private.lift_hold(id);
end;
comment on function chat.lift_hold(uuid) is
    'Ends a legal hold: what it kept follows the policy again. For owners and admins of the tenant.';
revoke execute on function chat.lift_hold(uuid) from public, anon;
grant execute on function chat.lift_hold(uuid) to authenticated, service_role;

-- What a hold kept is looked at again.
-- Security definer: whoever lifts it has no right on what follows.
create function chat_private.release_held_messages()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform chat_private.queue_retention_job(old.tenant_id, old.user_id, old.conversation_id);
    return null;
end;
$$;
revoke execute on function chat_private.release_held_messages()
from public, anon, authenticated;

-- A conversation goes with its messages, whoever deletes it: not while one of them is held. Of the
-- user and the tenant, foreign keys say so.
-- Security definer: whoever deletes need not see holds.
create function chat_private.keep_held_messages()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    if exists (
        select
        from chat.legal_holds as h
        where
            h.tenant_id = old.tenant_id
            and (h.user_id is null or exists (
                select
                from chat.messages as m
                where m.conversation_id = old.id and m.sender_id = h.user_id
            ))
            and (h.conversation_id is null or h.conversation_id = old.id)
    ) then
        perform chat_private.raise_error('under_legal_hold');
    end if;
    return old;
end;
$$;
revoke execute on function chat_private.keep_held_messages() from public, anon, authenticated;

-- Triggers -------------------------------------------------------------------------------------

create trigger legal_holds_release_held_messages
after delete on chat.legal_holds
for each row execute function chat_private.release_held_messages();

create trigger conversations_keep_held_messages
before delete on chat.conversations
for each row execute function chat_private.keep_held_messages();

-- Policies -------------------------------------------------------------------------------------

-- Those who are held are not told.
create policy "admins can read the holds of their tenants"
on chat.legal_holds for select
to authenticated
using (tenant_id = any (array(select chat_private.tenant_ids_for_admin())));
