-- Purpose: whom a message mentions, and unread mentions.
-- Objects: table chat.mentions; triggers on chat.messages.
-- Locks:   share row exclusive on chat.messages, for as long as it takes to add triggers.
-- Breaking: no.

set lock_timeout = '5s';

insert into chat_private.errors (code, state, message, hint)
values
    (
        'too_many_mentions', '22023',
        'A message mentions at most 50 people.',
        'Mention fewer; owners and admins can mention everybody with mention_all.'
    ),
    (
        'not_allowed_to_mention_all', '42501',
        'Only an owner or admin of the conversation can mention everybody.',
        'Mention people one by one.'
    );

-- Tables ---------------------------------------------------------------------------------------

create table chat.mentions (
    conversation_id uuid not null,
    message_seq bigint not null,
    user_id uuid,
    constraint mentions_message_seq_user_id_key
    unique nulls not distinct (conversation_id, message_seq, user_id),
    constraint mentions_message_seq_fkey foreign key (conversation_id, message_seq)
    references chat.messages (conversation_id, seq) on delete cascade,
    constraint mentions_user_id_fkey foreign key (user_id, conversation_id)
    references chat.participants (user_id, conversation_id) on delete cascade
);
comment on table chat.mentions is
    'Whom a message mentions. Written by send_message and edit_message. Not those who do not take '
    'part, nor the sender, nor anybody blocked with them.';
comment on column chat.mentions.user_id is
    'Null: everybody. One row for that, not one for each; made by mention_all in the metadata.';
alter table chat.mentions enable row level security;
grant select on chat.mentions to authenticated, service_role;

-- Indexes --------------------------------------------------------------------------------------

-- Serves: unread mentions of one user in a conversation, those of everybody (user_id null)
-- included; the foreign key.
create index mentions_user_id_conversation_id_message_seq_idx
on chat.mentions (user_id, conversation_id, message_seq);

-- Functions ------------------------------------------------------------------------------------

-- Stores whom a message mentions, instead of whom it did: of those named, who takes part, can read
-- it, is not its sender and not blocked with them. The caller has locked the conversation.
create function chat_private.set_mentions(
    conversation_id uuid,
    message_seq bigint,
    user_ids uuid []
)
returns void
language plpgsql
set search_path = ''
as $$
declare
    v_user_ids uuid [] := array(
        select distinct u.id from unnest(set_mentions.user_ids) as u (id) where u.id is not null
    );
begin
    if cardinality(v_user_ids) > 50 then
        perform chat_private.raise_error('too_many_mentions');
    end if;
    v_user_ids := array(
        select p.user_id
        from chat.participants as p
        inner join chat.messages as m on p.conversation_id = m.conversation_id
        where
            m.conversation_id = set_mentions.conversation_id
            and m.seq = set_mentions.message_seq
            and p.user_id = any (v_user_ids)
            and p.left_at is null
            and p.visible_from_seq <= m.seq
            and p.user_id is distinct from m.sender_id
            and not chat_private.is_blocked_between(p.user_id, m.sender_id)
    );
    delete from chat.mentions as n
    where
        n.conversation_id = set_mentions.conversation_id
        and n.message_seq = set_mentions.message_seq
        and n.user_id <> all (v_user_ids);
    insert into chat.mentions (conversation_id, message_seq, user_id)
    select
        set_mentions.conversation_id,
        set_mentions.message_seq,
        u.id
    from unnest(v_user_ids) as u (id)
    on conflict do nothing;
end;
$$;
revoke execute on function chat_private.set_mentions(uuid, bigint, uuid [])
from public, anon, authenticated;

-- A message with mention_all mentions everybody: whether its sender may say so, and the row of it.
-- Security definer: whoever writes a message needs no rights on the mentions.
create function chat_private.set_mention_all()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    if new.metadata -> 'mention_all' is distinct from 'true'::jsonb then
        delete from chat.mentions as n
        where
            n.conversation_id = new.conversation_id
            and n.message_seq = new.seq
            and n.user_id is null;
        return null;
    end if;
    if not exists (
        select
        from chat.participants as p
        where
            p.conversation_id = new.conversation_id
            and p.user_id = new.sender_id
            and p.role in ('owner', 'admin')
    ) then
        perform chat_private.raise_error('not_allowed_to_mention_all');
    end if;
    insert into chat.mentions (conversation_id, message_seq, user_id)
    values (new.conversation_id, new.seq, null)
    on conflict do nothing;
    return null;
