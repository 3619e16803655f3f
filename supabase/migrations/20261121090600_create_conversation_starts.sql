-- Purpose: starting conversations.
-- Objects: functions chat.start_direct, chat.start_group, chat.open_subject.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

insert into chat_private.errors (code, state, message, hint)
values
    (
        'start_not_allowed', '42501',
        'This tenant does not let you start this conversation.',
        'Become contacts first, or ask a moderator; see the tenant''s settings.'
    ),
    (
        'participants_required', '22023',
        'A conversation about a subject needs at least one participant.',
        'Give participants as [{"user_id": "..."}].'
    );

-- Functions ------------------------------------------------------------------------------------

-- Whether the tenant lets the caller start a conversation with these people. Raises
-- start_not_allowed, blocked.
create function chat_private.check_may_start(tenant_id uuid, user_ids uuid [])
returns void
language plpgsql
stable
set search_path = ''
as $$
declare
    v_user_id constant uuid := auth.uid();
    v_who constant text := (chat_private.settings_for(check_may_start.tenant_id)).who_may_start;
begin
    -- Of others than members of the tenant nothing is told, not even that they blocked the caller.
    if exists (
        select
        from unnest(check_may_start.user_ids) as u (id)
        inner join chat.tenant_members as m on u.id = m.user_id
        where
            m.tenant_id = check_may_start.tenant_id
            and m.removed_at is null
            and chat_private.is_blocked_between(v_user_id, u.id)
    ) then
        perform chat_private.raise_error('blocked');
    end if;
    if v_who = 'members'
        or check_may_start.tenant_id = any (array(select chat_private.tenant_ids_for_moderator()))
    then
        return;
    end if;
    if v_who = 'contacts' and not exists (
        select
        from unnest(check_may_start.user_ids) as u (id)
        where not exists (
            select
            from chat.contacts as k
            where
                k.user_low_id = least(v_user_id, u.id)
                and k.user_high_id = greatest(v_user_id, u.id)
                and k.state = 'accepted'
        )
    ) then
        return;
    end if;
    perform chat_private.raise_error('start_not_allowed');
end;
$$;
revoke execute on function chat_private.check_may_start(uuid, uuid [])
from public, anon, authenticated;

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

    -- Known already: nothing is started.
    select c.* into v_conversation
    from chat.conversations as c
    inner join chat.participants as p on c.id = p.conversation_id
    where
        c.tenant_id = v_tenant_id
        and c.user_low_id = least(v_user_id, v_other_id)
        and c.user_high_id = greatest(v_user_id, v_other_id)
        and p.user_id = v_user_id
        and p.left_at is null;
    if found then
        return v_conversation;
    end if;
    perform chat_private.check_may_start(v_tenant_id, array[v_other_id]);

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
            (v_conversation.id, v_conversation.user_low_id, v_tenant_id),
            (v_conversation.id, v_conversation.user_high_id, v_tenant_id);
    else
        -- Somebody was first; whoever had left, and asks, is back.
        select c.* into strict v_conversation
        from chat.conversations as c
        where
            c.tenant_id = v_tenant_id
            and c.user_low_id = least(v_user_id, v_other_id)
            and c.user_high_id = greatest(v_user_id, v_other_id)
        for no key update;
        update chat.participants as p
        set left_at = null
        where
            p.conversation_id = v_conversation.id
            and p.user_id = v_user_id
            and p.left_at is not null;
    end if;

    select c.* into strict v_conversation
    from chat.conversations as c
    where c.id = v_conversation.id;
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

-- Security definer: makes rows its caller may only read. The caller becomes the owner; a trigger of
-- participants refuses who is no member of the tenant. With an id that the caller has used before,
-- returns that conversation: a retry makes no second group.
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
    v_tenant_id := chat_private.resolve_tenant(start_group.tenant_id);
    if cardinality(v_others) >= (chat_private.settings_for(v_tenant_id)).max_participants then
        perform chat_private.raise_error('too_many_participants');
    end if;
    perform chat_private.check_may_start(v_tenant_id, v_others);

    insert into chat.conversations as c (id, tenant_id, kind, title, created_by)
    values (
        coalesce(start_group.id, gen_random_uuid()),
        v_tenant_id,
        'group',
        start_group.title,
        v_user_id
    )
    on conflict do nothing
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
        -- Whoever made it and was removed learns nothing of what it is now.
        perform chat_private.require_participant(v_conversation.id);
        return v_conversation;
    end if;

    -- Each row locks its member, as everywhere in this order.
    insert into chat.participants (conversation_id, user_id, tenant_id, role)
    select
        v_conversation.id,
        u.id,
        v_tenant_id,
        case when u.id = v_user_id then 'owner' else 'member' end::chat.participant_role
    from unnest(v_user_id || v_others) as u (id)
    order by u.id;

    select c.* into strict v_conversation
    from chat.conversations as c
    where c.id = v_conversation.id;
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

