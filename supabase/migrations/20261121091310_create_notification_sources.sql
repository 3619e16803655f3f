-- Purpose: notifications about messages, and of the app's own.
-- Objects: function chat.send_notification; triggers on chat.messages, chat.mentions and
--          chat.reactions.
-- Locks:   share row exclusive on these tables, for as long as it takes to add triggers.
-- Breaking: no.

set lock_timeout = '5s';

-- Functions ------------------------------------------------------------------------------------

-- Tells these of their new notifications, on their own topics: which, and what they are about, but
-- nothing of what it says, for Realtime keeps what it is told. Who may read it reads it.
create function chat_private.announce_notifications(notifications chat.notifications [])
returns void
language plpgsql
set search_path = ''
as $$
begin
    if cardinality(notifications) > 0 then
        perform chat_private.broadcast(
            'notification_created',
            array(select 'user:' || n.user_id from unnest(notifications) as n order by n.id),
            array(
                select
                    jsonb_build_object(
                        'id', n.id,
                        'type', n.type,
                        'actor_id', n.actor_id,
                        'conversation_id', n.conversation_id,
                        'message_seq', n.message_seq,
                        'created_at', n.created_at
                    )
                from unnest(notifications) as n
                order by n.id
            )
        );
    end if;
end;
$$;
revoke execute on function chat_private.announce_notifications(chat.notifications [])
from public, anon, authenticated;

-- Writes a notification for each of these users who can know of it and wants to: not for who did
-- it, nor between two of whom one blocked the other.
create function chat_private.notify(
    user_ids uuid [],
    type chat.notification_type,
    actor_id uuid,
    conversation_id uuid,
    message_seq bigint
)
returns void
language plpgsql
set search_path = ''
as $$
declare
    v_created chat.notifications [];
begin
    with created as (
        insert into chat.notifications as n (
            user_id, type, actor_id, conversation_id, message_seq
        )
        select
            u.id,
            notify.type,
            notify.actor_id,
            notify.conversation_id,
            notify.message_seq
        from (select distinct i.id from unnest(notify.user_ids) as i (id)) as u
        where
            u.id <> coalesce(notify.actor_id, '00000000-0000-0000-0000-000000000000')
            and (
                notify.conversation_id is null
                or exists (
                    select
                    from chat.participants as p
                    where
                        p.conversation_id = notify.conversation_id
                        and p.user_id = u.id
                        and p.left_at is null
                        and (notify.message_seq >= p.visible_from_seq) is not false
                )
            )
            and chat_private.wants_notification(u.id, notify.type, notify.conversation_id)
            and not chat_private.is_blocked_between(u.id, notify.actor_id)
        order by u.id
        on conflict on constraint notifications_message_seq_user_id_key do nothing
        returning n.*
    )

    select array_agg(row(c.*)::chat.notifications) into v_created
    from created as c;
    perform chat_private.announce_notifications(v_created);
end;
$$;
revoke execute on function
chat_private.notify(uuid [], chat.notification_type, uuid, uuid, bigint)
from public, anon, authenticated;

-- Who is answered, and whose thread it is in.
-- Security definer: whoever sends has no rights on the notifications of others.
create function chat_private.notify_of_reply()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform chat_private.notify(
        array(
            select m.sender_id
            from chat.messages as m
            where
                m.conversation_id = new.conversation_id
                and m.seq in (new.reply_to_seq, new.thread_root_seq)
                and m.sender_id is not null
        ),
        'reply',
        new.sender_id,
        new.conversation_id,
        new.seq
    );
    return null;
end;
$$;
revoke execute on function chat_private.notify_of_reply() from public, anon, authenticated;

-- Those who are mentioned by name, at most 50. That everybody is (user_id null) is counted in the
-- inbox and written for nobody.
-- Security definer: as above.
create function chat_private.notify_of_mentions()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform chat_private.notify(
        array_agg(n.user_id), 'mention', m.sender_id, m.conversation_id, m.seq
    )
    from new_mentions as n
    inner join chat.messages as m
        on n.conversation_id = m.conversation_id and n.message_seq = m.seq
    where n.user_id is not null
    group by m.conversation_id, m.seq;
    return null;
end;
$$;
revoke execute on function chat_private.notify_of_mentions() from public, anon, authenticated;

