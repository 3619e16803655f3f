-- Purpose: conversations, and who takes part in them.
-- Objects: enums chat.conversation_kind, chat.participant_role; tables chat.conversations,
--          chat.participants, chat.participant_settings; policies on these and on chat.profiles.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

-- Types ----------------------------------------------------------------------------------------

create type chat.conversation_kind as enum ('direct', 'group', 'subject');
create type chat.conversation_status as enum ('open', 'closed');
create type chat.participant_role as enum ('owner', 'admin', 'member');

-- Tables ---------------------------------------------------------------------------------------

create table chat.conversations (
    id uuid primary key default gen_random_uuid(),
    tenant_id uuid not null references chat.tenants (id) on delete cascade,
    kind chat.conversation_kind not null,
    status chat.conversation_status not null default 'open',
    title text,
    subject_type text,
    subject_id text,
    user_low_id uuid,
    user_high_id uuid,
    slow_mode_seconds integer not null default 0,
    created_by uuid references chat.profiles (id) on delete set null,
    created_at timestamptz not null default chat_private.now(),
    last_activity_at timestamptz not null default chat_private.now(),
    last_seq bigint not null default 0,
    message_count bigint not null default 0,
    last_mention_seq bigint not null default 0,
    participant_count integer not null default 0,
    rev bigint not null default 0,
    epoch integer not null default 1,
    sync_from_rev bigint not null default 0,
    expires_from timestamptz,
    retention interval,
    constraint conversations_tenant_id_id_key unique (tenant_id, id),
    -- However many clients race, a pair has one direct conversation in a tenant.
    constraint conversations_direct_key unique (tenant_id, user_low_id, user_high_id),
    -- And a business object has one.
    constraint conversations_subject_key unique (tenant_id, subject_type, subject_id),
    constraint conversations_user_low_id_fkey foreign key (tenant_id, user_low_id)
    references chat.tenant_members (tenant_id, user_id) on delete set null (user_low_id),
    constraint conversations_user_high_id_fkey foreign key (tenant_id, user_high_id)
    references chat.tenant_members (tenant_id, user_id) on delete set null (user_high_id),
    -- Null once that user's account is gone.
    constraint conversations_pair_check check (
        (kind = 'direct' or (user_low_id is null and user_high_id is null))
        and user_low_id < user_high_id
    ),
    constraint conversations_title_check check (
        (kind <> 'group' or title is not null)
        and (kind <> 'direct' or title is null)
        and length(title) between 1 and 200
        and title ~ '\S'
    ),
    constraint conversations_subject_check check (
        (kind = 'subject') = (subject_type is not null)
        and (subject_type is null) = (subject_id is null)
        and length(subject_type) between 1 and 100
        and length(subject_id) between 1 and 200
    ),
    constraint conversations_slow_mode_seconds_check check (
        slow_mode_seconds between 0 and 3600
    ),
    constraint conversations_retention_check check (retention > interval '0'),
    constraint conversations_counters_check check (
        last_seq >= message_count and rev >= last_seq and message_count >= 0 and epoch > 0
    )
)
-- Every message updates its conversation: room for the new version on the same page.
with (fillfactor = 70);
comment on table chat.conversations is
    'Direct and group conversations, and those about a business object. Made by functions.';
comment on column chat.conversations.subject_type is
    'What kind of business object it is about, such as ''order''; subject_id says which.';
comment on column chat.conversations.slow_mode_seconds is
    'How long a member waits between two messages; owners and admins do not. 0: no wait.';
comment on column chat.conversations.expires_from is
    'When the first of its messages expires; before, no count needs to look for expired ones.';
comment on column chat.conversations.retention is
    'How long messages live here, whatever the tenant''s settings and tiers say. Null: as they say.';
comment on column chat.conversations.sync_from_rev is
    'A client that has seen less than this must load the conversation anew.';
comment on column chat.conversations.last_seq is 'Number of the newest message; no gaps.';
comment on column chat.conversations.message_count is
    'Messages by people ever sent here, which is what unread counts are counted from.';
comment on column chat.conversations.last_mention_seq is
    'No message after this one mentions anybody: who has read it need not look for mentions.';
comment on column chat.conversations.rev is
    'Number of the newest change that a participant can observe; each change takes the next.';
