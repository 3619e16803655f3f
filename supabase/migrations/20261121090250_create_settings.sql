-- Purpose: what a tenant decides for itself.
-- Objects: table chat.settings, one row for each tenant, made with it.
-- Locks:   none on existing tables of the host project.
-- Breaking: no.

set lock_timeout = '5s';

-- Tables ---------------------------------------------------------------------------------------

create table chat.settings (
    tenant_id uuid primary key references chat.tenants (id) on delete cascade,
    who_may_start text not null default 'members',
    who_may_open_subjects text not null default 'moderators',
    max_participants integer not null default 1000,
    fan_out_limit integer not null default 50,
    message_max_length integer not null default 10000,
    edit_window interval,
    revisions_visible_to text not null default 'participants',
    sends_per_minute integer,
    pins_per_conversation integer not null default 50,
    attachments_per_message integer not null default 10,
    attachment_max_bytes bigint not null default 10485760,
    attachment_mime_types text [] not null
    default '{image/jpeg,image/png,image/gif,image/webp}',
    search_language text not null default 'simple',
    retention_mode text not null default 'sender_tier',
    retention interval,
    downgrade_grace interval not null default '30 days',
    restore_window interval not null default '30 days',
    may_set_retention boolean not null default false,
    constraint settings_who_may_start_check check (
        who_may_start in ('members', 'contacts', 'moderators')
    ),
    constraint settings_who_may_open_subjects_check check (
        who_may_open_subjects in ('members', 'moderators', 'nobody')
    ),
    constraint settings_max_participants_check check (max_participants between 2 and 10000),
    constraint settings_fan_out_limit_check check (fan_out_limit between 0 and 1000),
    constraint settings_message_max_length_check check (message_max_length between 1 and 10000),
    constraint settings_edit_window_check check (edit_window >= interval '0'),
    constraint settings_revisions_visible_to_check check (
        revisions_visible_to in ('nobody', 'admins', 'participants')
    ),
    constraint settings_sends_per_minute_check check (sends_per_minute > 0),
    constraint settings_pins_per_conversation_check check (
        pins_per_conversation between 0 and 1000
    ),
    constraint settings_attachments_per_message_check check (
        attachments_per_message between 0 and 10
    ),
    constraint settings_attachment_max_bytes_check check (attachment_max_bytes > 0),
    constraint settings_attachment_mime_types_check check (
        cardinality(attachment_mime_types) <= 100
    ),
    constraint settings_retention_mode_check check (
        retention_mode in ('sender_tier', 'longest_tier', 'fixed')
    ),
    constraint settings_retention_check check (retention > interval '0'),
    constraint settings_downgrade_grace_check check (downgrade_grace >= interval '0'),
    constraint settings_restore_window_check check (restore_window >= interval '0'),
    -- What every supported PostgreSQL has. Not other configurations: whoever dropped one would
    -- stop all sending.
    constraint settings_search_language_check check (
        search_language in (
            'simple', 'arabic', 'armenian', 'basque', 'catalan', 'danish', 'dutch', 'english',
            'finnish', 'french', 'german', 'greek', 'hindi', 'hungarian', 'indonesian', 'irish',
            'italian', 'lithuanian', 'nepali', 'norwegian', 'portuguese', 'romanian', 'russian',
            'serbian', 'spanish', 'swedish', 'tamil', 'turkish', 'yiddish'
        )
    )
);
comment on table chat.settings is
    'What a tenant decides for itself. Read by its members, written by its owners and admins.';
comment on column chat.settings.who_may_open_subjects is
    'Who may open the conversation of a business object. The service role always may. With '
    '''members'', whoever comes first owns the conversation of any id they can name.';
comment on column chat.settings.fan_out_limit is
    'Up to how many participants each change is also sent to every inbox. Beyond it, participants '
    'hear of it on the conversation''s topic, or when they next read their inbox.';
comment on column chat.settings.edit_window is 'How long a message can be edited. Null: always.';
comment on column chat.settings.sends_per_minute is 'By one user, in the tenant. Null: no limit.';
comment on column chat.settings.search_language is
    'How the words of new messages are indexed: a text search configuration. Text and not '
    'regconfig, which pg_upgrade cannot carry.';
comment on column chat.settings.retention_mode is
    'What decides how long messages live: the tier of who sent each, the longest tier among those '
    'who take part or did, or retention for all. A change applies to messages already sent.';
comment on column chat.settings.retention is
    'How long messages live where retention_mode is fixed. Null: for ever.';
comment on column chat.settings.downgrade_grace is
    'How long after a change to a lower tier messages live by the higher one.';
comment on column chat.settings.restore_window is
    'How long what expired, or was deleted, can be restored before it is purged.';
comment on column chat.settings.may_set_retention is
    'Whether owners and admins of a conversation may decide how long its messages live.';
alter table chat.settings enable row level security;
grant select on chat.settings to authenticated;
grant update (
    who_may_start, who_may_open_subjects, max_participants, fan_out_limit, message_max_length,
    edit_window, revisions_visible_to, sends_per_minute, pins_per_conversation,
    attachments_per_message, attachment_max_bytes, attachment_mime_types, search_language,
    retention_mode, retention, downgrade_grace, restore_window, may_set_retention
) on chat.settings to authenticated;
grant select, update on chat.settings to service_role;

-- Functions ------------------------------------------------------------------------------------

create function chat_private.settings_for(tenant_id uuid)
returns chat.settings
language plpgsql
stable
set search_path = ''
as $$
declare
    v_settings chat.settings;
begin
    select s.* into strict v_settings
    from chat.settings as s
    where s.tenant_id = settings_for.tenant_id;
    return v_settings;
end;
$$;
revoke execute on function chat_private.settings_for(uuid) from public, anon, authenticated;

-- Security definer: whoever makes a tenant needs no right to insert settings.
create function chat_private.create_settings()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    insert into chat.settings (tenant_id) values (new.id);
    return null;
end;
$$;
revoke execute on function chat_private.create_settings() from public, anon, authenticated;

-- Security definer: as tenant_ids_for_member; the caller's own tenants, where they may moderate.
create function chat_private.tenant_ids_for_moderator()
returns setof uuid
language plpgsql
stable
parallel safe
security definer
rows 1
set search_path = ''
as $$
begin
    return query
    select m.tenant_id
    from chat.tenant_members as m
    where m.user_id = auth.uid() and m.removed_at is null and m.role <> 'member';
end;
$$;
revoke execute on function chat_private.tenant_ids_for_moderator() from public, anon;
grant execute on function chat_private.tenant_ids_for_moderator() to authenticated;

-- Triggers -------------------------------------------------------------------------------------

create trigger tenants_create_settings
after insert on chat.tenants
for each row execute function chat_private.create_settings();

-- Policies -------------------------------------------------------------------------------------

create policy "members can read their tenants' settings"
on chat.settings for select
to authenticated
using (tenant_id = any (array(select chat_private.tenant_ids_for_member())));

create policy "admins can change their tenants' settings"
on chat.settings for update
to authenticated
using (tenant_id = any (array(select chat_private.tenant_ids_for_admin())))
with check (tenant_id = any (array(select chat_private.tenant_ids_for_admin())));

insert into chat.settings (tenant_id)
select t.id
from chat.tenants as t;
