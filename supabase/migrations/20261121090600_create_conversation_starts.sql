-- Purpose: starting conversations.
-- Objects: functions chat.start_direct, chat.start_group.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

-- Functions ------------------------------------------------------------------------------------

-- Security definer: makes rows its caller may only read, and finds people the caller cannot list.
-- Checks that both are members of the tenant.
create function chat_private.start_direct(user_id uuid, username text, tenant_id uuid)
returns chat.conversations
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := auth.uid();
    v_other_id uuid;
    v_tenant_id uuid;
    v_conversation chat.conversations;
begin
    if v_user_id is null then
        perform chat_private.raise_error('sign_in_required');
    end if;
    if num_nonnulls(start_direct.user_id, start_direct.username) <> 1 then
        perform chat_private.raise_error('user_required');
    end if;
    v_tenant_id := chat_private.resolve_tenant(start_direct.tenant_id);

    select m.user_id into v_other_id
    from chat.profiles as p
    inner join chat.tenant_members as m on p.id = m.user_id
    where
        (p.id = start_direct.user_id or lower(p.username) = lower(start_direct.username))
        and m.tenant_id = v_tenant_id
        and m.removed_at is null;
    if v_other_id is null then
        perform chat_private.raise_error('user_not_found');
    end if;
    if v_other_id = v_user_id then
        perform chat_private.raise_error('direct_with_self');
    end if;

    insert into chat.conversations as c (tenant_id, kind, user_low_id, user_high_id, created_by)
    values (
        v_tenant_id,
        'direct',
        least(v_user_id, v_other_id),
        greatest(v_user_id, v_other_id),
        v_user_id
    )
    on conflict on constraint conversations_direct_key do nothing
    returning c.* into v_conversation;
    if found then
        insert into chat.participants (conversation_id, user_id, tenant_id)
        values
            (v_conversation.id, v_user_id, v_tenant_id),
            (v_conversation.id, v_other_id, v_tenant_id);
    else
        -- Somebody was first; whoever had left, and asks, is back.
        update chat.participants as p
        set left_at = null
        from chat.conversations as c
        where
            c.tenant_id = v_tenant_id
            and c.user_low_id = least(v_user_id, v_other_id)
            and c.user_high_id = greatest(v_user_id, v_other_id)
            and p.conversation_id = c.id
            and p.user_id = v_user_id
            and p.left_at is not null;
    end if;

    select c.* into strict v_conversation
    from chat.conversations as c
    where
        c.tenant_id = v_tenant_id
        and c.user_low_id = least(v_user_id, v_other_id)
        and c.user_high_id = greatest(v_user_id, v_other_id);
    return v_conversation;
end;
$$;
revoke execute on function chat_private.start_direct(uuid, text, uuid) from public, anon;
grant execute on function chat_private.start_direct(uuid, text, uuid) to authenticated;

create function chat.start_direct(
    user_id uuid default null,
    username text default null,
    tenant_id uuid default null
)
returns chat.conversations
language sql
set search_path = ''
begin atomic
select chat_private.start_direct(user_id, username, tenant_id);
end;
comment on function chat.start_direct(uuid, text, uuid) is
    'Returns the direct conversation with another user, made on the first call. Give user_id or '
    'username; tenant_id when you are a member of several tenants.';
revoke execute on function chat.start_direct(uuid, text, uuid) from public, anon;
grant execute on function chat.start_direct(uuid, text, uuid) to authenticated;

-- Security definer: makes rows its caller may only read. Checks that everybody is a member of the
-- tenant; the caller becomes the owner. With an id that the caller has used before, returns that
-- conversation: a retry makes no second group.
create function chat_private.start_group(title text, user_ids uuid [], id uuid, tenant_id uuid)
returns chat.conversations
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := auth.uid();
    v_others constant uuid [] := array(
        select distinct u.id from unnest(start_group.user_ids) as u (id) where u.id <> v_user_id
    );
    v_tenant_id uuid;
    v_conversation chat.conversations;
begin
    if v_user_id is null then
        perform chat_private.raise_error('sign_in_required');
    end if;
    if cardinality(v_others) >= 1000 then
        perform chat_private.raise_error('too_many_participants');
    end if;
    v_tenant_id := chat_private.resolve_tenant(start_group.tenant_id);

    insert into chat.conversations as c (id, tenant_id, kind, title, created_by)
    values (
        coalesce(start_group.id, gen_random_uuid()),
        v_tenant_id,
        'group',
        start_group.title,
        v_user_id
    )
    on conflict on constraint conversations_pkey do nothing
    returning c.* into v_conversation;
    if not found then
        select c.* into v_conversation
        from chat.conversations as c
        where
            c.id = start_group.id
            and c.tenant_id = v_tenant_id
            and c.kind = 'group'
            and c.created_by = v_user_id;
        if not found then
            perform chat_private.raise_error('conversation_id_taken');
        end if;
        return v_conversation;
    end if;

    insert into chat.participants (conversation_id, user_id, tenant_id, role)
    select
        v_conversation.id,
        m.user_id,
        v_tenant_id,
        case when m.user_id = v_user_id then 'owner' else 'member' end::chat.participant_role
    from chat.tenant_members as m
    where
        m.tenant_id = v_tenant_id
        and m.user_id = any (v_user_id || v_others)
        and m.removed_at is null;

    select c.* into strict v_conversation
    from chat.conversations as c
    where c.id = v_conversation.id;
    if v_conversation.participant_count <> 1 + cardinality(v_others) then
        perform chat_private.raise_error('user_not_found');
    end if;
    return v_conversation;
end;
$$;
revoke execute on function chat_private.start_group(text, uuid [], uuid, uuid) from public, anon;
grant execute on function chat_private.start_group(text, uuid [], uuid, uuid) to authenticated;

create function chat.start_group(
    title text,
    user_ids uuid [] default '{}',
    id uuid default null,
    tenant_id uuid default null
)
returns chat.conversations
language sql
set search_path = ''
begin atomic
select chat_private.start_group(title, user_ids, id, tenant_id);
end;
comment on function chat.start_group(text, uuid [], uuid, uuid) is
    'Makes a group with the caller as owner and the given users as members. Calling again with '
    'the same id returns the group made first.';
revoke execute on function chat.start_group(text, uuid [], uuid, uuid) from public, anon;
grant execute on function chat.start_group(text, uuid [], uuid, uuid) to authenticated;