comment on column chat.conversations.epoch is
    'Part of the Realtime topic; moves on when somebody leaves, so that they hear nothing more, and '
    'when somebody joins who may not read the history, so that they are replayed none.';
alter table chat.conversations enable row level security;
grant select on chat.conversations to authenticated, service_role;

create table chat.participants (
    conversation_id uuid not null,
    user_id uuid not null,
    tenant_id uuid not null,
    role chat.participant_role not null default 'member',
    party text,
    joined_at timestamptz not null default chat_private.now(),
    left_at timestamptz,
    visible_from_seq bigint not null default 1,
    last_read_seq bigint not null default 0,
    last_delivered_seq bigint not null default 0,
    read_count bigint not null default 0,
    silenced_until timestamptz,
    last_sent_at timestamptz,
    rev bigint not null default 0,
    primary key (conversation_id, user_id),
    constraint participants_conversation_id_fkey foreign key (tenant_id, conversation_id)
    references chat.conversations (tenant_id, id) on delete cascade,
    constraint participants_user_id_fkey foreign key (tenant_id, user_id)
    references chat.tenant_members (tenant_id, user_id) on delete cascade,
    constraint participants_party_check check (length(party) between 1 and 50),
    constraint participants_watermarks_check check (
        last_delivered_seq >= last_read_seq and last_read_seq >= 0 and read_count >= 0
    )
)
with (fillfactor = 80);
comment on table chat.participants is
    'Who is, or was, in a conversation, and how far they have read it.';
comment on column chat.participants.party is
    'Whose side they are on, such as ''agent'' or ''client''; unread is also counted per party.';
comment on column chat.participants.silenced_until is
    'Until then they may read but not write; set by owners, admins and moderators.';
comment on column chat.participants.rev is
    'The conversation''s rev at which this row last changed for others.';
comment on column chat.participants.visible_from_seq is 'The first message they may read.';
comment on column chat.participants.last_read_seq is
    'Watermark: everything up to here is read. Moved by mark_read.';
comment on column chat.participants.read_count is
    'Of conversations.message_count, how many are not unread for this participant: read, their '
    'own, or gone. What is left, with participant_settings.unread_adjustment, is exactly their '
    'unread count. All can see this one, so it follows last_read_seq alone.';
alter table chat.participants enable row level security;
grant select on chat.participants to authenticated, service_role;

create table chat.participant_settings (
    conversation_id uuid not null,
    user_id uuid not null,
    muted_until timestamptz,
    is_pinned boolean not null default false,
    is_archived boolean not null default false,
    unread_from_seq bigint,
    unread_adjustment bigint not null default 0,
    rev bigint not null default 0,
    primary key (conversation_id, user_id),
    constraint participant_settings_conversation_id_user_id_fkey
    foreign key (conversation_id, user_id)
    references chat.participants (conversation_id, user_id) on delete cascade
);
comment on table chat.participant_settings is
    'How one participant keeps a conversation. Apart from chat.participants, which all can read: '
    'nobody learns that you muted them. No row means the defaults.';
comment on column chat.participant_settings.unread_from_seq is
    'Marked unread from this message on, though it was read. Set by mark_unread.';
comment on column chat.participant_settings.unread_adjustment is
    'What the marks that only this participant knows of, unread_from_seq and hidden messages, add to '
    'or take from their unread count.';
comment on column chat.participant_settings.rev is
    'Counts the changes of what is private to this participant here, for their other devices.';
