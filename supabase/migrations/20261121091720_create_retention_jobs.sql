-- Purpose: messages already sent, when what they live by changes; and back from being removed.
-- Objects: table chat_private.restored_messages; functions chat_private.unbury_message,
--          chat_private.rewrite_expiries, chat_private.run_retention_job.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

-- Tables ---------------------------------------------------------------------------------------

create table chat_private.restored_messages (
    conversation_id uuid not null,
    message_seq bigint not null,
    kept_until timestamptz not null,
    primary key (conversation_id, message_seq),
    constraint restored_messages_message_seq_fkey foreign key (conversation_id, message_seq)
    references chat.messages (conversation_id, seq) on delete cascade
);
comment on table chat_private.restored_messages is
    'Messages brought back after they had expired: until when they live whatever the policy says.';
alter table chat_private.restored_messages enable row level security;

-- Functions ------------------------------------------------------------------------------------

-- The other way of bury_message. The caller has locked the conversation, and tells its participants.
create function chat_private.unbury_message(conversation_id uuid, seq bigint)
returns chat.messages
language plpgsql
set search_path = ''
as $$
declare
    v_removed chat_private.deleted_messages;
    v_message chat.messages;
begin
    delete from chat_private.deleted_messages as d
    where
        d.conversation_id = unbury_message.conversation_id
        and d.message_seq = unbury_message.seq
        and d.purged_at is null
    returning d.* into v_removed;
    if not found then
        return null;
    end if;
    update chat.messages as m
    set body = v_removed.body,
        metadata = v_removed.metadata,
        deleted_at = null
    where m.conversation_id = unbury_message.conversation_id and m.seq = unbury_message.seq
    returning m.* into v_message;
    perform chat_private.count_gone(v_message, -1);
    if v_message.thread_root_seq is not null then
        update chat.messages as m
        set thread_count = m.thread_count + 1
        where m.conversation_id = v_message.conversation_id and m.seq = v_message.thread_root_seq;
    end if;
    return v_message;
end;
$$;
revoke execute on function chat_private.unbury_message(uuid, bigint)
from public, anon, authenticated;

-- A conversation knows when the first of its messages expires, among those of the earliest day; of a day
-- with very many, when that day begins, for a bound is enough: whoever reads it looks again.
create function chat_private.keep_expires_from(conversation_ids uuid [])
returns void
language plpgsql
set search_path = ''
as $$
begin
    update chat.conversations as c
    set expires_from = k.expires_from
    from (
        select
            u.id,
            case
                when f.number = 1000 then d.day::timestamp at time zone 'UTC'
                else f.expires_from
            end as expires_from
        from unnest(keep_expires_from.conversation_ids) as u (id)
        left join lateral (
            select (m.expires_at at time zone 'UTC')::date as day
            from chat.messages as m
            where
                m.conversation_id = u.id and m.deleted_at is null and m.expires_at is not null
            order by (m.expires_at at time zone 'UTC')::date
            limit 1
        ) as d on true
        cross join lateral (
            select
                min(e.expires_at) as expires_from,
                count(*) as number
            from (
                select m.expires_at
                from chat.messages as m
                where
                    m.conversation_id = u.id
                    and m.deleted_at is null
                    and (m.expires_at at time zone 'UTC')::date = d.day
                limit 1000
            ) as e
        ) as f
    ) as k
    where c.id = k.id and c.expires_from is distinct from k.expires_from;
end;
$$;
revoke execute on function chat_private.keep_expires_from(uuid []) from public, anon, authenticated;

-- Writes to messages when they expire by the rule of today, and brings back what was removed as expired
-- and is not. Says how many it changed. The caller has locked the conversations.
create function chat_private.rewrite_expiries(conversation_ids uuid [], seqs bigint [])
returns integer
language plpgsql
set search_path = ''
as $$
declare
    v_conversation_ids uuid [];
    v_seqs bigint [];
begin
    with rewritten as (
        update chat.messages as m
        set expires_at = e.expires_at
        from chat_private.changed_expiries(
            rewrite_expiries.conversation_ids, rewrite_expiries.seqs
        ) as e
        where m.conversation_id = e.conversation_id and m.seq = e.seq
        returning
            m.conversation_id,
            m.seq
    )

    select
        array_agg(r.conversation_id),
        array_agg(r.seq)
    into v_conversation_ids, v_seqs
    from rewritten as r;
    if v_seqs is null then
        return 0;
    end if;
    perform chat_private.unbury_message(m.conversation_id, m.seq)
    from unnest(v_conversation_ids, v_seqs) as p (conversation_id, seq)
    inner join chat_private.deleted_messages as d
        on p.conversation_id = d.conversation_id and p.seq = d.message_seq
    inner join chat.messages as m on p.conversation_id = m.conversation_id and p.seq = m.seq
    where d.is_expired and (m.expires_at is null or m.expires_at > chat_private.now());
    return cardinality(v_seqs);
end;
$$;
revoke execute on function chat_private.rewrite_expiries(uuid [], bigint [])
from public, anon, authenticated;

-- So much has changed in a conversation that its participants load it anew: once, not once a message.
create function chat_private.announce_rewritten(conversation_id uuid)
returns void
language plpgsql
set search_path = ''
as $$
declare
    v_conversation chat.conversations;
