-- Purpose: what a sweep would remove, before it does; and what it would by another policy.
-- Objects: function chat.preview_retention.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

-- Functions ------------------------------------------------------------------------------------

-- By the rule that the sweep asks, of the policy of today or a supposed one; what is written in
-- messages.expires_at only serves to find few of them, where it must be what the rule says.
-- Security definer: reads everything of a tenant. Checks that the caller is the service role, or owner
-- or admin of it.
create function chat_private.preview_retention(
    tenant_id uuid,
    at timestamptz,
    policy jsonb
)
returns table (
    tier text,
    step text,
    messages bigint,
    bytes bigint,
    files bigint,
    file_bytes bigint,
    held_messages bigint
)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
    v_tenant_id constant uuid := chat_private.require_hold_admin(preview_retention.tenant_id);
    v_at constant timestamptz := coalesce(preview_retention.at, chat_private.now());
    v_window constant interval := coalesce(
        (preview_retention.policy ->> 'restore_window')::interval,
        (chat_private.settings_for(v_tenant_id)).restore_window
    );
    -- Nothing supposed, nothing left to rewrite.
    v_is_written constant boolean := preview_retention.policy is null and not exists (
        select
        from chat_private.retention_jobs as j
        where j.tenant_id = v_tenant_id
    );
begin
    return query
    with senders as materialized (
        select
            p.conversation_id,
            p.user_id as sender_id,
            chat_private.lifetimes_for(
                p.conversation_id, p.user_id, preview_retention.policy
            ) as lifetimes
        from chat.participants as p
        where p.tenant_id = v_tenant_id and not v_is_written
        union all
        select
            c.id,
            null,
            chat_private.lifetimes_for(c.id, null, preview_retention.policy)
        from chat.conversations as c
        where c.tenant_id = v_tenant_id and not v_is_written
    ),

    living as (
        select
            m.conversation_id,
            m.seq,
            m.sender_id,
            m.body,
            m.metadata
        from chat.conversations as c
        inner join chat.messages as m on c.id = m.conversation_id
        where
            v_is_written
            and c.tenant_id = v_tenant_id
            and c.expires_from <= v_at
            and m.deleted_at is null
            and (m.expires_at at time zone 'UTC')::date <= (v_at at time zone 'UTC')::date
            and m.expires_at <= v_at
        union all
        select
            m.conversation_id,
            m.seq,
            m.sender_id,
            m.body,
            m.metadata
        from senders as s
        inner join chat.messages as m
            on s.conversation_id = m.conversation_id and s.sender_id is not distinct from m.sender_id
        left join chat_private.restored_messages as r
            on m.conversation_id = r.conversation_id and m.seq = r.message_seq
        where
            m.deleted_at is null
            and case
                when s.lifetimes is null then m.expires_at <= v_at
                else chat_private.expiry(m.created_at, s.lifetimes) <= v_at
            end
            and (r.kept_until is null or r.kept_until <= v_at)
    ),

    candidates as (
        select
            l.conversation_id,
            l.seq,
            l.sender_id,
            'expire' as step,
            octet_length(l.metadata::text) + coalesce(octet_length(l.body), 0) as bytes
        from living as l
        union all
        select
            m.conversation_id,
            m.seq,
            m.sender_id,
            'purge',
            octet_length(d.metadata::text) + coalesce(octet_length(d.body), 0)
        from chat_private.deleted_messages as d
        inner join chat.messages as m
            on d.conversation_id = m.conversation_id and d.message_seq = m.seq
        inner join chat.conversations as c on d.conversation_id = c.id
        where
            c.tenant_id = v_tenant_id
            and d.purged_at is null
            and d.removed_at + v_window <= v_at
            -- What would live by the supposed policy comes back instead.
            and (v_is_written or not d.is_expired or exists (
                select
                from senders as s
                where
                    s.conversation_id = m.conversation_id
                    and s.sender_id is not distinct from m.sender_id
                    and (
                        s.lifetimes is null
                        or chat_private.expiry(m.created_at, s.lifetimes) <= v_at
                    )
            ))
    )

    select
        coalesce(t.tier, 'none'),
        k.step,
        count(*) filter (where not h.is_held),
        coalesce(sum(k.bytes) filter (where not h.is_held), 0)::bigint,
        coalesce(sum(f.files) filter (where not h.is_held), 0)::bigint,
        coalesce(sum(f.file_bytes) filter (where not h.is_held), 0)::bigint,
        count(*) filter (where h.is_held)
    from candidates as k
    left join chat.tenant_members as t on t.tenant_id = v_tenant_id and k.sender_id = t.user_id
    cross join lateral (
        select chat_private.is_held(v_tenant_id, k.conversation_id, k.sender_id) as is_held
    ) as h
    cross join lateral (
        select
            count(*) as files,
            coalesce(sum(a.size_bytes), 0) as file_bytes
        from chat.attachments as a
        where a.conversation_id = k.conversation_id and a.message_seq = k.seq
    ) as f
    group by 1, 2
    order by 2, 1;
end;
$$;
revoke execute on function chat_private.preview_retention(uuid, timestamptz, jsonb)
from public, anon;
grant execute on function chat_private.preview_retention(uuid, timestamptz, jsonb)
to authenticated, service_role;

create function chat.preview_retention(
    tenant_id uuid default null,
    at timestamptz default null,
    policy jsonb default null
)
returns table (
    tier text,
    step text,
    messages bigint,
    bytes bigint,
    files bigint,
    file_bytes bigint,
    held_messages bigint
)
language sql
stable
set search_path = ''
begin atomic
select p.* from chat_private.preview_retention(tenant_id, at, policy) as p;
end;
comment on function chat.preview_retention(uuid, timestamptz, jsonb) is
    'What a sweep at a time, or now, would take from readers (step expire) and remove for good (step '
    'purge), by the tier of who sent it; held_messages are beside these, kept by legal holds. policy '
    'supposes another one: {"retention_mode", "retention", "restore_window", "tiers": {"free": "7 '
    'days"}}. For the service role and for owners and admins of the tenant.';
revoke execute on function chat.preview_retention(uuid, timestamptz, jsonb) from public, anon;
grant execute on function chat.preview_retention(uuid, timestamptz, jsonb)
to authenticated, service_role;
