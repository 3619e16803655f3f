-- Purpose: tells participants of changes through Realtime, and nobody else.
-- Objects: policies on realtime.messages; triggers on chat.messages and chat.participants.
-- Locks:   share row exclusive on realtime.messages, for as long as it takes to add policies.
-- Breaking: no.
--
-- Topics, all private:
--   conversation:<id>:<epoch>         what happens in a conversation; only the database writes
--   conversation:<id>:<epoch>:typing  typing; participants write, so nothing here is to be trusted
--   user:<id>                         what happens to one user's inbox; only the database writes
-- Every event of a conversation carries its rev: a client that sees one missing knows it.

set lock_timeout = '5s';

-- Functions ------------------------------------------------------------------------------------

-- realtime.send() makes one row a call and a subtransaction each; this makes them all in one.
-- Like it, it warns and goes on when Realtime cannot take the rows: the change itself is stored.
create function chat_private.broadcast(event text, topics text [], payloads jsonb [])
returns void
language plpgsql
set search_path = ''
as $$
begin
    insert into realtime.messages (topic, extension, event, payload, private)
    select
        b.topic,
        'broadcast',
        broadcast.event,
        b.payload,
        true
    from unnest(broadcast.topics, broadcast.payloads) as b (topic, payload);
exception
    when others then
        raise warning using
            message = 'Realtime did not take an event.',
            detail = sqlerrm,
            hint = 'Clients learn of the change when they next read.';
end;
$$;
revoke execute on function chat_private.broadcast(text, text [], jsonb [])
from public, anon, authenticated;

-- Not in SQL, as are none of those that a send calls: such a body is planned anew by each call, which
-- was a tenth of all that sending costs.
create function chat_private.conversation_topic(conversation_id uuid, epoch integer)
returns text
language plpgsql
immutable
parallel safe
set search_path = ''
as $$
begin
    return 'conversation:' || conversation_topic.conversation_id || ':' || conversation_topic.epoch;
end;
$$;
revoke execute on function chat_private.conversation_topic(uuid, integer)
from public, anon, authenticated;

-- One event of a conversation: to its topic, and to the inboxes of those who take part, where the
-- payload also has the receiver's unread_count. Reach 'inboxes' leaves the topic out, and no inbox.
-- About a message that not all who hear it may read, or that soon nobody may, it says which one and no
-- more.
create function chat_private.broadcast_change(
    conversation chat.conversations,
    event text,
    change jsonb,
    reach text default 'all'
)
returns void
language plpgsql
set search_path = ''
as $$
declare
    v_seq constant bigint := (change ->> 'seq')::bigint;
    v_payload jsonb := jsonb_build_object(
        'conversation_id', conversation.id,
        'epoch', conversation.epoch,
        'rev', conversation.rev
    );
    v_topics text [];
    v_payloads jsonb [];
