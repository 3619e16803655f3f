-- Purpose: who follows which thread, and how far they have read it.
-- Objects: table chat.thread_reads; view chat.threads; functions chat.mark_thread_read,
--          chat.follow_thread, chat.unfollow_thread; trigger on chat.messages.
-- Locks:   share row exclusive on chat.messages, for as long as it takes to add a trigger.
-- Breaking: no.

set lock_timeout = '5s';

-- Tables ---------------------------------------------------------------------------------------

create table chat.thread_reads (
    conversation_id uuid not null,
    thread_root_seq bigint not null,
    user_id uuid not null,
    last_read_seq bigint not null,
    is_following boolean not null,
    primary key (conversation_id, thread_root_seq, user_id),
    constraint thread_reads_thread_root_seq_fkey foreign key (conversation_id, thread_root_seq)
    references chat.messages (conversation_id, seq) on delete cascade,
    constraint thread_reads_user_id_fkey foreign key (user_id, conversation_id)
    references chat.participants (user_id, conversation_id) on delete cascade,
    constraint thread_reads_last_read_seq_check check (last_read_seq >= thread_root_seq)
);
comment on table chat.thread_reads is
    'How far somebody has read a thread. Made for whoever writes in it and for whoever wrote the '
    'message it is about: they follow it until they say otherwise.';
alter table chat.thread_reads enable row level security;
grant select on chat.thread_reads to authenticated, service_role;

-- Indexes --------------------------------------------------------------------------------------

-- Serves: the threads somebody follows, in the view; the foreign key.
create index thread_reads_user_id_conversation_id_idx
on chat.thread_reads (user_id, conversation_id);

-- Functions ------------------------------------------------------------------------------------

-- Security definer: whoever writes a message needs no rights on the threads of others. Adds the
-- sender, who has read up to what they write, and the author of the message the thread is about,
-- who has read none of it.
create function chat_private.follow_written_thread()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    insert into chat.thread_reads as t (
        conversation_id, thread_root_seq, user_id, last_read_seq, is_following
    )
    select
        p.conversation_id,
        new.thread_root_seq,
        p.user_id,
        case when p.user_id = new.sender_id then new.seq else new.thread_root_seq end,
        true
    from chat.participants as p
    where
        p.conversation_id = new.conversation_id
        and p.left_at is null
        and p.visible_from_seq <= new.thread_root_seq
        and p.user_id in (
            select m.sender_id
            from chat.messages as m
            where
                m.conversation_id = new.conversation_id
                and m.seq in (new.seq, new.thread_root_seq)
        )
    on conflict on constraint thread_reads_pkey do update
    set is_following = true
    where t.user_id = new.sender_id and not t.is_following;
    return null;
end;
$$;
revoke execute on function chat_private.follow_written_thread()
from public, anon, authenticated;

-- Changes how the caller keeps a thread: moves the watermark forward to read_to, and follows it or
-- not; null leaves either. A thread outlives the message it is about, as long as that is a
-- tombstone. Raises message_not_found, thread_in_thread.
create function chat_private.keep_thread(
    conversation_id uuid,
    root_seq bigint,
    read_to bigint,
    is_following boolean
)
returns chat.thread_reads
language plpgsql
set search_path = ''
as $$
declare
    v_participant constant chat.participants :=
        chat_private.lock_as_participant(keep_thread.conversation_id);
    -- Of null and a number, least() is the number.
    v_read_to constant bigint := least(
        coalesce(keep_thread.read_to, 0),
        (chat_private.lock_conversation(keep_thread.conversation_id)).last_seq
    );
    v_root chat.messages;
    v_before chat.thread_reads;
    v_after chat.thread_reads;
begin
    select m.* into v_root
    from chat.messages as m
    where
        m.conversation_id = v_participant.conversation_id
        and m.seq = keep_thread.root_seq
        and m.seq >= v_participant.visible_from_seq
        and (m.expires_at is null or m.expires_at > chat_private.now())
        and not exists (
            select
            from chat.hidden_messages as h
            where
                h.conversation_id = m.conversation_id
                and h.message_seq = m.seq
                and h.user_id = v_participant.user_id
        );
    if not found then
        perform chat_private.raise_error('message_not_found');
    end if;
    if v_root.thread_root_seq is not null then
        perform chat_private.raise_error('thread_in_thread');
    end if;
    select t.* into v_before
    from chat.thread_reads as t
    where
        t.conversation_id = v_root.conversation_id
        and t.thread_root_seq = v_root.seq
        and t.user_id = v_participant.user_id;
    insert into chat.thread_reads as t (
        conversation_id, thread_root_seq, user_id, last_read_seq, is_following
    )
    values (
        v_root.conversation_id,
        v_root.seq,
        v_participant.user_id,
        greatest(v_root.seq, v_read_to),
        coalesce(keep_thread.is_following, false)
    )
    on conflict on constraint thread_reads_pkey do update
    set last_read_seq = greatest(t.last_read_seq, v_read_to),
        is_following = coalesce(keep_thread.is_following, t.is_following)
    returning t.* into v_after;
    if v_after is distinct from v_before then
        perform chat_private.touch_private(v_after.conversation_id, v_after.user_id);
    end if;
    return v_after;
