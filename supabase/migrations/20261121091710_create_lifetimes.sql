-- Purpose: until when a message can be read: one rule, asked by all that send, rewrite and remove.
-- Objects: type chat_private.lifetime; functions chat_private.lifetimes_for, chat_private.expiry,
--          chat_private.changed_expiries; indexes on chat.messages and chat.conversations.
-- Locks:   share on chat.messages and chat.conversations while indexes are built. Large tables:
--          build them concurrently before, by hand, with these names.
-- Breaking: no.
--
-- What somebody's messages live by is a list of lifetimes, each from its own time on: the first
-- from ever; others where a downgrade is to come. A message expires at the first moment at which
-- it is as old as the lifetime of that moment says. As later lifetimes are shorter, that is
--
--     least, over the list, of greatest(created_at + retention, starts_at)
--
-- So a downgrade need not do anything at the moment it comes into effect: the time can be written to
-- messages at any time before, and what is written is exact.

set lock_timeout = '5s';

-- Types ----------------------------------------------------------------------------------------

-- Whose it is matters where the longest counts. Null retention: for ever; null starts_at: from ever.
create type chat_private.lifetime as (user_id uuid, retention interval, starts_at timestamptz);

-- Indexes --------------------------------------------------------------------------------------

-- Serves: what has expired in a conversation, and what expires next. By the day, so that many messages
-- share an entry: by the microsecond it takes 60 bytes a message, and so a few.
-- Made with the table, while it is empty.
-- squawk-ignore require-concurrent-index-creation
create index messages_expires_at_idx
on chat.messages (conversation_id, ((expires_at at time zone 'UTC')::date))
where deleted_at is null and expires_at is not null;

-- Serves: the conversations in which something has expired, oldest first.
-- squawk-ignore require-concurrent-index-creation
create index conversations_expires_from_idx on chat.conversations (expires_from, id)
where expires_from is not null;

-- Functions ------------------------------------------------------------------------------------

-- What messages of somebody in a conversation live by. Null: nobody sent it, so by what it has.
-- `policy` says what to suppose instead of what is: {"retention_mode", "retention", "tiers": {"free":
-- "7 days"}}, where a null lives for ever.
create function chat_private.lifetimes_for(
    conversation_id uuid,
    sender_id uuid,
    policy jsonb default null
)
returns chat_private.lifetime []
language plpgsql
stable
set search_path = ''
as $$
declare
    v_rule record;
    v_user_ids uuid [];
begin
    select
        c.tenant_id,
        coalesce(lifetimes_for.policy ->> 'retention_mode', s.retention_mode) as mode,
        c.retention as own_retention,
        case
            when lifetimes_for.policy ? 'retention'
                then (lifetimes_for.policy ->> 'retention')::interval
            else s.retention
        end as retention,
        m.tier,
        t.retention as tier_retention
    into v_rule
    from chat.conversations as c
    inner join chat.settings as s on c.tenant_id = s.tenant_id
    left join chat.tenant_members as m
        on c.tenant_id = m.tenant_id and m.user_id = lifetimes_for.sender_id
    left join chat.tiers as t on m.tier = t.name
    where c.id = lifetimes_for.conversation_id;
    if v_rule.own_retention is not null then
        return array[row(null, v_rule.own_retention, null)::chat_private.lifetime];
    elsif v_rule.mode = 'fixed' then
        return array[row(null, v_rule.retention, null)::chat_private.lifetime];
    elsif v_rule.mode = 'longest_tier' then
        v_user_ids := array(
            select p.user_id
            from chat.participants as p
            where p.conversation_id = lifetimes_for.conversation_id
        );
    elsif v_rule.tier is null then
        return null;
    elsif lifetimes_for.policy is null and not exists (
        select
        from chat.tier_changes as c
        where
            c.tenant_id = v_rule.tenant_id
            and c.user_id = lifetimes_for.sender_id
            and c.ended_at is null
    ) then
        -- Nearly everybody.
        return array[
            row(lifetimes_for.sender_id, v_rule.tier_retention, null)::chat_private.lifetime
        ];
    else
        v_user_ids := array[lifetimes_for.sender_id];
    end if;
    return array(
        select
            row(
                l.user_id,
                case
                    when lifetimes_for.policy -> 'tiers' ? l.tier
                        then (lifetimes_for.policy -> 'tiers' ->> l.tier)::interval
                    else t.retention
                end,
                l.starts_at
            )::chat_private.lifetime
        from (
            select
                m.user_id,
                coalesce(
                    (
                        select c.from_tier
                        from chat.tier_changes as c
                        where
                            c.tenant_id = m.tenant_id
                            and c.user_id = m.user_id
                            and c.ended_at is null
                        order by c.effective_at, c.id
                        limit 1
                    ),
                    m.tier
                ) as tier,
                null::timestamptz as starts_at
            from chat.tenant_members as m
            where m.tenant_id = v_rule.tenant_id and m.user_id = any (v_user_ids)
            union all
            select
                c.user_id,
                c.to_tier,
                c.effective_at
            from chat.tier_changes as c
            where
                c.tenant_id = v_rule.tenant_id
                and c.user_id = any (v_user_ids)
                and c.ended_at is null
        ) as l
        inner join chat.tiers as t on l.tier = t.name
    );
