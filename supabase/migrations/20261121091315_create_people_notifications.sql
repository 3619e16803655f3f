-- Purpose: notifications of being added to a conversation, and about contacts.
-- Objects: triggers on chat.participants and chat.contacts.
-- Locks:   share row exclusive on these tables, for as long as it takes to add triggers.
-- Breaking: no.

set lock_timeout = '5s';

-- Functions ------------------------------------------------------------------------------------

-- Whom somebody else brought in. Not when more come at once than a change is told to one by one:
-- they find the conversation in their inbox, and so do the two of a direct one.
create function chat_private.tell_joined(conversation_id uuid, user_ids uuid [])
returns void
language plpgsql
set search_path = ''
as $$
declare
    v_conversation chat.conversations;
begin
    select c.* into v_conversation
    from chat.conversations as c
    where c.id = tell_joined.conversation_id;
    if v_conversation.kind = 'direct' or cardinality(tell_joined.user_ids)
        > (chat_private.settings_for(v_conversation.tenant_id)).fan_out_limit
    then
        return;
    end if;
    delete from chat.notifications as n
    where
        n.conversation_id = v_conversation.id
        and n.user_id = any (tell_joined.user_ids)
        and n.type = 'added_to_conversation';
    perform chat_private.notify(
        tell_joined.user_ids, 'added_to_conversation', auth.uid(), v_conversation.id, null
    );
end;
$$;
revoke execute on function chat_private.tell_joined(uuid, uuid [])
from public, anon, authenticated;

-- Security definer: whoever adds people has no rights on the notifications of others.
create function chat_private.notify_of_joining()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform chat_private.tell_joined(n.conversation_id, array_agg(n.user_id))
    from new_participants as n
    where n.left_at is null
    group by n.conversation_id;
    return null;
end;
$$;
revoke execute on function chat_private.notify_of_joining() from public, anon, authenticated;

-- Of those who came back.
-- Security definer: as above.
create function chat_private.notify_of_return()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform chat_private.tell_joined(new.conversation_id, array[new.user_id]);
    return null;
end;
$$;
revoke execute on function chat_private.notify_of_return() from public, anon, authenticated;

-- A request is told while it waits; accepted, its sender is told; gone, nobody knows of it.
-- Security definer: as above.
create function chat_private.notify_of_contact()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    if tg_op <> 'INSERT' then
        delete from chat.notifications as n
        where
            n.type in ('contact_request', 'contact_accepted')
            and (
                (n.user_id = old.user_low_id and n.actor_id = old.user_high_id)
                or (n.user_id = old.user_high_id and n.actor_id = old.user_low_id)
            );
    end if;
    if tg_op = 'INSERT' then
        perform chat_private.notify(
            array[new.user_low_id, new.user_high_id],
            'contact_request',
            new.requested_by,
            null,
            null
        );
    elsif tg_op = 'UPDATE' then
        perform chat_private.notify(
            array[new.requested_by],
            'contact_accepted',
            case
                when new.requested_by = new.user_low_id then new.user_high_id
                else new.user_low_id
            end,
            null,
            null
        );
    end if;
    return null;
end;
$$;
revoke execute on function chat_private.notify_of_contact() from public, anon, authenticated;

-- Triggers -------------------------------------------------------------------------------------

-- After participants_announce_joined, by name: the inbox knows the conversation before this.
create trigger participants_notify_of_joining
after insert on chat.participants
referencing new table as new_participants
for each statement
when (chat_private.is_live())
execute function chat_private.notify_of_joining();

create trigger participants_notify_of_return
after update of left_at on chat.participants
for each row
when (old.left_at is not null and new.left_at is null)
execute function chat_private.notify_of_return();

create trigger contacts_notify_of_contact
after insert or delete on chat.contacts
for each row
when (chat_private.is_live())
execute function chat_private.notify_of_contact();

create trigger contacts_notify_of_accepted_contact
after update of state on chat.contacts
for each row
when (old.state = 'pending' and new.state = 'accepted')
execute function chat_private.notify_of_contact();
