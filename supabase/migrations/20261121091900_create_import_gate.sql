-- Purpose: lets ./scripts/import bring messages in with their own times, numbers and silence.
-- Objects: a condition on triggers of chat.messages, chat.participants,
--          chat.participant_settings, chat.reactions, chat.contacts, chat.blocks, chat.tenants and
--          chat.tenant_members.
-- Locks:   share row exclusive on these tables, for as long as it takes to replace triggers.
-- Breaking: no.
--
-- An import writes what was said long ago: numbered by it, in order of its own times, announced to
-- nobody and recorded once, not once a message. What numbers, announces and records therefore steps
-- aside for it. What protects does not: every key, check and identity rule holds for it as well.
--
-- The condition is the same everywhere: a transaction says that it is an import, and is of somebody
-- who could disable the triggers altogether, for only the owner of chat.messages may insert into it.
-- `role` and not current_user, which within a definer is the owner whoever calls. Not in a function:
-- whoever writes would need a right to it, and every send would wait for it.

set lock_timeout = '5s';

-- Triggers -------------------------------------------------------------------------------------

create or replace trigger messages_number_message
before insert on chat.messages
for each row
when (
    current_setting('chat.importing', true) is distinct from 'on'
    or not has_table_privilege(
        coalesce(nullif(current_setting('role'), 'none'), session_user), 'chat.messages', 'insert'
    )
)
execute function chat_private.number_message();

create or replace trigger messages_broadcast_message
after insert on chat.messages
for each row
when (
    current_setting('chat.importing', true) is distinct from 'on'
    or not has_table_privilege(
        coalesce(nullif(current_setting('role'), 'none'), session_user), 'chat.messages', 'insert'
    )
)
execute function chat_private.broadcast_message();

create or replace trigger messages_follow_written_thread
after insert on chat.messages
for each row
when (
    new.thread_root_seq is not null
    and (
        current_setting('chat.importing', true) is distinct from 'on'
        or not has_table_privilege(
            coalesce(nullif(current_setting('role'), 'none'), session_user), 'chat.messages', 'insert'
        )
    )
)
execute function chat_private.follow_written_thread();

create or replace trigger messages_notify_of_reply
after insert on chat.messages
for each row
when (
    (new.reply_to_seq is not null or new.thread_root_seq is not null)
    and (
        current_setting('chat.importing', true) is distinct from 'on'
        or not has_table_privilege(
            coalesce(nullif(current_setting('role'), 'none'), session_user), 'chat.messages', 'insert'
        )
    )
)
execute function chat_private.notify_of_reply();

create or replace trigger messages_record_deletion
after update of deleted_at on chat.messages
for each row
when (
    old.deleted_at is null
    and new.deleted_at is not null
    and (
        current_setting('chat.importing', true) is distinct from 'on'
        or not has_table_privilege(
            coalesce(nullif(current_setting('role'), 'none'), session_user), 'chat.messages', 'insert'
        )
    )
)
execute function chat_private.record_message_deletion();

create or replace trigger participants_announce_joined
after insert on chat.participants
referencing new table as new_participants
for each statement
when (
    current_setting('chat.importing', true) is distinct from 'on'
    or not has_table_privilege(
        coalesce(nullif(current_setting('role'), 'none'), session_user), 'chat.messages', 'insert'
    )
)
execute function chat_private.announce_joined();

create or replace trigger participants_notify_of_joining
after insert on chat.participants
referencing new table as new_participants
for each statement
when (
    current_setting('chat.importing', true) is distinct from 'on'
    or not has_table_privilege(
        coalesce(nullif(current_setting('role'), 'none'), session_user), 'chat.messages', 'insert'
    )
)
execute function chat_private.notify_of_joining();

create or replace trigger participants_record_added
after insert on chat.participants
referencing new table as new_participants
for each statement
when (
    current_setting('chat.importing', true) is distinct from 'on'
    or not has_table_privilege(
        coalesce(nullif(current_setting('role'), 'none'), session_user), 'chat.messages', 'insert'
    )
)
execute function chat_private.record_participants();

create or replace trigger participants_announce_deletion
after delete on chat.participants
for each row
when (
    current_setting('chat.importing', true) is distinct from 'on'
    or not has_table_privilege(
        coalesce(nullif(current_setting('role'), 'none'), session_user), 'chat.messages', 'insert'
    )
)
execute function chat_private.announce_membership();

create or replace trigger participant_settings_announce_private_change
after insert or update on chat.participant_settings
for each row
when (
    current_setting('chat.importing', true) is distinct from 'on'
    or not has_table_privilege(
        coalesce(nullif(current_setting('role'), 'none'), session_user), 'chat.messages', 'insert'
    )
)
execute function chat_private.announce_private_change();

create or replace trigger reactions_notify_of_reaction
after insert on chat.reactions
for each row
when (
    current_setting('chat.importing', true) is distinct from 'on'
    or not has_table_privilege(
        coalesce(nullif(current_setting('role'), 'none'), session_user), 'chat.messages', 'insert'
    )
)
execute function chat_private.notify_of_reaction();

create or replace trigger contacts_notify_of_contact
after insert or delete on chat.contacts
for each row
when (
    current_setting('chat.importing', true) is distinct from 'on'
    or not has_table_privilege(
        coalesce(nullif(current_setting('role'), 'none'), session_user), 'chat.messages', 'insert'
    )
)
execute function chat_private.notify_of_contact();

create or replace trigger blocks_apply_block
after insert on chat.blocks
for each row
when (
    current_setting('chat.importing', true) is distinct from 'on'
    or not has_table_privilege(
        coalesce(nullif(current_setting('role'), 'none'), session_user), 'chat.messages', 'insert'
    )
)
execute function chat_private.apply_block();

create or replace trigger blocks_lift_block
after delete on chat.blocks
for each row
when (
    current_setting('chat.importing', true) is distinct from 'on'
    or not has_table_privilege(
        coalesce(nullif(current_setting('role'), 'none'), session_user), 'chat.messages', 'insert'
    )
)
execute function chat_private.lift_block();

create or replace trigger tenants_record_tenant
after insert or update on chat.tenants
for each row
when (
    current_setting('chat.importing', true) is distinct from 'on'
    or not has_table_privilege(
        coalesce(nullif(current_setting('role'), 'none'), session_user), 'chat.messages', 'insert'
    )
)
execute function chat_private.record_tenant();

create or replace trigger tenant_members_record_added
after insert on chat.tenant_members
referencing new table as changed_members
for each statement
when (
    current_setting('chat.importing', true) is distinct from 'on'
    or not has_table_privilege(
        coalesce(nullif(current_setting('role'), 'none'), session_user), 'chat.messages', 'insert'
    )
)
execute function chat_private.record_tenant_members();

create or replace trigger tenant_members_record_deleted
after delete on chat.tenant_members
referencing old table as changed_members
for each statement
when (
    current_setting('chat.importing', true) is distinct from 'on'
    or not has_table_privilege(
        coalesce(nullif(current_setting('role'), 'none'), session_user), 'chat.messages', 'insert'
    )
)
execute function chat_private.record_tenant_members();