end;
$$;
revoke execute on function chat_private.lifetimes_for(uuid, uuid, jsonb)
from public, anon, authenticated;

-- When a message sent at a time expires: by whoever's lifetimes let it live longest. Null: never.
create function chat_private.expiry(created_at timestamptz, lifetimes chat_private.lifetime [])
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
begin
    if cardinality(expiry.lifetimes) = 1 then
        return expiry.created_at + expiry.lifetimes[1].retention;
    end if;
    return (
        select nullif(max(u.expires_at), 'infinity')
        from (
            select
                min(
                    greatest(
                        coalesce(expiry.created_at + l.retention, 'infinity'), l.starts_at
                    )
                ) as expires_at
            from unnest(expiry.lifetimes) as l
            group by l.user_id
        ) as u
    );
end;
$$;
revoke execute on function chat_private.expiry(timestamptz, chat_private.lifetime [])
from public, anon, authenticated;

-- What the rule says of messages, of however many conversations, where it is not what is written. They
-- are looked up as pairs, here and wherever many are: with the conversation as a constant, a plan that
-- is kept may read the whole conversation, since most are small. A message whose sender is gone keeps
-- what it has; one that was restored lives at least until it was restored to.
create function chat_private.changed_expiries(conversation_ids uuid [], seqs bigint [])
returns table (conversation_id uuid, seq bigint, expires_at timestamptz)
language plpgsql
stable
set search_path = ''
as $$
begin
    return query
    with judged as (
        select
            m.conversation_id,
            m.seq,
            m.sender_id,
            m.created_at,
            m.expires_at,
            r.kept_until,
            c.tenant_id,
            c.retention,
            t.tier,
            -- Where all who take part count, or somebody's tier changes, it is theirs alone.
            case when s.retention_mode = 'longest_tier' then c.id end as room_id,
            case
                when exists (
                    select
                    from chat.tier_changes as g
                    where
                        g.tenant_id = c.tenant_id
                        and g.user_id = m.sender_id
                        and g.ended_at is null
                ) then m.sender_id
            end as changing_id
        from unnest(changed_expiries.conversation_ids, changed_expiries.seqs)
            as p (conversation_id, seq)
        inner join chat.messages as m on p.conversation_id = m.conversation_id and p.seq = m.seq
        inner join chat.conversations as c on m.conversation_id = c.id
        inner join chat.settings as s on c.tenant_id = s.tenant_id
        left join chat.tenant_members as t
            on c.tenant_id = t.tenant_id and m.sender_id = t.user_id
        left join chat_private.restored_messages as r
            on m.conversation_id = r.conversation_id and m.seq = r.message_seq
    ),

    numbered as (
        select
            j.*,
            row_number() over (
                partition by j.tenant_id, j.retention, j.tier, j.room_id, j.changing_id
                order by j.created_at
            ) as place
        from judged as j
    ),

    -- By these it answers the same, so it is asked once for all that are alike.
    asked as materialized (
        select
            n.*,
            case
                when n.place = 1 then chat_private.lifetimes_for(n.conversation_id, n.sender_id)
            end as first_lifetimes
        from numbered as n
    ),

    ruled as (
        select
            a.*,
            first_value(a.first_lifetimes) over (
                partition by a.tenant_id, a.retention, a.tier, a.room_id, a.changing_id
                order by a.place
            ) as lifetimes
        from asked as a
    ),

    expiries as materialized (
        select
            r.conversation_id,
            r.seq,
            r.expires_at as written_at,
            case
                when r.lifetimes is null then r.expires_at
                when r.kept_until is null then chat_private.expiry(r.created_at, r.lifetimes)
                else nullif(
                    greatest(
                        coalesce(chat_private.expiry(r.created_at, r.lifetimes), 'infinity'),
                        r.kept_until
                    ),
                    'infinity'
                )
            end as expires_at
        from ruled as r
    )

    select
        e.conversation_id,
        e.seq,
        e.expires_at
    from expiries as e
    where e.written_at is distinct from e.expires_at;
end;
$$;
revoke execute on function chat_private.changed_expiries(uuid [], bigint [])
from public, anon, authenticated;
