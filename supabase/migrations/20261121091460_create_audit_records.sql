-- Purpose: who did what, into the audit log.
-- Objects: functions chat_private.record_*, and the triggers that call them.
-- Locks:   share row exclusive on ten tables of chat, for as long as it takes to add triggers.
-- Breaking: no.

set lock_timeout = '5s';

-- Functions ------------------------------------------------------------------------------------

-- {"column": {"from": ..., "to": ...}} for each column whose value differs.
create function chat_private.changes_between(before jsonb, after jsonb)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
begin
    return (
        select
            coalesce(
                jsonb_object_agg(
                    n.key,
                    jsonb_build_object('from', changes_between.before -> n.key, 'to', n.value)
                ),
                '{}'
            )
        from jsonb_each(changes_between.after) as n
        where n.value is distinct from changes_between.before -> n.key
    );
end;
$$;
revoke execute on function chat_private.changes_between(jsonb, jsonb)
from public, anon, authenticated;

-- Security definer, as all that record: whoever makes the change has no right on the log. People
-- are listed 500 to a row.
create function chat_private.record_tenant_members()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform chat_private.record_audit(
        l.tenant_id,
        case tg_op when 'INSERT' then 'tenant_members_added' else 'tenant_members_deleted' end,
        case when count(*) = 1 then (array_agg(l.user_id))[1] end,
        null,
        jsonb_build_object(
            'members',
            jsonb_agg(jsonb_build_object('user_id', l.user_id, 'role', l.role, 'tier', l.tier))
        )
    )
    from (
        select
            m.tenant_id,
            m.user_id,
            m.role,
            m.tier,
            (row_number() over (partition by m.tenant_id order by m.user_id) - 1) / 500 as part
        from changed_members as m
    ) as l
    group by l.tenant_id, l.part;
    return null;
end;
$$;
revoke execute on function chat_private.record_tenant_members() from public, anon, authenticated;

-- Security definer: as above.
create function chat_private.record_tenant_member_change()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform chat_private.record_audit(
        new.tenant_id,
        case
            when old.removed_at is null and new.removed_at is not null
                then 'tenant_member_removed'
            when old.removed_at is not null and new.removed_at is null
                then 'tenant_member_restored'
            when old.role <> new.role then 'tenant_role_changed'
            else 'tenant_member_changed'
        end,
        new.user_id,
        null,
        chat_private.changes_between(to_jsonb(old), to_jsonb(new))
    );
    return null;
end;
$$;
revoke execute on function chat_private.record_tenant_member_change()
from public, anon, authenticated;

-- Of direct conversations nothing: the pair is fixed.
-- Security definer: as above.
create function chat_private.record_participants()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform chat_private.record_audit(
        l.tenant_id,
        'participants_added',
        case when count(*) = 1 then (array_agg(l.user_id))[1] end,
        l.conversation_id,
        jsonb_build_object(
            'participants',
            jsonb_agg(jsonb_build_object('user_id', l.user_id, 'role', l.role))
        )
    )
    from (
        select
            p.tenant_id,
            p.conversation_id,
            p.user_id,
            p.role,
            (row_number() over (partition by p.conversation_id order by p.user_id) - 1)
            / 500 as part
        from new_participants as p
        inner join chat.conversations as c on p.conversation_id = c.id
        where c.kind <> 'direct' and p.left_at is null
    ) as l
    group by l.tenant_id, l.conversation_id, l.part;
    return null;
end;
$$;
revoke execute on function chat_private.record_participants() from public, anon, authenticated;

-- Security definer: as above.
create function chat_private.record_participant_change()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_is_left constant boolean := old.left_at is null and new.left_at is not null;
    v_is_back constant boolean := old.left_at is not null and new.left_at is null;
begin
    if (v_is_left or v_is_back) and exists (
        select
        from chat.conversations as c
        where c.id = new.conversation_id and c.kind <> 'direct'
    ) then
        perform chat_private.record_audit(
            new.tenant_id,
            case when v_is_left then 'participant_left' else 'participants_added' end,
            new.user_id,
            new.conversation_id,
            case
                when v_is_left then '{}'
                else jsonb_build_object(
                    'participants',
                    jsonb_build_array(
                        jsonb_build_object('user_id', new.user_id, 'role', new.role)
                    )
                )
            end
        );
    end if;
    if old.role <> new.role and not v_is_back then
        perform chat_private.record_audit(
            new.tenant_id,
            'participant_role_changed',
            new.user_id,
            new.conversation_id,
            jsonb_build_object('role', jsonb_build_object('from', old.role, 'to', new.role))
        );
    end if;
    if old.silenced_until is distinct from new.silenced_until then
        perform chat_private.record_audit(
            new.tenant_id,
            'participant_silenced',
            new.user_id,
            new.conversation_id,
            jsonb_build_object(
                'silenced_until',
                jsonb_build_object('from', old.silenced_until, 'to', new.silenced_until)
            )
        );
    end if;
    return null;
end;
$$;
revoke execute on function chat_private.record_participant_change()
from public, anon, authenticated;

-- Security definer: as above.
create function chat_private.record_slow_mode()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform chat_private.record_audit(
        new.tenant_id,
        'slow_mode_changed',
        null,
        new.id,
        jsonb_build_object(
            'slow_mode_seconds',
            jsonb_build_object('from', old.slow_mode_seconds, 'to', new.slow_mode_seconds)
        )
    );
    return null;
