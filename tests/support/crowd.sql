-- A database as one in use: 2,000 people, 4,000 conversations of 10, 100,000 messages, 20,000 of
-- them in one. Person 1 is in 200 conversations, the large one among them. For a superuser:
-- triggers and foreign keys are not asked, so that it takes seconds.

set session_replication_role = replica;

create function pg_temp.person(n bigint) returns uuid language sql immutable
return ('00000000-0000-4000-9000-' || lpad(to_hex(n), 12, '0'))::uuid;

create function pg_temp.room(n bigint) returns uuid language sql immutable
return ('00000000-0000-4000-a000-' || lpad(to_hex(n), 12, '0'))::uuid;

insert into auth.users (id, instance_id, aud, role, email)
select
    pg_temp.person(n), '00000000-0000-0000-0000-000000000000', 'authenticated', 'authenticated',
    'person' || n || '@example.com'
from generate_series(1, 2000) as n;

insert into chat.profiles (id, username)
select pg_temp.person(n), 'person_' || n from generate_series(1, 2000) as n;

insert into chat.tenant_members (tenant_id, user_id)
select '00000000-0000-4000-8000-000000000001', pg_temp.person(n)
from generate_series(1, 2000) as n;

insert into chat.tier_changes (
    tenant_id, user_id, from_tier, to_tier, changed_at, effective_at, ended_at
)
select
    '00000000-0000-4000-8000-000000000001', pg_temp.person(n), 'free', 'privileged', now(), now(),
    now()
from generate_series(1, 2000) as n;

insert into chat.conversations (
    id, tenant_id, kind, title, last_seq, message_count, rev, participant_count, last_activity_at,
    expires_from
)
select
    pg_temp.room(r.n), '00000000-0000-4000-8000-000000000001', 'group', 'Room ' || r.n, r.size,
    r.size, r.size, 10, now() - r.n * interval '1 minute', now() + interval '20 days'
from (
    select n, case n when 1 then 20000 else 1 + n * 7919 % 39 end as size
    from generate_series(1, 4000) as n
) as r;

-- In each room ten: in the first 200 person 1, and otherwise numbers that differ.
insert into chat.participants (
    conversation_id, user_id, tenant_id, role, party, last_read_seq, last_delivered_seq, read_count
)
select
    c.id, pg_temp.person(case when k = 0 and c.n <= 200 then 1 else 2 + (c.n * 31 + k * 197) % 1998 end),
    c.tenant_id, case k when 0 then 'owner' else 'member' end::chat.participant_role,
    case when k < 5 then 'agent' else 'client' end,
    greatest(c.last_seq - 10, 0), greatest(c.last_seq - 5, 0), greatest(c.last_seq - 10, 0)
from (select *, substr(title, 6)::bigint as n from chat.conversations) as c
cross join generate_series(0, 9) as k;

insert into chat.participant_settings (conversation_id, user_id, is_pinned)
select p.conversation_id, p.user_id, p.last_read_seq % 7 = 0
from chat.participants as p
where p.last_read_seq % 3 = 0;

-- Every fiftieth message has a thread of five.
insert into chat.messages (
    conversation_id, id, sender_id, seq, rev, created_at, expires_at, body, is_changed,
    thread_root_seq, thread_count
)
select
    c.id, gen_random_uuid(), p.user_id, s, s, now() - interval '10 days' + s * interval '1 second',
    now() + interval '20 days' + s * interval '1 second', repeat('lorem ipsum ', 8), s % 50 = 0,
    case when s % 50 between 1 and 5 and s > 50 then s - s % 50 end,
    case when s % 50 = 0 then least(5, c.last_seq - s) else 0 end
from chat.conversations as c
inner join chat.participants as p on c.id = p.conversation_id and p.role = 'owner'
cross join generate_series(1, c.last_seq) as s;

insert into chat.thread_reads (
    conversation_id, thread_root_seq, user_id, last_read_seq, is_following
)
select m.conversation_id, m.seq, p.user_id, m.seq + 1, true
from chat.messages as m
inner join chat.participants as p on m.conversation_id = p.conversation_id
where m.thread_count > 0;

insert into chat.hidden_messages (conversation_id, message_seq, user_id)
select p.conversation_id, s, p.user_id
from chat.participants as p
cross join generate_series(1, p.last_read_seq, 37) as s;

insert into chat_private.unhidden_messages (conversation_id, message_seq, user_id, private_rev)
select p.conversation_id, 2, p.user_id, 1
from chat.participants as p
where p.last_read_seq > 2;

insert into chat.message_revisions (
    conversation_id, message_seq, revision, body, metadata, replaced_at
)
select c.id, s, 1, 'before', '{}', now()
from chat.conversations as c
cross join generate_series(10, c.last_seq, 30) as s;

insert into chat.reactions (conversation_id, message_seq, user_id, emoji)
select m.conversation_id, m.seq, p.user_id, '👍'
from chat.messages as m
inner join chat.participants as p on m.conversation_id = p.conversation_id and p.party = 'client'
where m.seq % 20 = 0;

insert into chat.receipts (
    conversation_id, user_id, rev, last_read_seq, last_delivered_seq, moved_at
)
select
    p.conversation_id, p.user_id, s, s, s, now() - interval '10 days' + s * interval '1 second'
from chat.participants as p
cross join generate_series(10, p.last_read_seq, 40) as s;

insert into chat.mentions (conversation_id, message_seq, user_id)
select r.conversation_id, r.message_seq, r.user_id from chat.reactions as r where r.message_seq % 40 = 0;

insert into chat.pins (conversation_id, message_seq, pinned_by)
select c.id, s, null from chat.conversations as c cross join generate_series(7, c.last_seq, 70) as s;

insert into chat.saved_messages (conversation_id, message_seq, user_id)
select r.conversation_id, r.message_seq, r.user_id from chat.reactions as r where r.message_seq % 60 = 0;

insert into chat.drafts (conversation_id, user_id, body)
select p.conversation_id, p.user_id, 'half a' from chat.participants as p where p.role = 'owner';

insert into chat.scheduled_messages (conversation_id, user_id, send_at, body)
select p.conversation_id, p.user_id, now() + interval '1 day', 'later'
from chat.participants as p where p.role = 'owner';

insert into chat.attachments (
    conversation_id, message_seq, position, path, name, mime_type, size_bytes
)
select c.id, s, 1, concat_ws('/', c.tenant_id, c.id, gen_random_uuid(), 'a.png'), 'a.png', 'image/png', 1000
from chat.conversations as c cross join generate_series(3, c.last_seq, 30) as s;

insert into chat.contacts (user_low_id, user_high_id, requested_by, state, accepted_at)
select pg_temp.person(n), pg_temp.person(n + k), pg_temp.person(n), 'accepted', now()
from generate_series(1, 1990) as n cross join generate_series(1, 10) as k;

insert into chat.notifications (user_id, type, actor_id, conversation_id, message_seq)
select n.user_id, 'mention', n.user_id, n.conversation_id, n.message_seq from chat.mentions as n;

reset session_replication_role;