end;
$$;
revoke execute on function chat_private.set_mention_all() from public, anon, authenticated;

-- The conversation knows its newest mention, so that the inbox looks for none where there is none.
-- Security definer: as above.
create function chat_private.keep_last_mention()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    update chat.conversations as c
    set last_mention_seq = n.seq
    from (
        select
            m.conversation_id,
            max(m.message_seq) as seq
        from new_mentions as m
        group by m.conversation_id
    ) as n
    where c.id = n.conversation_id and c.last_mention_seq < n.seq;
    return null;
end;
$$;
revoke execute on function chat_private.keep_last_mention() from public, anon, authenticated;

-- Security definer: under row security each message would be asked anew whether it can be read.
-- Counts, of the caller's own conversations alone, what the policies let them read.
create function chat_private.unread_mentions(conversation_ids uuid [])
returns table (tenant_id uuid, number bigint)
language plpgsql
stable
security definer
rows 1
set search_path = ''
as $$
begin
    return query
    with mine as (
        select
            p.tenant_id,
            p.conversation_id,
            p.user_id,
            p.visible_from_seq,
            coalesce(s.unread_from_seq - 1, p.last_read_seq) as read_to
        from chat.participants as p
        left join chat.participant_settings as s
            on p.conversation_id = s.conversation_id and p.user_id = s.user_id
        where
            p.user_id = auth.uid()
            and p.conversation_id = any (unread_mentions.conversation_ids)
            and p.left_at is null
    )

    select
        i.tenant_id,
        count(*)
    from mine as i
    inner join chat.conversations as c
        on i.conversation_id = c.id and i.read_to < c.last_mention_seq
    cross join lateral (
        select n.message_seq
        from chat.mentions as n
        where
            n.user_id = i.user_id
            and n.conversation_id = i.conversation_id
            and n.message_seq > i.read_to
        union
        select n.message_seq
        from chat.mentions as n
        where
            n.user_id is null
            and n.conversation_id = i.conversation_id
            and n.message_seq > i.read_to
    ) as n
    where
        n.message_seq >= i.visible_from_seq
        -- As a value: a join may read all messages of the conversation to find these few.
        and (
            select
                m.sender_id is distinct from i.user_id
                and m.deleted_at is null
                and (m.expires_at is null or m.expires_at > chat_private.now())
            from chat.messages as m
            where m.conversation_id = i.conversation_id and m.seq = n.message_seq
        )
        and not exists (
            select
            from chat.hidden_messages as h
            where
                h.conversation_id = i.conversation_id
                and h.message_seq = n.message_seq
                and h.user_id = i.user_id
        )
    group by i.tenant_id;
end;
$$;
comment on function chat_private.unread_mentions(uuid []) is
    'How many unread messages of others in these conversations mention the caller or everybody.';
revoke execute on function chat_private.unread_mentions(uuid []) from public, anon;
grant execute on function chat_private.unread_mentions(uuid []) to authenticated;

-- Triggers -------------------------------------------------------------------------------------

create trigger messages_set_mention_all
after insert on chat.messages
for each row
when (new.metadata ? 'mention_all')
execute function chat_private.set_mention_all();

create trigger messages_reset_mention_all
after update of metadata on chat.messages
for each row
when (
    new.metadata -> 'mention_all' is distinct from old.metadata -> 'mention_all'
    and new.deleted_at is null
)
execute function chat_private.set_mention_all();

create trigger mentions_keep_last_mention
after insert on chat.mentions
referencing new table as new_mentions
for each statement execute function chat_private.keep_last_mention();

-- Policies -------------------------------------------------------------------------------------

-- Policies on chat.messages narrow the inner queries to what the caller can read.
create policy "participants can read mentions in messages they can read"
on chat.mentions for select
to authenticated
using (
    conversation_id = any (array(select chat_private.conversation_ids_for_member()))
    and exists (
        select
        from chat.messages as m
        where
            m.conversation_id = mentions.conversation_id
            and m.seq = mentions.message_seq
            and m.deleted_at is null
    )
);