end;
$$;
revoke execute on function chat_private.record_slow_mode() from public, anon, authenticated;

-- A message whose time is over is not deleted by anybody: that is no news.
-- Security definer: as above.
create function chat_private.record_message_deletion()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    if auth.uid() is not distinct from old.sender_id
        or old.expires_at <= chat_private.now()
    then
        return null;
    end if;
    perform chat_private.record_audit(
        c.tenant_id,
        'message_deleted',
        old.sender_id,
        old.conversation_id,
        jsonb_build_object('seq', old.seq, 'message_id', old.id)
    )
    from chat.conversations as c
    where c.id = old.conversation_id;
    return null;
end;
$$;
revoke execute on function chat_private.record_message_deletion()
from public, anon, authenticated;

-- Security definer: as above.
create function chat_private.record_ban()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform chat_private.record_audit(
        new.tenant_id,
        case when new.lifted_at is null then 'user_banned' else 'user_unbanned' end,
        new.user_id,
        null,
        jsonb_build_object('ban_id', new.id, 'reason', new.reason, 'expires_at', new.expires_at)
    );
    return null;
end;
$$;
revoke execute on function chat_private.record_ban() from public, anon, authenticated;

-- Security definer: as above.
create function chat_private.record_report()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform chat_private.record_audit(
        new.tenant_id,
        'report_resolved',
        new.reported_user_id,
        new.conversation_id,
        jsonb_build_object('report_id', new.id, 'state', new.state, 'seq', new.message_seq)
    );
    return null;
end;
$$;
revoke execute on function chat_private.record_report() from public, anon, authenticated;

-- Security definer: as above.
create function chat_private.record_settings()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform chat_private.record_audit(
        new.tenant_id,
        'settings_changed',
        null,
        null,
        chat_private.changes_between(to_jsonb(old), to_jsonb(new))
    );
    return null;
end;
$$;
revoke execute on function chat_private.record_settings() from public, anon, authenticated;

-- Security definer: as above.
create function chat_private.record_tenant()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform chat_private.record_audit(
        new.id,
        case tg_op when 'INSERT' then 'tenant_created' else 'tenant_changed' end,
        null,
        null,
        chat_private.changes_between(
            case tg_op when 'INSERT' then '{}' else to_jsonb(old) end, to_jsonb(new)
        )
    );
    return null;
end;
$$;
revoke execute on function chat_private.record_tenant() from public, anon, authenticated;

-- Tiers belong to no tenant: they go into the chain of the installation, the nil uuid.
-- Security definer: as above.
create function chat_private.record_tier()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform chat_private.record_audit(
        '00000000-0000-0000-0000-000000000000',
        'tier_changed',
        null,
        null,
        jsonb_build_object(
            'from', case when tg_op <> 'INSERT' then to_jsonb(old) end,
            'to', case when tg_op <> 'DELETE' then to_jsonb(new) end
        )
    );
    return null;
end;
$$;
revoke execute on function chat_private.record_tier() from public, anon, authenticated;

-- Triggers -------------------------------------------------------------------------------------

-- What records fires after what locks conversations (announce_..., leave_...): by name, or because
-- it fires once a statement.
create trigger tenant_members_record_added
after insert on chat.tenant_members
referencing new table as changed_members
for each statement
when (chat_private.is_live())
execute function chat_private.record_tenant_members();

create trigger tenant_members_record_deleted
after delete on chat.tenant_members
referencing old table as changed_members
for each statement
when (chat_private.is_live())
execute function chat_private.record_tenant_members();

create trigger tenant_members_record_change
after update on chat.tenant_members
for each row
when (old.* is distinct from new.*)
execute function chat_private.record_tenant_member_change();

create trigger participants_record_added
after insert on chat.participants
referencing new table as new_participants
for each statement
when (chat_private.is_live())
execute function chat_private.record_participants();

create trigger participants_record_change
after update of left_at, role, silenced_until on chat.participants
for each row
when (
    (old.left_at is null) <> (new.left_at is null)
    or old.role <> new.role
    or old.silenced_until is distinct from new.silenced_until
)
execute function chat_private.record_participant_change();

create trigger conversations_record_slow_mode
after update of slow_mode_seconds on chat.conversations
for each row
when (old.slow_mode_seconds <> new.slow_mode_seconds)
execute function chat_private.record_slow_mode();

create trigger messages_record_deletion
after update of deleted_at on chat.messages
for each row
when (old.deleted_at is null and new.deleted_at is not null and chat_private.is_live())
execute function chat_private.record_message_deletion();

create trigger bans_record_ban
after insert or update of reason, expires_at, lifted_at on chat.bans
for each row execute function chat_private.record_ban();

create trigger reports_record_report
after update of state on chat.reports
for each row
when (old.state <> new.state)
execute function chat_private.record_report();

create trigger settings_record_settings
after update on chat.settings
for each row
when (old.* is distinct from new.*)
execute function chat_private.record_settings();

create trigger tenants_record_tenant
after insert or update on chat.tenants
for each row
when (chat_private.is_live())
execute function chat_private.record_tenant();

create trigger tiers_record_tier
after insert or update or delete on chat.tiers
for each row execute function chat_private.record_tier();
