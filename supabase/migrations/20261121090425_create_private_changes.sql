-- Purpose: hiding messages for oneself, and counting what changes for one participant alone.
-- Objects: table chat_private.unhidden_messages; functions chat.hide_message, chat.unhide_message,
--          chat_private.touch_private; triggers on chat.participant_settings.
-- Locks:   share row exclusive on chat.participant_settings, for as long as it takes to add triggers.
-- Breaking: no.

set lock_timeout = '5s';

-- Tables ---------------------------------------------------------------------------------------

create table chat_private.unhidden_messages (
    conversation_id uuid not null,
    message_seq bigint not null,
    user_id uuid not null,
    private_rev bigint not null,
    primary key (conversation_id, user_id, message_seq),
    constraint unhidden_messages_message_seq_fkey foreign key (conversation_id, message_seq)
    references chat.messages (conversation_id, seq) on delete cascade,
    constraint unhidden_messages_user_id_fkey foreign key (conversation_id, user_id)
    references chat.participants (conversation_id, user_id) on delete cascade
);
comment on table chat_private.unhidden_messages is
    'What somebody hid and took back, with the rev of their settings then: devices that did not '
    'have the message are sent it.';
alter table chat_private.unhidden_messages enable row level security;

-- Indexes --------------------------------------------------------------------------------------

-- Serves: the foreign key to messages.
create index unhidden_messages_message_seq_idx
on chat_private.unhidden_messages (conversation_id, message_seq);

-- Functions ------------------------------------------------------------------------------------

-- A change of what is private to one participant: counts it. The trigger of the table tells their
-- other devices.
create function chat_private.touch_private(conversation_id uuid, user_id uuid)
returns void
language plpgsql
set search_path = ''
as $$
begin
    insert into chat.participant_settings as s (conversation_id, user_id)
    values (touch_private.conversation_id, touch_private.user_id)
    on conflict on constraint participant_settings_pkey do update
    set rev = s.rev + 1;
end;
$$;
revoke execute on function chat_private.touch_private(uuid, uuid)
from public, anon, authenticated;

-- How a participant's private marks change their unread count: messages marked unread that the
-- watermark has passed count again, hidden ones that it has not passed do not.
create function chat_private.unread_adjustment(settings chat.participant_settings)
returns bigint
language plpgsql
stable
set search_path = ''
as $$
declare
    v_last_read_seq constant bigint := (
        select p.last_read_seq
        from chat.participants as p
        where p.conversation_id = settings.conversation_id and p.user_id = settings.user_id
    );
begin
    return (
        select count(*)
        from chat.messages as m
        where
            m.conversation_id = settings.conversation_id
            and m.seq between settings.unread_from_seq and v_last_read_seq
            and m.kind <> 'system'
            and m.sender_id is distinct from settings.user_id
            and m.deleted_at is null
            and not exists (
                select
                from chat.hidden_messages as h
                where
                    h.conversation_id = m.conversation_id
                    and h.message_seq = m.seq
                    and h.user_id = settings.user_id
            )
    ) - (
        select count(*)
        from chat.hidden_messages as h
        inner join chat.messages as m
            on h.conversation_id = m.conversation_id and h.message_seq = m.seq
        where
            h.conversation_id = settings.conversation_id
            and h.user_id = settings.user_id
            and m.seq > v_last_read_seq
            and m.kind <> 'system'
            and m.sender_id is distinct from settings.user_id
            and m.deleted_at is null
    );
end;
$$;
revoke execute on function chat_private.unread_adjustment(chat.participant_settings)
from public, anon, authenticated;

-- Security definer: a client that changes its settings must not count by what it can read.
create function chat_private.count_private_change()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    new.rev := case when tg_op = 'INSERT' then 1 else old.rev + 1 end;
    new.unread_adjustment := chat_private.unread_adjustment(new);
    return new;
end;
$$;
revoke execute on function chat_private.count_private_change() from public, anon, authenticated;

-- Security definer: a client that changes its settings has no right to write events.
create function chat_private.announce_private_change()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform chat_private.broadcast(
        'private_changed',
        array['user:' || new.user_id],
        array[
            jsonb_build_object('conversation_id', new.conversation_id, 'private_rev', new.rev)
        ]
    );
    return null;
end;
$$;
revoke execute on function chat_private.announce_private_change()
from public, anon, authenticated;

-- Security definer: writes a table its caller may only read. Touches what is the caller's own
-- alone.
create function chat_private.hide_message(conversation_id uuid, seq bigint, is_hidden boolean)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_participant chat.participants :=
        chat_private.require_participant(hide_message.conversation_id);
    v_message chat.messages;
begin
    perform chat_private.lock_conversation(hide_message.conversation_id);
    select m.* into v_message
    from chat.messages as m
    where
        m.conversation_id = v_participant.conversation_id
        and m.seq = hide_message.seq
        and m.seq >= v_participant.visible_from_seq;
    if not found then
        perform chat_private.raise_error('message_not_found');
    end if;
    if hide_message.is_hidden then
        insert into chat.hidden_messages (conversation_id, message_seq, user_id)
        values (v_message.conversation_id, v_message.seq, v_participant.user_id)
        on conflict do nothing;
    else
        delete from chat.hidden_messages as h
        where
            h.conversation_id = v_message.conversation_id
            and h.message_seq = v_message.seq
            and h.user_id = v_participant.user_id;
    end if;
    if not found then
        return;
    end if;
    perform chat_private.touch_private(v_participant.conversation_id, v_participant.user_id);
    if hide_message.is_hidden then
        delete from chat_private.unhidden_messages as u
        where
            u.conversation_id = v_message.conversation_id
            and u.user_id = v_participant.user_id
            and u.message_seq = v_message.seq;
    else
        insert into chat_private.unhidden_messages (
            conversation_id, message_seq, user_id, private_rev
        )
        select s.conversation_id, v_message.seq, s.user_id, s.rev
        from chat.participant_settings as s
        where
            s.conversation_id = v_participant.conversation_id
            and s.user_id = v_participant.user_id;
    end if;
end;
$$;
revoke execute on function chat_private.hide_message(uuid, bigint, boolean) from public, anon;
grant execute on function chat_private.hide_message(uuid, bigint, boolean) to authenticated;

create function chat.hide_message(conversation_id uuid, seq bigint)
returns void
language sql
set search_path = ''
begin atomic
select chat_private.hide_message(conversation_id, seq, true);
end;
comment on function chat.hide_message(uuid, bigint) is
    'Deletes a message for the caller alone. Hiding again changes nothing.';
revoke execute on function chat.hide_message(uuid, bigint) from public, anon;
grant execute on function chat.hide_message(uuid, bigint) to authenticated;

create function chat.unhide_message(conversation_id uuid, seq bigint)
returns void
language sql
set search_path = ''
begin atomic
select chat_private.hide_message(conversation_id, seq, false);
end;
comment on function chat.unhide_message(uuid, bigint) is 'Undoes hide_message.';
revoke execute on function chat.unhide_message(uuid, bigint) from public, anon;
grant execute on function chat.unhide_message(uuid, bigint) to authenticated;

-- Triggers -------------------------------------------------------------------------------------

create trigger participant_settings_count_private_change
before insert or update on chat.participant_settings
for each row execute function chat_private.count_private_change();

create trigger participant_settings_announce_private_change
after insert or update on chat.participant_settings
for each row
when (chat_private.is_live())
execute function chat_private.announce_private_change();
