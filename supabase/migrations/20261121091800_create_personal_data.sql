-- Purpose: what of a person is where, and what becomes of it when they are erased.
-- Objects: table chat_private.personal_data, and its rows: the manifest of erasure and export.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

-- Tables ---------------------------------------------------------------------------------------

-- A row for each column that has an id, a text, JSON or bytes: a test fails when one is missing.
create table chat_private.personal_data (
    table_name text not null,
    column_name text not null,
    action text not null,
    names_person boolean not null default false,
    reason text,
    withheld text,
    primary key (table_name, column_name),
    constraint personal_data_action_check check (
        action in ('delete', 'anonymise', 'retain', 'none')
    ),
    -- What stays says why.
    constraint personal_data_reason_check check ((action in ('retain', 'none')) = (reason is not null))
);
comment on table chat_private.personal_data is
    'The manifest: of each column, whether it can identify a person and what erase_user does with it. '
    'delete: it goes, with its row or its text; anonymise: it becomes null; retain: it stays, for the '
    'reason given; none: it identifies nobody.';
comment on column chat_private.personal_data.names_person is
    'The id of a person: the row is theirs, and part of their export unless withheld.';
comment on column chat_private.personal_data.withheld is
    'Why an export leaves it out: of a column that names a person, rows that are theirs by nothing else; '
    'of another, its values.';
alter table chat_private.personal_data enable row level security;

-- Whose a row is.
insert into chat_private.personal_data (table_name, column_name, action, names_person)
select
    d.table_name,
    d.column_name,
    d.action,
    true
from (
    values
    ('chat.bans', 'user_id', 'delete'),
    ('chat.bans', 'banned_by', 'anonymise'),
    ('chat.bans', 'lifted_by', 'anonymise'),
    ('chat.blocks', 'blocker_id', 'delete'),
    ('chat.blocks', 'blocked_id', 'delete'),
    ('chat.contacts', 'user_low_id', 'delete'),
    ('chat.contacts', 'user_high_id', 'delete'),
    ('chat.conversations', 'user_low_id', 'anonymise'),
    ('chat.conversations', 'user_high_id', 'anonymise'),
    ('chat.conversations', 'created_by', 'anonymise'),
    ('chat.devices', 'user_id', 'delete'),
    ('chat.drafts', 'user_id', 'delete'),
    ('chat.hidden_messages', 'user_id', 'delete'),
    ('chat.legal_holds', 'placed_by', 'anonymise'),
    ('chat.mentions', 'user_id', 'delete'),
    ('chat.messages', 'sender_id', 'anonymise'),
    ('chat.notification_preferences', 'user_id', 'delete'),
    ('chat.notifications', 'user_id', 'delete'),
    ('chat.notifications', 'actor_id', 'anonymise'),
    ('chat.participant_settings', 'user_id', 'delete'),
    ('chat.participants', 'user_id', 'delete'),
    ('chat.pins', 'pinned_by', 'anonymise'),
    ('chat.poll_votes', 'user_id', 'delete'),
    ('chat.profiles', 'id', 'delete'),
    ('chat.reactions', 'user_id', 'delete'),
    ('chat.receipts', 'user_id', 'delete'),
    ('chat.reports', 'reporter_id', 'anonymise'),
    ('chat.reports', 'reported_user_id', 'anonymise'),
    ('chat.reports', 'resolved_by', 'anonymise'),
    ('chat.saved_messages', 'user_id', 'delete'),
    ('chat.scheduled_messages', 'user_id', 'delete'),
    ('chat.tenant_members', 'user_id', 'delete'),
    ('chat.thread_reads', 'user_id', 'delete'),
    ('chat.tier_changes', 'user_id', 'delete'),
    ('chat_private.deleted_messages', 'deleted_by', 'anonymise'),
    ('chat_private.erasures', 'user_id', 'delete'),
    ('chat_private.push_tokens', 'user_id', 'delete'),
    ('chat_private.retention_jobs', 'user_id', 'delete'),
    ('chat_private.send_windows', 'user_id', 'delete'),
    ('chat_private.unhidden_messages', 'user_id', 'delete')
) as d (table_name, column_name, action);

