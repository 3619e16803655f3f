-- Purpose: reports to the moderators of a tenant.
-- Objects: enum chat.report_state; tables chat.reports, chat.report_evidence; functions
--          chat.report_message, chat.report_user, chat.resolve_report.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

insert into chat_private.errors (code, state, message, hint)
values
    (
        'report_exists', 'PT409',
        'You have reported this already, and the report is open.',
        'Wait for a moderator.'
    ),
    (
        'report_of_self', '22023',
        'Reports are about others.',
        'Delete your own message with delete_message.'
    ),
    (
        'report_not_found', 'PT404',
        'There is no such report among those you can resolve.',
        'Check the id; reports about you are for others to resolve.'
    ),
    (
        'report_closed', 'PT409',
        'Somebody has resolved this report already.',
        'Read it again.'
    );

-- Types ----------------------------------------------------------------------------------------

create type chat.report_state as enum ('open', 'resolved', 'dismissed');

-- Tables ---------------------------------------------------------------------------------------

create table chat.reports (
    id uuid primary key default gen_random_uuid(),
    tenant_id uuid not null references chat.tenants (id) on delete cascade,
    reporter_id uuid,
    reported_user_id uuid,
    conversation_id uuid,
    message_seq bigint,
    reason text not null,
    details text,
    state chat.report_state not null default 'open',
    created_at timestamptz not null default chat_private.now(),
    resolved_at timestamptz,
    resolved_by uuid references chat.profiles (id) on delete set null,
    resolution text,
    constraint reports_tenant_id_id_key unique (tenant_id, id),
    constraint reports_reporter_id_fkey foreign key (tenant_id, reporter_id)
    references chat.tenant_members (tenant_id, user_id) on delete set null (reporter_id),
    constraint reports_reported_user_id_fkey foreign key (tenant_id, reported_user_id)
    references chat.tenant_members (tenant_id, user_id) on delete set null (reported_user_id),
    constraint reports_conversation_id_fkey foreign key (tenant_id, conversation_id)
    references chat.conversations (tenant_id, id) on delete set null (conversation_id),
    constraint reports_reason_check check (
        reason in (
            'spam', 'harassment', 'hate', 'violence', 'sexual', 'self_harm', 'illegal',
            'impersonation', 'other'
        )
    ),
    constraint reports_details_check check (length(details) between 1 and 2000),
    constraint reports_resolution_check check (
        (state = 'open') = (resolved_at is null) and length(resolution) between 1 and 2000
    )
);
comment on table chat.reports is
    'What users found wrong with a message or a user. Read by who reported and by the moderators '
    'of the tenant, but not by the one reported.';
comment on column chat.reports.message_seq is
    'No foreign key: a report outlives the message. Null: the report is about the user.';
alter table chat.reports enable row level security;
grant select on chat.reports to authenticated, service_role;

create table chat.report_evidence (
    report_id uuid primary key,
    tenant_id uuid not null,
    message_id uuid not null,
    kind chat.message_kind not null,
    body text,
    metadata jsonb not null,
    sent_at timestamptz not null,
    constraint report_evidence_report_id_fkey foreign key (tenant_id, report_id)
    references chat.reports (tenant_id, id) on delete cascade
);
comment on table chat.report_evidence is
    'The message as it was when it was reported. For moderators alone: whoever reports must not '
    'keep a copy of what expires or is deleted.';
alter table chat.report_evidence enable row level security;
grant select on chat.report_evidence to authenticated, service_role;

-- Indexes --------------------------------------------------------------------------------------

-- Serve: one open report for each reporter and target.
create unique index reports_open_message_idx
on chat.reports (reporter_id, conversation_id, message_seq)
where state = 'open' and message_seq is not null;
create unique index reports_open_user_idx
on chat.reports (reporter_id, tenant_id, reported_user_id)
where state = 'open' and message_seq is null;

-- Serves: a tenant's reports, open ones first seen, newest first.
create index reports_tenant_id_state_created_at_idx
on chat.reports (tenant_id, state, created_at desc);

-- Serve: one's own reports; the foreign keys.
create index reports_reporter_id_idx on chat.reports (reporter_id, tenant_id);
create index reports_reported_user_id_idx on chat.reports (tenant_id, reported_user_id);
create index reports_conversation_id_idx on chat.reports (tenant_id, conversation_id);
create index reports_resolved_by_idx on chat.reports (resolved_by);
create index report_evidence_tenant_id_report_id_idx
on chat.report_evidence (tenant_id, report_id);

-- Functions ------------------------------------------------------------------------------------

-- Security definer: makes rows its caller may only read. Checks that the caller can read the
-- message; keeps a copy of it.
create function chat_private.report_message(
    conversation_id uuid,
    seq bigint,
    reason text,
    details text
)
returns chat.reports
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_participant constant chat.participants :=
        chat_private.require_participant(report_message.conversation_id);
    v_message constant chat.messages :=
        chat_private.require_message(v_participant, report_message.seq);
    v_report chat.reports;
begin
    if v_message.sender_id = v_participant.user_id then
        perform chat_private.raise_error('report_of_self');
    end if;
    insert into chat.reports as r (
        tenant_id, reporter_id, reported_user_id, conversation_id, message_seq, reason, details
    )
    values (
        v_participant.tenant_id,
        v_participant.user_id,
        v_message.sender_id,
        v_message.conversation_id,
        v_message.seq,
        report_message.reason,
        report_message.details
    )
    on conflict do nothing
    returning r.* into v_report;
    if not found then
        perform chat_private.raise_error('report_exists');
    end if;
    insert into chat.report_evidence (
        report_id, tenant_id, message_id, kind, body, metadata, sent_at
    )
    values (
        v_report.id,
        v_report.tenant_id,
        v_message.id,
        v_message.kind,
        v_message.body,
        v_message.metadata,
        v_message.created_at
    );
    return v_report;
