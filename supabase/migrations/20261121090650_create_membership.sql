-- Purpose: who joins and leaves a conversation, and what they may do in it.
-- Objects: functions chat.add_participants, chat.remove_participant, chat.leave, chat.set_role,
--          chat.update_conversation.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

insert into chat_private.errors (code, state, message, hint)
values
    (
        'direct_is_fixed', '22023',
        'A direct conversation is between its two people.',
        'Start a group to talk to more; archive the conversation to put it away.'
    ),
    (
        'not_an_admin', '42501',
        'Only an owner or admin of the conversation can do this.',
        'Ask one of them.'
    ),
    (
        'not_the_owner', '42501',
        'Only an owner of the conversation can do this.',
        'Ask an owner.'
    ),
    (
        'last_owner', '42501',
        'A conversation keeps an owner.',
        'Make somebody else an owner first.'
    ),
    (
        'participant_not_found', 'PT404',
        'This user does not take part in the conversation.',
        'Check the user''s id.'
    );

-- Functions ------------------------------------------------------------------------------------

-- The caller's participation and the locked conversation, for changes of who takes part. Raises
-- direct_is_fixed, not_an_admin.
create function chat_private.require_admin(conversation_id uuid)
returns chat.conversations
language plpgsql
set search_path = ''
as $$
declare
    v_participant chat.participants;
    v_conversation chat.conversations;
begin
    perform chat_private.require_participant(require_admin.conversation_id);
    v_conversation := chat_private.lock_conversation(require_admin.conversation_id);
    -- Again, under the lock: somebody may have removed the caller meanwhile.
    v_participant := chat_private.require_participant(require_admin.conversation_id);
    if v_conversation.kind = 'direct' then
        perform chat_private.raise_error('direct_is_fixed');
    end if;
    if v_participant.role = 'member' and v_conversation.tenant_id
        <> all (array(select chat_private.tenant_ids_for_moderator()))
    then
        perform chat_private.raise_error('not_an_admin');
    end if;
    return v_conversation;
end;
$$;
revoke execute on function chat_private.require_admin(uuid) from public, anon, authenticated;

-- Security definer: writes what its caller may only read. Checks that the caller administers the
-- conversation and that those added are not blocked with the caller; a trigger of participants
-- refuses who is no member of the tenant.
create function chat_private.add_participants(
    conversation_id uuid,
    user_ids uuid [],
    party text,
    see_history boolean
)
returns setof chat.participants
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_conversation chat.conversations :=
        chat_private.require_admin(add_participants.conversation_id);
    v_caller constant chat.participants :=
        chat_private.require_participant(add_participants.conversation_id);
    v_user_ids constant uuid [] := array(
        select distinct u.id
        from unnest(add_participants.user_ids) as u (id)
        where not exists (
            select
            from chat.participants as p
            where
                p.conversation_id = v_conversation.id
                and p.user_id = u.id
                and p.left_at is null
        )
    );
begin
    if v_conversation.participant_count + cardinality(v_user_ids)
        > (chat_private.settings_for(v_conversation.tenant_id)).max_participants
    then
        perform chat_private.raise_error('too_many_participants');
    end if;
    perform chat_private.check_may_start(v_conversation.tenant_id, v_user_ids);

    insert into chat.participants as p (
        conversation_id, user_id, tenant_id, party, visible_from_seq, last_read_seq,
        last_delivered_seq, read_count
    )
    select
        v_conversation.id,
        u.id,
        v_conversation.tenant_id,
        add_participants.party,
        -- Nobody gives what they have not got.
        case
            when add_participants.see_history then v_caller.visible_from_seq
            else v_conversation.last_seq + 1
        end,
        v_conversation.last_seq,
        v_conversation.last_seq,
        v_conversation.message_count
    from unnest(v_user_ids) as u (id)
    order by u.id
    on conflict on constraint participants_pkey do update
    set left_at = null,
        role = 'member',
        party = excluded.party,
        joined_at = excluded.joined_at,
        visible_from_seq = excluded.visible_from_seq,
        last_read_seq = excluded.last_read_seq,
        last_delivered_seq = excluded.last_delivered_seq,
        read_count = excluded.read_count,
        silenced_until = p.silenced_until;
    -- Whoever comes back has nothing unread.
    update chat.participant_settings as s
    set unread_from_seq = null
    where
        s.conversation_id = v_conversation.id
        and s.user_id = any (v_user_ids)
        and (s.unread_from_seq is not null or s.unread_adjustment <> 0);
    return query
    select p.*
    from chat.participants as p
    where p.conversation_id = v_conversation.id and p.user_id = any (v_user_ids);