-- What goes with these rows.
insert into chat_private.personal_data (table_name, column_name, action)
values
('chat.attachments', 'path', 'delete'),
('chat.attachments', 'name', 'delete'),
('chat.attachments', 'mime_type', 'delete'),
('chat.attachments', 'sha256', 'delete'),
('chat.bans', 'reason', 'delete'),
('chat.devices', 'id', 'delete'),
('chat.devices', 'name', 'delete'),
('chat.devices', 'session_id', 'delete'),
('chat.drafts', 'body', 'delete'),
('chat.drafts', 'metadata', 'delete'),
('chat.contacts', 'requested_by', 'delete'),
('chat.message_revisions', 'body', 'delete'),
('chat.message_revisions', 'metadata', 'delete'),
('chat.messages', 'body', 'delete'),
('chat.messages', 'metadata', 'delete'),
('chat.notification_preferences', 'timezone', 'delete'),
('chat.notifications', 'title', 'delete'),
('chat.notifications', 'body', 'delete'),
('chat.notifications', 'metadata', 'delete'),
('chat.notifications', 'key', 'delete'),
('chat.participants', 'party', 'delete'),
('chat.poll_votes', 'option_id', 'delete'),
('chat.profiles', 'username', 'delete'),
('chat.profiles', 'display_name', 'delete'),
('chat.profiles', 'avatar_url', 'delete'),
('chat.reactions', 'emoji', 'delete'),
('chat.saved_messages', 'note', 'delete'),
('chat.scheduled_messages', 'body', 'delete'),
('chat.scheduled_messages', 'metadata', 'delete'),
('chat.scheduled_messages', 'mentions', 'delete'),
('chat_private.deleted_messages', 'body', 'delete'),
('chat_private.deleted_messages', 'metadata', 'delete'),
('chat_private.push_tokens', 'device_id', 'delete'),
('chat_private.push_tokens', 'provider', 'delete'),
('chat_private.push_tokens', 'token', 'delete');