end;
$$;
revoke execute on function chat_private.report_message(uuid, bigint, text, text)
from public, anon;
grant execute on function chat_private.report_message(uuid, bigint, text, text)
to authenticated;

create function chat.report_message(
    conversation_id uuid,
    seq bigint,
    reason text,
    details text default null
)
returns chat.reports
language sql
set search_path = ''
begin atomic
select chat_private.report_message(conversation_id, seq, reason, details);
end;
comment on function chat.report_message(uuid, bigint, text, text) is
    'Reports a message to the moderators of the tenant, who also get a copy of it. reason: spam, '
    'harassment, hate, violence, sexual, self_harm, illegal, impersonation or other.';
revoke execute on function chat.report_message(uuid, bigint, text, text) from public, anon;
grant execute on function chat.report_message(uuid, bigint, text, text) to authenticated;

-- Security definer: as above. Checks that the user is, or was, of the same tenant.
create function chat_private.report_user(
    user_id uuid,
    reason text,
    details text,
    tenant_id uuid
)
returns chat.reports
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := auth.uid();
    v_tenant_id uuid;
    v_report chat.reports;
begin
    if v_user_id is null then
        perform chat_private.raise_error('sign_in_required');
    end if;
    v_tenant_id := chat_private.resolve_tenant(report_user.tenant_id);
    if report_user.user_id = v_user_id then
        perform chat_private.raise_error('report_of_self');
    end if;
    perform
    from chat.tenant_members as m
    where m.tenant_id = v_tenant_id and m.user_id = report_user.user_id;
    if not found then
        perform chat_private.raise_error('user_not_found');
    end if;
    insert into chat.reports as r (tenant_id, reporter_id, reported_user_id, reason, details)
    values (
        v_tenant_id,
        v_user_id,
        report_user.user_id,
        report_user.reason,
        report_user.details
    )
    on conflict do nothing
    returning r.* into v_report;
    if not found then
        perform chat_private.raise_error('report_exists');
    end if;
    return v_report;
end;
$$;
revoke execute on function chat_private.report_user(uuid, text, text, uuid) from public, anon;
grant execute on function chat_private.report_user(uuid, text, text, uuid) to authenticated;

create function chat.report_user(
    user_id uuid,
    reason text,
    details text default null,
    tenant_id uuid default null
)
returns chat.reports
language sql
set search_path = ''
begin atomic
select chat_private.report_user(user_id, reason, details, tenant_id);
end;
comment on function chat.report_user(uuid, text, text, uuid) is
    'Reports a user to the moderators of the tenant. Reasons as in report_message.';
revoke execute on function chat.report_user(uuid, text, text, uuid) from public, anon;
grant execute on function chat.report_user(uuid, text, text, uuid) to authenticated;

-- Security definer: changes a row its caller may only read. Checks that the caller moderates the
-- report's tenant and is not whom it is about.
create function chat_private.resolve_report(report_id uuid, state text, resolution text)
returns chat.reports
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_report chat.reports;
begin
    if auth.uid() is null then
        perform chat_private.raise_error('sign_in_required');
    end if;
    select r.* into v_report
    from chat.reports as r
    where
        r.id = resolve_report.report_id
        and r.tenant_id = any (array(select chat_private.tenant_ids_for_moderator()))
        and r.reported_user_id is distinct from auth.uid()
    for no key update;
    if not found then
        perform chat_private.raise_error('report_not_found');
    end if;
    if v_report.state <> 'open' then
        perform chat_private.raise_error('report_closed');
    end if;
    update chat.reports as r
    set state = resolve_report.state::chat.report_state,
        resolution = resolve_report.resolution,
        resolved_by = auth.uid(),
        resolved_at = chat_private.now()
    where r.id = v_report.id
    returning r.* into v_report;
    return v_report;
end;
$$;
revoke execute on function chat_private.resolve_report(uuid, text, text) from public, anon;
grant execute on function chat_private.resolve_report(uuid, text, text) to authenticated;

create function chat.resolve_report(report_id uuid, state text, resolution text default null)
returns chat.reports
language sql
set search_path = ''
begin atomic
select chat_private.resolve_report(report_id, state, resolution);
end;
comment on function chat.resolve_report(uuid, text, text) is
    'Closes a report as resolved or dismissed, for moderators. The resolution is a note that who '
    'reported can read.';
revoke execute on function chat.resolve_report(uuid, text, text) from public, anon;
grant execute on function chat.resolve_report(uuid, text, text) to authenticated;

-- Policies -------------------------------------------------------------------------------------

create policy "users can read their reports, moderators those of their tenants"
on chat.reports for select
to authenticated
using (
    (
        reporter_id = (select auth.uid())
        and tenant_id = any (array(select chat_private.tenant_ids_for_member()))
    )
    or (
        tenant_id = any (array(select chat_private.tenant_ids_for_moderator()))
        and reported_user_id is distinct from (select auth.uid())
    )
);

-- The policy on chat.reports keeps a reported moderator out of the inner query.
create policy "moderators can read what was reported"
on chat.report_evidence for select
to authenticated
using (
    tenant_id = any (array(select chat_private.tenant_ids_for_moderator()))
    and exists (select from chat.reports as r where r.id = report_evidence.report_id)
);