comment on column chat.participant_settings.muted_until is '''infinity'' mutes for good.';
alter table chat.participant_settings enable row level security;
grant select on chat.participant_settings to authenticated;
grant insert (conversation_id, user_id, muted_until, is_pinned, is_archived),
update (muted_until, is_pinned, is_archived)
on chat.participant_settings to authenticated;
grant select on chat.participant_settings to service_role;

-- Indexes --------------------------------------------------------------------------------------

-- Serves: which conversations are mine, the question of every policy, without the table; the
-- foreign key to tenant_members; and which conversations two people share.
create index participants_user_id_conversation_id_idx
on chat.participants (user_id, conversation_id) include (left_at, visible_from_seq);

-- Serves: the settings of one user, for the inbox.
create index participant_settings_user_id_idx on chat.participant_settings (user_id);

-- Serve: removal of a user, who may be half of a pair or a creator.
create index conversations_user_low_id_idx on chat.conversations (tenant_id, user_low_id)
where user_low_id is not null;
create index conversations_user_high_id_idx on chat.conversations (tenant_id, user_high_id)
where user_high_id is not null;
create index conversations_created_by_idx on chat.conversations (created_by);

-- Functions ------------------------------------------------------------------------------------

-- Security definer: a policy on participants that read participants would recurse (42P17).
-- Tells nothing but the caller's own conversations. A set, so that a policy asks once a statement.
create function chat_private.conversation_ids_for_member()
returns setof uuid
language plpgsql
stable
parallel safe
security definer
rows 50
set search_path = ''
as $$
begin
    return query
    select p.conversation_id
    from chat.participants as p
    where p.user_id = auth.uid() and p.left_at is null;
end;
$$;
revoke execute on function chat_private.conversation_ids_for_member() from public, anon;
grant execute on function chat_private.conversation_ids_for_member() to authenticated;

-- What every exposed function asks first: who calls, and do they take part? Raises
-- sign_in_required, conversation_not_found.
create function chat_private.require_participant(conversation_id uuid)
returns chat.participants
language plpgsql
stable
set search_path = ''
as $$
declare
    v_user_id constant uuid := auth.uid();
    v_participant chat.participants;
begin
    if v_user_id is null then
        perform chat_private.raise_error('sign_in_required');
    end if;
    select p.* into v_participant
    from chat.participants as p
    where
        p.conversation_id = require_participant.conversation_id
        and p.user_id = v_user_id
        and p.left_at is null;
    if not found then
        perform chat_private.raise_error('conversation_not_found');
    end if;
    return v_participant;
end;
$$;
revoke execute on function chat_private.require_participant(uuid)
from public, anon, authenticated;

-- Locks a conversation, before anything else of it is written: all writers take this lock first,
-- so that none deadlock. Returns null when there is none.
create function chat_private.lock_conversation(conversation_id uuid)
returns chat.conversations
language plpgsql
set search_path = ''
as $$
declare
    v_conversation chat.conversations;
begin
    select c.* into v_conversation
    from chat.conversations as c
    where c.id = lock_conversation.conversation_id
    for no key update;
    return v_conversation;
end;
$$;
revoke execute on function chat_private.lock_conversation(uuid) from public, anon, authenticated;

-- Takes the next rev of a conversation, for a change its participants can observe. One call for
-- one event: a rev without an event looks like a lost event to clients.
create function chat_private.next_rev(conversation_id uuid)
returns chat.conversations
language plpgsql
set search_path = ''
as $$
declare
    v_conversation chat.conversations;
begin
    update chat.conversations as c
    set rev = c.rev + 1
    where c.id = next_rev.conversation_id
    returning c.* into v_conversation;
    return v_conversation;
end;
$$;
revoke execute on function chat_private.next_rev(uuid) from public, anon, authenticated;

-- Policies -------------------------------------------------------------------------------------

create policy "participants can read their conversations"
on chat.conversations for select
to authenticated
using (id = any (array(select chat_private.conversation_ids_for_member())));

create policy "participants can see who else takes part"
on chat.participants for select
to authenticated
using (conversation_id = any (array(select chat_private.conversation_ids_for_member())));

create policy "participants can read their own settings"
on chat.participant_settings for select
to authenticated
using (user_id = (select auth.uid()));

create policy "participants can make their own settings"
on chat.participant_settings for insert
to authenticated
with check (
    user_id = (select auth.uid())
    and conversation_id = any (array(select chat_private.conversation_ids_for_member()))
);

create policy "participants can change their own settings"
on chat.participant_settings for update
to authenticated
using (user_id = (select auth.uid()))
with check (
    user_id = (select auth.uid())
    and conversation_id = any (array(select chat_private.conversation_ids_for_member()))
);

-- Policies on chat.participants narrow the inner query to the caller's own conversations.
create policy "users can read their own profile and those they talk to"
on chat.profiles for select
to authenticated
using (
    id = (select auth.uid())
    or exists (select from chat.participants as p where p.user_id = profiles.id)
);

create policy "users can change their own profile"
on chat.profiles for update
to authenticated
using (id = (select auth.uid()))
with check (id = (select auth.uid()));