-- What stays, and what identifies nobody.
insert into chat_private.personal_data (table_name, column_name, action, reason)
values
('chat.legal_holds', 'user_id', 'retain', 'Nobody who is held is erased.'),
('chat.legal_holds', 'reason', 'retain', 'Of a hold; the tenant''s own words.'),
('chat.report_evidence', 'body', 'retain', 'Evidence of a report, for moderators; goes with it.'),
('chat.report_evidence', 'metadata', 'retain', 'As its body.'),
('chat.report_evidence', 'message_id', 'retain', 'As its body.'),
('chat.reports', 'details', 'retain', 'A complaint stays with the tenant; who wrote it is gone.'),
('chat.reports', 'resolution', 'retain', 'The tenant''s own words.'),
('chat.conversations', 'title', 'retain', 'Of a group, not of a person.'),
('chat.conversations', 'subject_id', 'retain', 'Names a business object of the host project.'),
('chat_private.audit_log', 'actor_id', 'retain', 'Who did what, as a bare id; sealed by the chain.'),
('chat_private.audit_log', 'target_id', 'retain', 'As actor_id.'),
('chat_private.audit_log', 'details', 'retain', 'Bare ids and reasons; sealed by the chain.'),
('chat_private.orphaned_objects', 'path', 'retain', 'Until the file is removed from Storage.'),
('chat_private.erasures', 'counts', 'none', 'Numbers.'),
('chat.bans', 'id', 'none', 'Of the ban.'),
('chat.conversations', 'id', 'none', 'Of the conversation.'),
('chat.conversations', 'subject_type', 'none', 'A kind of business object.'),
('chat.legal_holds', 'id', 'none', 'Of the hold.'),
('chat.messages', 'id', 'none', 'Random; of the message, not of who sent it.'),
('chat.messages', 'search_language', 'none', 'Of the tenant.'),
('chat.notification_preferences', 'push', 'none', 'One of four words.'),
('chat.report_evidence', 'report_id', 'none', 'Of the report.'),
('chat.reports', 'id', 'none', 'Of the report.'),
('chat.reports', 'reason', 'none', 'One of nine words.'),
('chat.scheduled_messages', 'id', 'none', 'Of the message.'),
('chat.scheduled_messages', 'error_code', 'none', 'A code.'),
('chat.settings', 'who_may_start', 'none', 'Of the tenant.'),
('chat.settings', 'who_may_open_subjects', 'none', 'Of the tenant.'),
('chat.settings', 'revisions_visible_to', 'none', 'Of the tenant.'),
('chat.settings', 'attachment_mime_types', 'none', 'Of the tenant.'),
('chat.settings', 'search_language', 'none', 'Of the tenant.'),
('chat.settings', 'retention_mode', 'none', 'Of the tenant.'),
('chat.settings', 'past_search_languages', 'none', 'Of the tenant.'),
('chat.tenant_members', 'tier', 'none', 'Of many.'),
('chat.tenants', 'id', 'none', 'Of the tenant.'),
('chat.tenants', 'slug', 'none', 'Of the tenant.'),
('chat.tenants', 'name', 'none', 'Of the tenant.'),
('chat.tier_changes', 'from_tier', 'none', 'Of many.'),
('chat.tier_changes', 'to_tier', 'none', 'Of many.'),
('chat.tiers', 'name', 'none', 'Of many.'),
('chat_private.audit_heads', 'last_hash', 'none', 'A digest.'),
('chat_private.audit_log', 'actor_role', 'none', 'A role.'),
('chat_private.audit_log', 'action', 'none', 'One of some words.'),
('chat_private.audit_log', 'previous_hash', 'none', 'A digest.'),
('chat_private.audit_log', 'hash', 'none', 'A digest.'),
('chat_private.errors', 'code', 'none', 'Of Parley.'),
('chat_private.errors', 'state', 'none', 'Of Parley.'),
('chat_private.errors', 'message', 'none', 'Of Parley.'),
('chat_private.errors', 'hint', 'none', 'Of Parley.'),
('chat_private.personal_data', 'table_name', 'none', 'Of Parley.'),
('chat_private.personal_data', 'column_name', 'none', 'Of Parley.'),
('chat_private.personal_data', 'action', 'none', 'Of Parley.'),
('chat_private.personal_data', 'reason', 'none', 'Of Parley.'),
('chat_private.personal_data', 'withheld', 'none', 'Of Parley.'),
('chat_private.retention_jobs', 'cursor_conversation_id', 'none', 'Of a conversation.');

-- What an export leaves out: what others said of a person or did to them, and keys.
update chat_private.personal_data as d
set withheld = w.reason
from (
    values
    ('chat.bans', null, 'Moderators alone read bans.'),
    ('chat.blocks', 'blocked_id', 'Nobody learns who blocked them.'),
    ('chat.conversations', null, 'Of all who take part.'),
    ('chat.legal_holds', null, 'Nobody learns that they are held.'),
    ('chat.mentions', null, 'Written by others.'),
    ('chat.notifications', null, 'Says what others wrote and did.'),
    ('chat.report_evidence', null, 'Nobody learns that they were reported.'),
    ('chat.reports', 'reported_user_id', 'Nobody learns that they were reported.'),
    ('chat.reports', 'resolved_by', 'The work of a moderator, about others.'),
    ('chat_private.audit_log', null, 'Of the tenant, and sealed; its admins read it.'),
    ('chat_private.deleted_messages', null, 'Deleted or expired: nobody reads it any more.'),
    ('chat_private.erasures', null, 'Who is being erased exports nothing.'),
    ('chat_private.orphaned_objects', null, 'Deleted: nobody reads it any more.'),
    ('chat_private.push_tokens', 'token', 'A key to their device.'),
    ('chat_private.retention_jobs', null, 'Work of the sweep.')
) as w (table_name, column_name, reason)
where
    d.table_name = w.table_name
    and d.column_name = coalesce(w.column_name, d.column_name)
    and d.action <> 'none';