begin
    update chat.conversations as c
    set rev = c.rev + 1,
        sync_from_rev = c.rev + 1
    where c.id = announce_rewritten.conversation_id
    returning c.* into v_conversation;
    perform chat_private.broadcast_change(v_conversation, 'retention_changed', '{}');
end;
$$;
revoke execute on function chat_private.announce_rewritten(uuid)
from public, anon, authenticated;

-- Goes on with a job, for about as many messages as max_count, and says how many. It looks at
-- conversations by id and at messages by seq, 5000 at a time whoever sent them, so that a batch is
-- bounded however the messages of one person lie among others. Without may_wait it stops at a
-- conversation that somebody is writing in. When all of a conversation is done and something in it
-- changed, its participants learn of it.
create function chat_private.run_retention_job(
    job_id bigint,
    max_count integer,
    may_wait boolean default true
)
returns integer
language plpgsql
set search_path = ''
as $$
declare
    v_job chat_private.retention_jobs;
    v_conversation chat.conversations;
    v_id uuid;
    v_seqs bigint [];
    v_to_seq bigint;
    v_done integer := 0;
    v_is_all boolean;
begin
    select j.* into strict v_job
    from chat_private.retention_jobs as j
    where j.id = run_retention_job.job_id
    for no key update;
    while v_done < run_retention_job.max_count loop
        -- The one begun, or the next.
        v_id := case when v_job.cursor_seq is not null then v_job.cursor_conversation_id end;
        if v_id is null and v_job.conversation_id is not null then
            v_id := case
                when v_job.cursor_conversation_id <> v_job.conversation_id
                    then v_job.conversation_id
            end;
        elsif v_id is null and v_job.user_id is not null then
            select p.conversation_id into v_id
            from chat.participants as p
            where
                p.user_id = v_job.user_id
                and p.tenant_id = v_job.tenant_id
                and p.conversation_id > v_job.cursor_conversation_id
            order by p.conversation_id
            limit 1;
        elsif v_id is null then
            select c.id into v_id
            from chat.conversations as c
            where c.tenant_id = v_job.tenant_id and c.id > v_job.cursor_conversation_id
            order by c.id
            limit 1;
        end if;
        if v_id is null then
            delete from chat_private.retention_jobs as j where j.id = v_job.id;
            update chat.tier_changes as c
            set applied_at = chat_private.now()
            where
                c.tenant_id = v_job.tenant_id
                and c.user_id = v_job.user_id
                and c.applied_at is null
                and c.changed_at <= v_job.queued_at;
            return v_done;
        end if;

        if run_retention_job.may_wait then
            v_conversation := chat_private.lock_conversation(v_id);
        else
            select c.* into v_conversation
            from chat.conversations as c
            where c.id = v_id
            for no key update skip locked;
            exit when not found;
        end if;
        v_is_all := v_job.user_id is null
            or (chat_private.settings_for(v_job.tenant_id)).retention_mode = 'longest_tier';
        v_to_seq := coalesce(v_job.cursor_seq, 0) + 5000;
        if v_is_all or exists (
            select
            from chat.messages as m
            where m.conversation_id = v_id and m.sender_id = v_job.user_id
        ) then
            v_seqs := array(
                select m.seq
                from chat.messages as m
                where
                    m.conversation_id = v_id
                    and m.seq > coalesce(v_job.cursor_seq, 0)
                    and m.seq <= v_to_seq
                    and (v_is_all or m.sender_id = v_job.user_id)
                order by m.seq
                limit run_retention_job.max_count
            );
            if cardinality(v_seqs) = run_retention_job.max_count then
                v_to_seq := v_seqs[cardinality(v_seqs)];
            end if;
            v_job.has_changed := chat_private.rewrite_expiries(
                    array_fill(v_id, array[cardinality(v_seqs)]), v_seqs
                ) > 0
                or v_job.has_changed;
            perform chat_private.keep_expires_from(array[v_id]);
            -- What the sweep has put off, it looks at again.
            update chat_private.deleted_messages as d
            set due_at = chat_private.now()
            where
                d.conversation_id = v_id
                and d.message_seq = any (v_seqs)
                and d.due_at > chat_private.now();
        else
            v_seqs := '{}';
            v_to_seq := v_conversation.last_seq;
        end if;
        v_done := v_done + 1 + cardinality(v_seqs);
        v_job.cursor_conversation_id := v_id;
        v_job.cursor_seq := v_to_seq;
        if v_to_seq >= v_conversation.last_seq then
            if v_job.has_changed then
                perform chat_private.announce_rewritten(v_id);
            end if;
            v_job.cursor_seq := null;
            v_job.has_changed := false;
        end if;
    end loop;
    update chat_private.retention_jobs as j
    set cursor_conversation_id = v_job.cursor_conversation_id,
        cursor_seq = v_job.cursor_seq,
        has_changed = v_job.has_changed
    where j.id = v_job.id;
    return v_done;
end;
$$;
revoke execute on function chat_private.run_retention_job(bigint, integer, boolean)
from public, anon, authenticated;
