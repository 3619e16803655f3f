-- Purpose: which files nobody needs any more.
-- Objects: table chat_private.orphaned_objects; triggers on chat.messages, chat.attachments.
-- Locks:   share row exclusive on chat.messages and chat.attachments, for as long as it takes to add
--          triggers.
-- Breaking: no.

set lock_timeout = '5s';

-- Tables ---------------------------------------------------------------------------------------

-- What is in the bucket and belongs to no message any more. The worker that empties it deletes
-- the object through the Storage API and then the row.
create table chat_private.orphaned_objects (
    path text primary key,
    conversation_id uuid not null,
    is_restorable boolean not null,
    queued_at timestamptz not null default chat_private.now()
);
comment on table chat_private.orphaned_objects is
    'Files to remove from bucket chat-attachments. Nobody can read them meanwhile.';
comment on column chat_private.orphaned_objects.is_restorable is
    'The message is a tombstone that can still be restored: remove once it no longer can.';
alter table chat_private.orphaned_objects enable row level security;

-- Indexes --------------------------------------------------------------------------------------

-- Serves: the queue, oldest first, of what can go at once.
create index orphaned_objects_removable_idx on chat_private.orphaned_objects (queued_at)
where not is_restorable;

-- Functions ------------------------------------------------------------------------------------

-- The rows of a tombstone stay, unread, while it can be restored; a restored message has its
-- files back unless the worker took them.
-- Security definer: whoever deletes a message has no rights on the queue.
create function chat_private.orphan_attachments_of_deleted()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    if new.deleted_at is null then
        delete from chat_private.orphaned_objects as o
        using chat.attachments as a
        where
            a.conversation_id = new.conversation_id
            and a.message_seq = new.seq
            and o.path = a.path;
    else
        insert into chat_private.orphaned_objects (path, conversation_id, is_restorable)
        select
            a.path,
            a.conversation_id,
            true
        from chat.attachments as a
        where a.conversation_id = new.conversation_id and a.message_seq = new.seq
        on conflict do nothing;
    end if;
    return null;
end;
$$;
revoke execute on function chat_private.orphan_attachments_of_deleted()
from public, anon, authenticated;

-- A message, a conversation or a tenant is purged.
-- Security definer: as above.
create function chat_private.orphan_attachments()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    insert into chat_private.orphaned_objects as o (path, conversation_id, is_restorable)
    select
        a.path,
        a.conversation_id,
        false
    from old_attachments as a
    on conflict on constraint orphaned_objects_pkey do update
    set is_restorable = false;
    return null;
end;
$$;
revoke execute on function chat_private.orphan_attachments() from public, anon, authenticated;

-- Triggers -------------------------------------------------------------------------------------

create trigger messages_orphan_attachments_of_deleted
after update of deleted_at on chat.messages
for each row
when ((old.deleted_at is null) <> (new.deleted_at is null))
execute function chat_private.orphan_attachments_of_deleted();

create trigger attachments_orphan_attachments
after delete on chat.attachments
referencing old table as old_attachments
for each statement execute function chat_private.orphan_attachments();