begin
    -- A new message is everybody's: sending one looks for nobody.
    v_payload := v_payload || case
        when event <> 'message_created' and exists (
            select
            from chat.participants as p
            where
                p.conversation_id = conversation.id
                and p.left_at is null
                and p.visible_from_seq > v_seq
        ) then jsonb_build_object('seq', v_seq)
        -- Realtime may replay what it is told for some days: not what nobody may read by then.
        when (change #>> '{message,expires_at}')::timestamptz
            <= chat_private.now() + interval '4 days'
            then jsonb_build_object('seq', v_seq)
        else change
    end;
    if reach = 'inboxes'
        or conversation.participant_count
        <= (chat_private.settings_for(conversation.tenant_id)).fan_out_limit
    then
        select
            array_agg('user:' || p.user_id),
            array_agg(
                v_payload || jsonb_build_object(
                    'unread_count',
                    conversation.message_count - p.read_count + coalesce(s.unread_adjustment, 0)
                    - case
                        when conversation.expires_from <= chat_private.now()
                            then chat_private.count_expired_unread(p.conversation_id, p.user_id)
                        else 0
                    end
                )
            )
        into v_topics, v_payloads
        from chat.participants as p
        left join chat.participant_settings as s
            on p.conversation_id = s.conversation_id and p.user_id = s.user_id
        where p.conversation_id = conversation.id and p.left_at is null;
    end if;
    if reach = 'all' then
        v_topics := chat_private.conversation_topic(conversation.id, conversation.epoch)
            || v_topics;
        v_payloads := v_payload || v_payloads;
    end if;
    perform chat_private.broadcast(event, v_topics, v_payloads);
end;
$$;
revoke execute on function
chat_private.broadcast_change(chat.conversations, text, jsonb, text)
from public, anon, authenticated;

-- Security definer: reads and writes what the sender may not.
create function chat_private.broadcast_message()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_conversation chat.conversations;
begin
    select c.* into v_conversation
    from chat.conversations as c
    where c.id = new.conversation_id;
    -- Of several messages in one statement, each has a rev of its own.
    v_conversation.rev := new.rev;
    perform chat_private.broadcast_change(
        v_conversation,
        'message_created',
        jsonb_build_object('seq', new.seq, 'message', to_jsonb(new))
    );
    return null;
end;
$$;
revoke execute on function chat_private.broadcast_message() from public, anon, authenticated;

-- Counts those who joined and says so, once a statement and conversation. Whoever joins without the
-- history starts a new topic: Realtime may replay of the old one what was said before.
-- Security definer: reads and writes what those who start a conversation may not.
create function chat_private.announce_joined()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_joined record;
    v_conversation chat.conversations;
begin
    for v_joined in
        select
            n.conversation_id,
            count(*) as number,
            bool_or(n.visible_from_seq > 1) as is_partial,
            jsonb_agg(jsonb_build_object('user_id', n.user_id, 'role', n.role)) as people
        from new_participants as n
        where n.left_at is null
        group by n.conversation_id
        order by n.conversation_id
    loop
        update chat.conversations as c
        set participant_count = c.participant_count + v_joined.number,
            rev = c.rev + 1,
            epoch = c.epoch + v_joined.is_partial::integer
        where c.id = v_joined.conversation_id
        returning c.* into v_conversation;
        update chat.participants as p
        set rev = v_conversation.rev
        where
            p.conversation_id = v_joined.conversation_id
            and p.user_id in (
                select n.user_id
                from new_participants as n
                where n.conversation_id = v_joined.conversation_id
            );
        perform chat_private.broadcast_change(
            v_conversation,
            'participant_joined',
            jsonb_build_object('participants', v_joined.people),
            case when v_joined.is_partial then 'inboxes' else 'all' end
        );
    end loop;
    return null;
end;
$$;
revoke execute on function chat_private.announce_joined() from public, anon, authenticated;

-- A conversation that has owners keeps one: when the last leaves, whoever has been an admin
-- longest, else whoever has taken part longest, follows.
create function chat_private.keep_an_owner(conversation chat.conversations)
returns void
language plpgsql
set search_path = ''
as $$
begin
    if conversation.kind = 'direct' or exists (
        select
        from chat.participants as p
        where p.conversation_id = conversation.id and p.left_at is null and p.role = 'owner'
    ) then
        return;
    end if;
    update chat.participants as p
    set role = 'owner',
        rev = conversation.rev
    where
        p.conversation_id = conversation.id
        and p.user_id = (
            select s.user_id
            from chat.participants as s
            where s.conversation_id = conversation.id and s.left_at is null
            order by s.role, s.joined_at, s.user_id
            limit 1
        );
end;
$$;
revoke execute on function chat_private.keep_an_owner(chat.conversations)
from public, anon, authenticated;

-- Somebody left, was removed, was deleted, or came back. Leaving moves the conversation to a new
-- topic, for a socket that has joined the old one keeps hearing it; so the news goes to inboxes
-- alone: of all who stay, whatever their number, and of the one who left.
-- Security definer: as above.
create function chat_private.announce_membership()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_is_back constant boolean := tg_op = 'UPDATE' and new.left_at is null;
    v_is_partial constant boolean := v_is_back and new.visible_from_seq > 1;
    v_conversation chat.conversations;
begin
    update chat.conversations as c
    set participant_count = c.participant_count + case
            when v_is_back then 1
            when tg_op = 'DELETE' and old.left_at is not null then 0
            else -1
        end,
        rev = c.rev + 1,
        epoch = c.epoch + (v_is_partial or not v_is_back)::integer,
        -- Of a row that is gone, sync has nothing to show.
        sync_from_rev = case when tg_op = 'DELETE' then c.rev + 1 else c.sync_from_rev end
    where c.id = old.conversation_id
    returning c.* into v_conversation;
    if not found then
        -- The conversation itself is being deleted.
        return null;
    end if;
    update chat.participants as p
    set rev = v_conversation.rev
    where p.conversation_id = old.conversation_id and p.user_id = old.user_id;
    if not v_is_back then
        perform chat_private.keep_an_owner(v_conversation);
    end if;
    if v_is_back then
        perform chat_private.broadcast_change(
            v_conversation,
            'participant_joined',
            jsonb_build_object(
                'participants',
                jsonb_build_array(jsonb_build_object('user_id', new.user_id, 'role', new.role))
            ),
            case when v_is_partial then 'inboxes' else 'all' end
        );
        return null;
    end if;
    perform chat_private.broadcast_change(
        v_conversation,
        'participant_left',
        jsonb_build_object('user_id', old.user_id),
        'inboxes'
    );
    perform chat_private.broadcast(
        'participant_left',
        array['user:' || old.user_id],
        array[
            jsonb_build_object('conversation_id', old.conversation_id, 'user_id', old.user_id)
        ]
    );
    return null;
end;
$$;
revoke execute on function chat_private.announce_membership() from public, anon, authenticated;

-- Whoever is deleted, or removed from a tenant, leaves conversations: these are locked before any
-- row of theirs is, as in every write, and in one order. One that somebody has left already is not:
-- whoever adds them there again holds its lock and waits for their membership.
-- Security definer: as above.
create function chat_private.lock_conversations_left()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := coalesce(to_jsonb(old) ->> 'user_id', to_jsonb(old) ->> 'id');
begin
    perform
    from chat.conversations as c
    where
        c.id in (
            select p.conversation_id
            from chat.participants as p
            where p.user_id = v_user_id and (tg_op = 'DELETE' or p.left_at is null)
        )
    order by c.id
    for no key update;
    return case tg_op when 'DELETE' then old else new end;
end;
$$;
revoke execute on function chat_private.lock_conversations_left()
from public, anon, authenticated;

-- Leaving a tenant is leaving its conversations.
-- Security definer: as above.
create function chat_private.leave_tenant_conversations()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    update chat.participants as p
    set left_at = new.removed_at
    where p.tenant_id = new.tenant_id and p.user_id = new.user_id and p.left_at is null;
    return null;
end;
$$;
revoke execute on function chat_private.leave_tenant_conversations()
from public, anon, authenticated;

-- Which of our topics the caller may hear. Asked once when a socket joins; the answer is cached
-- by Realtime, which is why topics carry an epoch.
-- Security definer: as conversation_ids_for_member.
create function chat_private.can_use_topic(topic text, purpose text)
returns boolean
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
    v_parts constant text [] := regexp_match(
        can_use_topic.topic,
        '^conversation:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):([1-9][0-9]{0,8})(:typing)?$'
    );
begin
    if purpose = 'hear' and can_use_topic.topic = 'user:' || auth.uid() then
        return true;
    end if;
    if v_parts is null or (purpose = 'write' and v_parts[3] is null) then
        return false;
    end if;
    return exists (
        select
        from chat.participants as p
        inner join chat.conversations as c on p.conversation_id = c.id
        where
            c.id = v_parts[1]::uuid
            and c.epoch = v_parts[2]::integer
            and p.user_id = auth.uid()
            and p.left_at is null
            and (
                c.kind <> 'direct'
                or not chat_private.is_blocked_between(c.user_low_id, c.user_high_id)
            )
            -- What is sent here is anything: whoever may not write does not type either.
            and (
                purpose <> 'write'
                or (
                    c.status = 'open'
                    and (p.silenced_until is null or p.silenced_until <= chat_private.now())
                )
            )
    );
end;
$$;
revoke execute on function chat_private.can_use_topic(text, text) from public, anon;
grant execute on function chat_private.can_use_topic(text, text) to authenticated;

-- Triggers -------------------------------------------------------------------------------------

create trigger messages_broadcast_message
after insert on chat.messages
for each row
when (chat_private.is_live())
execute function chat_private.broadcast_message();

create trigger participants_announce_joined
after insert on chat.participants
referencing new table as new_participants
for each statement
when (chat_private.is_live())
execute function chat_private.announce_joined();

create trigger participants_announce_membership
after update of left_at on chat.participants
for each row
when ((old.left_at is null) <> (new.left_at is null))
execute function chat_private.announce_membership();

create trigger participants_announce_deletion
after delete on chat.participants
for each row
when (chat_private.is_live())
execute function chat_private.announce_membership();

create trigger profiles_lock_conversations_left
before delete on chat.profiles
for each row execute function chat_private.lock_conversations_left();

create trigger tenant_members_lock_conversations_left
before update of removed_at on chat.tenant_members
for each row
when (old.removed_at is null and new.removed_at is not null)
execute function chat_private.lock_conversations_left();

create trigger tenant_members_lock_conversations_left_by_deleted
before delete on chat.tenant_members
for each row execute function chat_private.lock_conversations_left();

create trigger tenant_members_leave_tenant_conversations
after update of removed_at on chat.tenant_members
for each row
when (old.removed_at is null and new.removed_at is not null)
execute function chat_private.leave_tenant_conversations();

-- Policies -------------------------------------------------------------------------------------

create policy "parley: users can hear their conversations and their inbox"
on realtime.messages for select
to authenticated
using (
    extension = 'broadcast'
    and (select chat_private.can_use_topic(realtime.topic(), 'hear'))
);

create policy "parley: participants can say that they are typing"
on realtime.messages for insert
to authenticated
with check (
    extension = 'broadcast'
    and (select chat_private.can_use_topic(realtime.topic(), 'write'))
);

-- For frontends that prefer postgres_changes to broadcasts.
do $$
begin
    if exists (select from pg_catalog.pg_publication where pubname = 'supabase_realtime') then
        alter publication supabase_realtime add table chat.messages;
    end if;
end;
$$;