end;
$$;
revoke execute on function chat_private.keep_thread(uuid, bigint, bigint, boolean)
from public, anon, authenticated;

-- Security definer: writes a table its caller may only read. Moves the caller's own watermark.
create function chat_private.mark_thread_read(conversation_id uuid, root_seq bigint, seq bigint)
returns chat.thread_reads
language plpgsql
security definer
set search_path = ''
as $$
begin
    return chat_private.keep_thread(
        mark_thread_read.conversation_id,
        mark_thread_read.root_seq,
        coalesce(mark_thread_read.seq, 9223372036854775806),
        null
    );
end;
$$;
revoke execute on function chat_private.mark_thread_read(uuid, bigint, bigint) from public, anon;
grant execute on function chat_private.mark_thread_read(uuid, bigint, bigint) to authenticated;

create function chat.mark_thread_read(
    conversation_id uuid,
    root_seq bigint,
    seq bigint default null
)
returns chat.thread_reads
language sql
set search_path = ''
begin atomic
select chat_private.mark_thread_read(conversation_id, root_seq, seq);
end;
comment on function chat.mark_thread_read(uuid, bigint, bigint) is
    'Marks a thread as read up to and including a message, without seq the whole thread. Never '
    'moves backwards, and nobody else learns of it.';
revoke execute on function chat.mark_thread_read(uuid, bigint, bigint) from public, anon;
grant execute on function chat.mark_thread_read(uuid, bigint, bigint) to authenticated;

-- Security definer: as mark_thread_read.
create function chat_private.follow_thread(
    conversation_id uuid,
    root_seq bigint,
    is_following boolean
)
returns chat.thread_reads
language plpgsql
security definer
set search_path = ''
as $$
begin
    return chat_private.keep_thread(
        follow_thread.conversation_id, follow_thread.root_seq, null, follow_thread.is_following
    );
end;
$$;
revoke execute on function chat_private.follow_thread(uuid, bigint, boolean) from public, anon;
grant execute on function chat_private.follow_thread(uuid, bigint, boolean) to authenticated;

create function chat.follow_thread(conversation_id uuid, root_seq bigint)
returns chat.thread_reads
language sql
set search_path = ''
begin atomic
select chat_private.follow_thread(conversation_id, root_seq, true);
end;
comment on function chat.follow_thread(uuid, bigint) is
    'Puts a thread among the caller''s threads. What was written in it is unread until marked.';
revoke execute on function chat.follow_thread(uuid, bigint) from public, anon;
grant execute on function chat.follow_thread(uuid, bigint) to authenticated;

create function chat.unfollow_thread(conversation_id uuid, root_seq bigint)
returns chat.thread_reads
language sql
set search_path = ''
begin atomic
select chat_private.follow_thread(conversation_id, root_seq, false);
end;
comment on function chat.unfollow_thread(uuid, bigint) is
    'Takes a thread from among the caller''s threads, until they write in it again.';
revoke execute on function chat.unfollow_thread(uuid, bigint) from public, anon;
grant execute on function chat.unfollow_thread(uuid, bigint) to authenticated;

-- Triggers -------------------------------------------------------------------------------------

create trigger messages_follow_written_thread
after insert on chat.messages
for each row
when (new.thread_root_seq is not null and chat_private.is_live())
execute function chat_private.follow_written_thread();

-- Policies -------------------------------------------------------------------------------------

-- Policies on chat.messages narrow the inner query to what the caller can read.
create policy "participants can read how far they have read threads"
on chat.thread_reads for select
to authenticated
using (
    user_id = (select auth.uid())
    and exists (
        select
        from chat.messages as m
        where
            m.conversation_id = thread_reads.conversation_id
            and m.seq = thread_reads.thread_root_seq
    )
);

-- Views ----------------------------------------------------------------------------------------

create view chat.threads
with (security_invoker = true)
as
select
    t.conversation_id,
    t.thread_root_seq,
    m.thread_count,
    t.last_read_seq,
    coalesce(r.seq, m.seq) as last_seq,
    coalesce(r.created_at, m.created_at) as last_activity_at,
    (
        select count(*)
        from chat.messages as u
        where
            u.conversation_id = t.conversation_id
            and u.thread_root_seq = t.thread_root_seq
            and u.seq > t.last_read_seq
            and u.sender_id is distinct from t.user_id
            and u.deleted_at is null
    ) as unread_count
from chat.thread_reads as t
inner join chat.messages as m
    on t.conversation_id = m.conversation_id and t.thread_root_seq = m.seq
left join lateral (
    select
        l.seq,
        l.created_at
    from chat.messages as l
    where l.conversation_id = t.conversation_id and l.thread_root_seq = t.thread_root_seq
    order by l.seq desc
    limit 1
) as r on true
where t.user_id = (select auth.uid()) and t.is_following;
comment on view chat.threads is
    'The threads the caller wrote in, was answered in or follows, with exact unread counts: '
    'messages of others after the caller''s watermark. Newest activity first by last_activity_at.';
grant select on chat.threads to authenticated;
