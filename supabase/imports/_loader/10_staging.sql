-- What a mapping fills: every source in the same words, with its own ids as text. Not logged: it is
-- filled anew by each run. A row may say anything; 35_judge.sql finds what cannot be.

create unlogged table parley_import.tenants (
    external_id text not null,
    slug text not null,
    name text not null
);

create unlogged table parley_import.people (
    external_id text not null,
    -- The user, where the source knows; else whoever has this address, confirmed.
    user_id uuid,
    email text,
    username text,
    display_name text
);

-- Only where a source has tenants; others put everybody where the default tenant puts them.
create unlogged table parley_import.memberships (
    tenant text not null,
    person text not null,
    role text,
    tier text
);

create unlogged table parley_import.contacts (
    person text not null,
    other text not null,
    -- pending, accepted or blocked, asked for or blocked by person.
    state text not null,
    created_at timestamptz
);

create unlogged table parley_import.conversations (
    external_id text not null,
    tenant text,
    kind text not null,
    title text,
    subject_type text,
    subject_id text,
    is_closed boolean not null default false,
    created_by text,
    created_at timestamptz
);

create unlogged table parley_import.participants (
    conversation text not null,
    person text not null,
    role text not null default 'member',
    party text,
    joined_at timestamptz,
    left_at timestamptz,
    -- Everything until then is read.
    read_at timestamptz,
    muted_until timestamptz,
    is_pinned boolean not null default false,
    is_archived boolean not null default false
);

create unlogged table parley_import.messages (
    external_id text not null,
    conversation text not null,
    -- Null: written by the system.
    sender text,
    -- Messages of one moment are in this order.
    position bigint not null,
    created_at timestamptz,
    -- Null: a type that Parley does not have; which, is in source_type.
    kind text,
    source_type text,
    body text,
    metadata jsonb not null default '{}',
    reply_to text,
    thread_root text,
    edited_at timestamptz,
    deleted_at timestamptz
);

-- Reads of single messages.
create unlogged table parley_import.receipts (
    message text not null,
    person text not null,
    delivered_at timestamptz,
    read_at timestamptz
);

-- Deleted by somebody for themselves.
create unlogged table parley_import.hidden (
    message text not null,
    person text not null,
    hidden_at timestamptz
);

create unlogged table parley_import.reactions (
    message text not null,
    person text not null,
    emoji text not null,
    created_at timestamptz
);

create unlogged table parley_import.files (
    external_id text not null,
    message text not null,
    position bigint not null,
    -- Where its bytes are: an address, or a path below --files.
    address text not null,
    name text,
    mime_type text,
    size_bytes bigint,
    width integer,
    height integer
);

-- Rows of files, as the export has them: a line each, with the file it is from.
create unlogged table parley_import.documents (
    file text not null,
    number bigint not null,
    content jsonb not null
);

-- What cannot be as the source has it, and what was chosen for it.
create unlogged table parley_import.conflicts (
    kind text not null,
    place text not null,
    external_id text not null,
    detail text not null,
    is_left_out boolean not null
);