end;
$$;
revoke execute on function chat_private.add_participants(uuid, uuid [], text, boolean)
from public, anon;
grant execute on function chat_private.add_participants(uuid, uuid [], text, boolean)
to authenticated;

create function chat.add_participants(
    conversation_id uuid,
    user_ids uuid [],
    party text default null,
    see_history boolean default true
)
returns setof chat.participants
language sql
set search_path = ''
begin atomic
select * from chat_private.add_participants(conversation_id, user_ids, party, see_history);
end;
comment on function chat.add_participants(uuid, uuid [], text, boolean) is
    'Adds members of the tenant and returns those who are new. They read what the caller can, with '
    'see_history false from the next message on. Whoever takes part already is left as they are.';
revoke execute on function chat.add_participants(uuid, uuid [], text, boolean) from public, anon;
grant execute on function chat.add_participants(uuid, uuid [], text, boolean) to authenticated;

-- Security definer: writes what its caller may only read. Checks that the caller administers the
-- conversation; of owners and admins, only an owner removes.
create function chat_private.remove_participant(conversation_id uuid, user_id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_conversation constant chat.conversations :=
        chat_private.require_admin(remove_participant.conversation_id);
    v_participant constant chat.participants :=
        chat_private.require_participant(remove_participant.conversation_id);
    v_removed chat.participants;
begin
    select p.* into v_removed
    from chat.participants as p
    where
        p.conversation_id = v_conversation.id
        and p.user_id = remove_participant.user_id
        and p.left_at is null;
    if not found then
        perform chat_private.raise_error('participant_not_found');
    end if;
    if v_removed.role <> 'member' and v_participant.role <> 'owner' then
        perform chat_private.raise_error('not_the_owner');
    end if;
    update chat.participants as p
    set left_at = chat_private.now()
    where p.conversation_id = v_conversation.id and p.user_id = v_removed.user_id;
end;
$$;
revoke execute on function chat_private.remove_participant(uuid, uuid) from public, anon;
grant execute on function chat_private.remove_participant(uuid, uuid) to authenticated;

create function chat.remove_participant(conversation_id uuid, user_id uuid)
returns void
language sql
set search_path = ''
begin atomic
select chat_private.remove_participant(conversation_id, user_id);
end;
comment on function chat.remove_participant(uuid, uuid) is
    'Removes somebody. From the commit on they read nothing and an open socket hears nothing more.';
revoke execute on function chat.remove_participant(uuid, uuid) from public, anon;
grant execute on function chat.remove_participant(uuid, uuid) to authenticated;

-- Security definer: writes what its caller may only read. Touches the caller's participation.
create function chat_private.leave(conversation_id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_participant constant chat.participants :=
        chat_private.require_participant(leave.conversation_id);
    v_conversation constant chat.conversations :=
        chat_private.lock_conversation(leave.conversation_id);
begin
    if v_conversation.kind = 'direct' then
        perform chat_private.raise_error('direct_is_fixed');
    end if;
    update chat.participants as p
    set left_at = chat_private.now()
    where
        p.conversation_id = v_conversation.id
        and p.user_id = v_participant.user_id
        and p.left_at is null;
end;
$$;
revoke execute on function chat_private.leave(uuid) from public, anon;
grant execute on function chat_private.leave(uuid) to authenticated;

create function chat.leave(conversation_id uuid)
returns void
language sql
set search_path = ''
begin atomic
select chat_private.leave(conversation_id);
end;
comment on function chat.leave(uuid) is
    'Leaves a conversation. When the last owner leaves, whoever has been an admin or else a member '
    'longest becomes the owner.';
revoke execute on function chat.leave(uuid) from public, anon;
grant execute on function chat.leave(uuid) to authenticated;

-- Security definer: writes what its caller may only read. Checks that the caller is an owner and
-- that one is left.
create function chat_private.set_role(conversation_id uuid, user_id uuid, role text)
returns chat.participants
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_conversation chat.conversations :=
        chat_private.require_admin(set_role.conversation_id);
    v_participant chat.participants :=
        chat_private.require_participant(set_role.conversation_id);
begin
    if v_participant.role <> 'owner' then
        perform chat_private.raise_error('not_the_owner');
    end if;
    select p.* into v_participant
    from chat.participants as p
    where
        p.conversation_id = v_conversation.id
        and p.user_id = set_role.user_id
        and p.left_at is null;
    if not found then
        perform chat_private.raise_error('participant_not_found');
    end if;
    if v_participant.role = set_role.role::chat.participant_role then
        return v_participant;
    end if;
    if v_participant.role = 'owner' and not exists (
        select
        from chat.participants as p
        where
            p.conversation_id = v_conversation.id
            and p.left_at is null
            and p.role = 'owner'
            and p.user_id <> v_participant.user_id
    ) then
        perform chat_private.raise_error('last_owner');
    end if;
    v_conversation := chat_private.next_rev(v_conversation.id);
    update chat.participants as p
    set role = set_role.role::chat.participant_role,
        rev = v_conversation.rev
    where p.conversation_id = v_conversation.id and p.user_id = v_participant.user_id
    returning p.* into v_participant;
    perform chat_private.broadcast_change(
        v_conversation,
        'participant_updated',
        jsonb_build_object('user_id', v_participant.user_id, 'role', v_participant.role)
    );
    return v_participant;
end;
$$;
revoke execute on function chat_private.set_role(uuid, uuid, text) from public, anon;
grant execute on function chat_private.set_role(uuid, uuid, text) to authenticated;

create function chat.set_role(conversation_id uuid, user_id uuid, role text)
returns chat.participants
language sql
set search_path = ''
begin atomic
select chat_private.set_role(conversation_id, user_id, role);
end;
comment on function chat.set_role(uuid, uuid, text) is
    'Makes a participant owner, admin or member. For owners; the last one stays an owner.';
revoke execute on function chat.set_role(uuid, uuid, text) from public, anon;
grant execute on function chat.set_role(uuid, uuid, text) to authenticated;

-- Security definer: writes what its caller may only read. Checks that the caller administers the
-- conversation.
create function chat_private.update_conversation(conversation_id uuid, title text, status text)
returns chat.conversations
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_conversation chat.conversations :=
        chat_private.require_admin(update_conversation.conversation_id);
    v_title constant text := coalesce(update_conversation.title, v_conversation.title);
    v_status constant chat.conversation_status := coalesce(
        update_conversation.status::chat.conversation_status, v_conversation.status
    );
begin
    if (v_title, v_status) is not distinct from (v_conversation.title, v_conversation.status) then
        return v_conversation;
    end if;
    update chat.conversations as c
    set title = v_title,
        status = v_status,
        rev = c.rev + 1
    where c.id = v_conversation.id
    returning c.* into v_conversation;
    perform chat_private.broadcast_change(
        v_conversation,
        'conversation_updated',
        jsonb_build_object('title', v_conversation.title, 'status', v_conversation.status)
    );
    return v_conversation;
end;
$$;
revoke execute on function chat_private.update_conversation(uuid, text, text) from public, anon;
grant execute on function chat_private.update_conversation(uuid, text, text) to authenticated;

create function chat.update_conversation(
    conversation_id uuid,
    title text default null,
    status text default null
)
returns chat.conversations
language sql
set search_path = ''
begin atomic
select chat_private.update_conversation(conversation_id, title, status);
end;
comment on function chat.update_conversation(uuid, text, text) is
    'Changes the title or the status (open, closed) of a conversation; null leaves it as it is. '
    'In a closed one nobody writes.';
revoke execute on function chat.update_conversation(uuid, text, text) from public, anon;
grant execute on function chat.update_conversation(uuid, text, text) to authenticated;
