-- What was imported, as Parley's rows, kept until `finish`: a run that was killed goes on from it,
-- `verify` finds by it what is gone, and `rollback` takes away by it.

create table parley_import.run (
    source text not null,
    label text not null,
    tenant_id uuid not null,
    choices jsonb not null,
    plan jsonb not null,
    checksum text not null,
    is_applied boolean not null default false,
    only_one boolean not null default true primary key check (only_one)
);

create table parley_import.made_tenants (
    external_id text primary key,
    tenant_id uuid not null,
    is_new boolean not null
);

-- user_id null: nobody here yet.
create table parley_import.users (
    external_id text primary key,
    user_id uuid,
    is_ghost boolean not null default false
);

create table parley_import.made_members (
    tenant_id uuid not null,
    user_id uuid not null,
    primary key (tenant_id, user_id)
);
create table parley_import.made_contacts (user_low_id uuid not null, user_high_id uuid not null);
create table parley_import.made_blocks (blocker_id uuid not null, blocked_id uuid not null);

-- Several conversations of a source can become one: of a pair, or about one object.
create table parley_import.rooms (external_id text primary key, conversation_id uuid not null);

create table parley_import.targets (
    conversation_id uuid primary key,
    tenant_id uuid not null,
    kind chat.conversation_kind not null,
    title text,
    subject_type text,
    subject_id text,
    user_low_id uuid,
    user_high_id uuid,
    is_closed boolean not null,
    created_by uuid,
    created_at timestamptz not null,
    is_new boolean not null,
    is_settled boolean not null default false,
    -- The last message it gets in this run; null: it gets none.
    max_seq bigint
);

create table parley_import.members (
    conversation_id uuid not null,
    user_id uuid not null,
    role chat.participant_role not null,
    party text,
    joined_at timestamptz not null,
    left_at timestamptz,
    muted_until timestamptz,
    is_pinned boolean not null,
    is_archived boolean not null,
    read_at timestamptz,
    -- The last message until then, where it is past the last of those that are read one by one.
    read_at_seq bigint,
    last_read_seq bigint not null default 0,
    last_delivered_seq bigint not null default 0,
    primary key (conversation_id, user_id)
);

-- One row for each row of chat.messages that the import makes, but its text: that is copied once, from
-- where the run that loads it has it.
create table parley_import.load (
    conversation_id uuid not null,
    seq bigint not null,
    rev bigint not null,
    id uuid not null,
    external_id text not null,
    part integer not null,
    sender_id uuid,
    created_at timestamptz not null,
    kind chat.message_kind not null,
    metadata jsonb,
    reply_to_seq bigint,
    thread_root_seq bigint,
    edited_at timestamptz,
    deleted_at timestamptz,
    batch integer not null,
    -- Its row of parley_import.messages.
    source tid not null
);

create table parley_import.batches (
    batch integer primary key,
    run integer not null,
    shard integer not null,
    messages bigint not null,
    is_done boolean not null default false
);

-- What a batch has of a conversation.
create table parley_import.stretches (
    batch integer not null,
    conversation_id uuid not null,
    first_seq bigint not null,
    last_seq bigint not null,
    last_rev bigint not null,
    last_at timestamptz not null,
    messages bigint not null,
    system_messages bigint not null,
    -- Of those of this conversation in this run.
    is_first boolean not null,
    primary key (batch, conversation_id)
);

-- What hangs on messages, found by the numbers these have. Reads and what is hidden are found anew by
-- each run.
create unlogged table parley_import.moves (
    conversation_id uuid not null,
    user_id uuid not null,
    last_read_seq bigint not null,
    last_delivered_seq bigint not null,
    moved_at timestamptz not null
);

create table parley_import.found_reactions (
    conversation_id uuid not null,
    seq bigint not null,
    user_id uuid not null,
    emoji text not null,
    created_at timestamptz not null
);
create index on parley_import.found_reactions (conversation_id);

create unlogged table parley_import.found_hidden (
    conversation_id uuid not null,
    seq bigint not null,
    user_id uuid not null,
    hidden_at timestamptz not null
);
create index on parley_import.found_hidden (conversation_id);

create table parley_import.found_files (
    external_id text primary key,
    conversation_id uuid not null,
    seq bigint not null,
    number integer not null,
    address text not null,
    path text not null,
    name text not null,
    mime_type text not null,
    size_bytes bigint,
    width integer,
    height integer
);

-- Files in the bucket, by the path they have there.
create table parley_import.uploads (
    external_id text primary key,
    path text not null,
    sha256 text
);

-- Rows of Parley's that were there before and that the import changes, as they were.
create table parley_import.kept_conversations (like chat.conversations);
create table parley_import.kept_participants (like chat.participants);

-- Steps on the way, made anew by each run.
create unlogged table parley_import.present (
    conversation text not null,
    user_id uuid not null,
    has_joined boolean not null
);
create unlogged table parley_import.left_out (external_id text not null);