-- Security definer: makes rows its caller may only read. Checks that the caller may open subjects
-- in the tenant; a trigger of participants refuses who is no member of it. What exists is returned
-- to those who take part, and is not found by others; the service role adds whom it names.
create function chat_private.open_subject(
    subject_type text,
    subject_id text,
    participants jsonb,
    title text,
    tenant_id uuid
)
returns chat.conversations
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := auth.uid();
    v_is_service constant boolean := coalesce(auth.role() = 'service_role', false);
    v_tenant_id uuid := open_subject.tenant_id;
    v_people constant uuid [] := array(
        select distinct p.user_id
        from jsonb_to_recordset(
            coalesce(open_subject.participants, '[]')
        ) as p (user_id uuid)
        union
        select v_user_id where v_user_id is not null
    );
    v_owner_id uuid;
    v_conversation chat.conversations;
begin
    if v_is_service then
        if v_tenant_id is null then
            perform chat_private.raise_error('tenant_required');
        end if;
    else
        if v_user_id is null then
            perform chat_private.raise_error('sign_in_required');
        end if;
        v_tenant_id := chat_private.resolve_tenant(open_subject.tenant_id);
        select c.* into v_conversation
        from chat.conversations as c
        where
            c.tenant_id = v_tenant_id
            and c.subject_type = open_subject.subject_type
            and c.subject_id = open_subject.subject_id;
        if exists (
            select
            from chat.participants as p
            where
                p.conversation_id = v_conversation.id
                and p.user_id = v_user_id
                and p.left_at is null
        ) then
            return v_conversation;
        end if;
        -- Whoever may open none does not learn which there are.
        if (chat_private.settings_for(v_tenant_id)).who_may_open_subjects = 'nobody' or (
            (chat_private.settings_for(v_tenant_id)).who_may_open_subjects = 'moderators'
            and v_tenant_id <> all (array(select chat_private.tenant_ids_for_moderator()))
        ) then
            perform chat_private.raise_error('start_not_allowed');
        end if;
        if v_conversation.id is not null then
            perform chat_private.raise_error('conversation_not_found');
        end if;
        perform chat_private.check_may_start(v_tenant_id, array_remove(v_people, v_user_id));
    end if;
    if cardinality(v_people) = 0 then
        perform chat_private.raise_error('participants_required');
    end if;
    if cardinality(v_people) > (chat_private.settings_for(v_tenant_id)).max_participants then
        perform chat_private.raise_error('too_many_participants');
    end if;

    insert into chat.conversations as c (
        tenant_id, kind, subject_type, subject_id, title, created_by
    )
    values (
        v_tenant_id,
        'subject',
        open_subject.subject_type,
        open_subject.subject_id,
        open_subject.title,
        v_user_id
    )
    on conflict on constraint conversations_subject_key do nothing;
    select c.* into strict v_conversation
    from chat.conversations as c
    where
        c.tenant_id = v_tenant_id
        and c.subject_type = open_subject.subject_type
        and c.subject_id = open_subject.subject_id;
    if not v_is_service and v_conversation.participant_count > 0 then
        -- Somebody was first.
        perform chat_private.require_participant(v_conversation.id);
        return v_conversation;
    end if;
    v_conversation := chat_private.lock_conversation(v_conversation.id);
    v_owner_id := coalesce(
        v_user_id,
        (
            select (p.person ->> 'user_id')::uuid
            from jsonb_array_elements(
                open_subject.participants
            ) with ordinality as p (person, position)
            order by coalesce(p.person ->> 'role', 'member') = 'owner' desc, p.position
            limit 1
        )
    );
    insert into chat.participants (
        conversation_id, user_id, tenant_id, role, party, last_read_seq, last_delivered_seq,
        read_count
    )
    select
        v_conversation.id,
        u.id,
        v_tenant_id,
        case
            when u.id = v_owner_id and v_conversation.participant_count = 0 then 'owner'
            else 'member'
        end::chat.participant_role,
        (
            select p.party
            from jsonb_to_recordset(
                coalesce(open_subject.participants, '[]')
            ) as p (user_id uuid, party text)
            where p.user_id = u.id
            limit 1
        ),
        v_conversation.last_seq,
        v_conversation.last_seq,
        v_conversation.message_count
    from unnest(v_people) as u (id)
    order by u.id
    on conflict on constraint participants_pkey do update
    set left_at = null
    where chat.participants.left_at is not null;

    select c.* into strict v_conversation
    from chat.conversations as c
    where c.id = v_conversation.id;
    return v_conversation;
end;
$$;
revoke execute on function chat_private.open_subject(text, text, jsonb, text, uuid)
from public, anon;
grant execute on function chat_private.open_subject(text, text, jsonb, text, uuid)
to authenticated, service_role;

create function chat.open_subject(
    subject_type text,
    subject_id text,
    participants jsonb default '[]',
    title text default null,
    tenant_id uuid default null
)
returns chat.conversations
language sql
set search_path = ''
begin atomic
select chat_private.open_subject(subject_type, subject_id, participants, title, tenant_id);
end;
comment on function chat.open_subject(text, text, jsonb, text, uuid) is
    'Returns the one conversation about a business object, made on the first call. participants '
    'is an array of {user_id, party}; the caller takes part and owns it.';
revoke execute on function chat.open_subject(text, text, jsonb, text, uuid) from public, anon;
grant execute on function chat.open_subject(text, text, jsonb, text, uuid)
to authenticated, service_role;