-- An edit took the mention back.
-- Security definer: as above.
create function chat_private.drop_notification_of_mention()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    delete from chat.notifications as n
    where
        n.conversation_id = old.conversation_id
        and n.message_seq = old.message_seq
        and n.user_id = old.user_id
        and n.type = 'mention';
    return null;
end;
$$;
revoke execute on function chat_private.drop_notification_of_mention()
from public, anon, authenticated;

-- Whose message it is hears of the first reaction; how many there are, the message says.
-- Security definer: as above.
create function chat_private.notify_of_reaction()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform chat_private.notify(
        array[m.sender_id], 'reaction', new.user_id, m.conversation_id, m.seq
    )
    from chat.messages as m
    where
        m.conversation_id = new.conversation_id
        and m.seq = new.message_seq
        and m.sender_id is not null;
    return null;
end;
$$;
revoke execute on function chat_private.notify_of_reaction() from public, anon, authenticated;

-- Whoever it told of took their last reaction back.
-- Security definer: as above.
create function chat_private.drop_notification_of_reaction()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    delete from chat.notifications as n
    where
        n.conversation_id = old.conversation_id
        and n.message_seq = old.message_seq
        and n.type = 'reaction'
        and n.actor_id = old.user_id
        and not exists (
            select
            from chat.reactions as r
            where
                r.conversation_id = old.conversation_id
                and r.message_seq = old.message_seq
                and r.user_id = old.user_id
        );
    return null;
end;
$$;
revoke execute on function chat_private.drop_notification_of_reaction()
from public, anon, authenticated;

-- Security definer: writes a table that is written by functions alone; for the service role. Asks
-- what the user wants; null says that they do not want it.
create function chat_private.send_notification(
    user_id uuid,
    title text,
    body text,
    metadata jsonb,
    key text
)
returns chat.notifications
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_notification chat.notifications;
begin
    if not chat_private.wants_notification(send_notification.user_id, 'custom', null) then
        return null;
    end if;
    insert into chat.notifications as n (user_id, type, title, body, metadata, key)
    values (
        send_notification.user_id,
        'custom',
        send_notification.title,
        send_notification.body,
        coalesce(send_notification.metadata, '{}'),
        send_notification.key
    )
    on conflict on constraint notifications_user_id_key_key do nothing
    returning n.* into v_notification;
    if not found then
        select n.* into strict v_notification
        from chat.notifications as n
        where n.user_id = send_notification.user_id and n.key = send_notification.key;
        return v_notification;
    end if;
    perform chat_private.announce_notifications(array[v_notification]);
    return v_notification;
end;
$$;
revoke execute on function chat_private.send_notification(uuid, text, text, jsonb, text)
from public, anon, authenticated;
grant execute on function chat_private.send_notification(uuid, text, text, jsonb, text)
to service_role;

create function chat.send_notification(
    user_id uuid,
    title text,
    body text default null,
    metadata jsonb default '{}',
    key text default null
)
returns chat.notifications
language sql
set search_path = ''
begin atomic
select chat_private.send_notification(user_id, title, body, metadata, key);
end;
comment on function chat.send_notification(uuid, text, text, jsonb, text) is
    'Puts a notification of the app''s own into a user''s feed, for the service role. With a key '
    'used before for this user it returns that one. Null when the user turned type custom off.';
revoke execute on function chat.send_notification(uuid, text, text, jsonb, text)
from public, anon, authenticated;
grant execute on function chat.send_notification(uuid, text, text, jsonb, text) to service_role;

-- Triggers -------------------------------------------------------------------------------------

create trigger messages_notify_of_reply
after insert on chat.messages
for each row
when ((new.reply_to_seq is not null or new.thread_root_seq is not null) and chat_private.is_live())
execute function chat_private.notify_of_reply();

create trigger mentions_notify_of_mentions
after insert on chat.mentions
referencing new table as new_mentions
for each statement execute function chat_private.notify_of_mentions();

create trigger mentions_drop_notification_of_mention
after delete on chat.mentions
for each row execute function chat_private.drop_notification_of_mention();

create trigger reactions_notify_of_reaction
after insert on chat.reactions
for each row
when (chat_private.is_live())
execute function chat_private.notify_of_reaction();

create trigger reactions_drop_notification_of_reaction
after delete on chat.reactions
for each row execute function chat_private.drop_notification_of_reaction();
