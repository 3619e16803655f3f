-- Which conversation of the source is which here, and who takes part. Asked anew by each run.

-- A pair has one direct conversation, and an object one, so several of
-- a source can become one; and there may be one already.
create function parley_import.resolve_conversations()
returns void
language plpgsql
set search_path = ''
as $$
begin
    -- Names that are spelled alike here, or not at all.
    update parley_import.tenants as t
    set slug = n.slug
    from (
        select
            a.external_id,
            b.slug || case
                when row_number() over same > 1 then '-' || row_number() over same else ''
            end as slug
        from parley_import.tenants as a
        cross join lateral (
            select coalesce(nullif(trim(both '-' from left(a.slug, 58)), ''), 'imported') as slug
        ) as b
        window same as (partition by b.slug order by a.external_id)
    ) as n
    where t.external_id = n.external_id;
    insert into parley_import.conflicts (kind, place, external_id, detail, is_left_out)
    select 'same_tenant', 'tenants', t.external_id, 'goes into ' || t.slug, false
    from parley_import.tenants as t
    inner join chat.tenants as e on t.slug = e.slug
    where e.id <> parley_import.make_id('tenant', t.external_id);
    insert into parley_import.made_tenants (external_id, tenant_id, is_new)
    select
        t.external_id,
        coalesce(e.id, parley_import.make_id('tenant', t.external_id)),
        e.id is null
    from parley_import.tenants as t
    left join chat.tenants as e on t.slug = e.slug
    on conflict do nothing;

    truncate parley_import.present, parley_import.rooms, parley_import.members;
    insert into parley_import.present (conversation, user_id, has_joined)
    select
        w.conversation,
        u.user_id,
        bool_or(w.has_joined)
    from (
        select p.conversation, p.person, true as has_joined from parley_import.participants as p
        union all
        select a.conversation, a.sender, false from authors as a
    ) as w
    inner join parley_import.users as u on w.person = u.external_id
    where u.user_id is not null
    group by w.conversation, u.user_id;

    create temporary table wanted on commit drop as
    select
        c.external_id,
        case
            when c.tenant is null then (select r.tenant_id from parley_import.run as r)
            else t.tenant_id
        end as tenant_id,
        case
            when c.subject_type is not null then 'subject'
            -- A "direct" one that more or fewer than two took part in.
            when c.kind = 'direct' and coalesce(cardinality(s.user_ids), 0) = 2 then 'direct'
            else 'group'
        end::chat.conversation_kind as kind,
        coalesce(nullif(left(trim(c.title), 200), ''), s.names, 'Conversation') as title,
        c.subject_type,
        c.subject_id,
        s.user_ids,
        c.is_closed,
        o.user_id as created_by,
        coalesce(c.created_at, n.first_at, now()) as created_at,
        c.kind = 'direct' and cardinality(s.user_ids) is distinct from 2 as is_no_pair
    from parley_import.conversations as c
    left join parley_import.made_tenants as t on c.tenant = t.external_id
    left join parley_import.users as o on c.created_by = o.external_id
    left join (
        select
            p.conversation,
            array_agg(p.user_id order by p.user_id) as user_ids,
            left(string_agg(coalesce(f.display_name, f.username), ', ' order by p.user_id), 200)
            as names
        from parley_import.present as p
        left join chat.profiles as f on p.user_id = f.id
        group by p.conversation
    ) as s on c.external_id = s.conversation
    left join (
        select
            a.conversation,
            min(a.first_at) as first_at
        from authors as a
        group by a.conversation
    ) as n on c.external_id = n.conversation;

    insert into parley_import.conflicts (kind, place, external_id, detail, is_left_out)
    select 'orphan', 'conversations', w.external_id, 'its tenant is not there', true
    from wanted as w
    where w.tenant_id is null
    union all
    select
        'not_a_pair',
        'conversations',
        w.external_id,
        'becomes a group of ' || coalesce(cardinality(w.user_ids), 0),
        false
    from wanted as w
    where w.is_no_pair;

    insert into parley_import.rooms (external_id, conversation_id)
    select
        w.external_id,
        coalesce(
            d.id,
            s.id,
            case w.kind
                when 'direct' then parley_import.make_id(
                    'direct', concat_ws(':', w.tenant_id, w.user_ids[1], w.user_ids[2])
                )
                when 'subject' then parley_import.make_id(
                    'subject', concat_ws(':', w.tenant_id, w.subject_type, w.subject_id)
                )
                else parley_import.make_id('conversation', w.external_id)
            end
        )
    from wanted as w
    left join chat.conversations as d
        on
            w.kind = 'direct'
            and w.tenant_id = d.tenant_id
            and w.user_ids[1] = d.user_low_id
            and w.user_ids[2] = d.user_high_id
    left join chat.conversations as s
        on
            w.kind = 'subject'
            and w.tenant_id = s.tenant_id
            and w.subject_type = s.subject_type
            and w.subject_id = s.subject_id
    where w.tenant_id is not null;

    insert into parley_import.targets (
        conversation_id, tenant_id, kind, title, subject_type, subject_id, user_low_id,
        user_high_id, is_closed, created_by, created_at, is_new
    )
    select distinct on (r.conversation_id)
        r.conversation_id,
        w.tenant_id,
        w.kind,
        case when w.kind <> 'direct' then w.title end,
        w.subject_type,
        w.subject_id,
        case when w.kind = 'direct' then w.user_ids[1] end,
        case when w.kind = 'direct' then w.user_ids[2] end,
        w.is_closed,
        w.created_by,
        w.created_at,
        not exists (select from chat.conversations as e where e.id = r.conversation_id)
    from wanted as w
    inner join parley_import.rooms as r on w.external_id = r.external_id
    order by r.conversation_id, w.created_at, w.external_id
    on conflict (conversation_id) do nothing;

    insert into parley_import.conflicts (kind, place, external_id, detail, is_left_out)
    select
        'existing',
        'conversations',
        r.external_id,
        'goes on in conversation ' || t.conversation_id,
        parley_import.choice('existing') is distinct from 'append'
    from parley_import.rooms as r
    inner join parley_import.targets as t on r.conversation_id = t.conversation_id
    where not t.is_new;
    delete from parley_import.rooms as r
    using parley_import.conflicts as c
    where c.place = 'conversations' and c.is_left_out and c.external_id = r.external_id;
    -- Not what an earlier run made: rollback has to know of it.
    delete from parley_import.targets as t
    where
        not exists (
            select from parley_import.rooms as r where r.conversation_id = t.conversation_id
        )
        and not exists (
            select
            from parley_import.load as l
            where l.conversation_id = t.conversation_id
        )
        and (
            not t.is_new
            or not exists (select from chat.conversations as c where c.id = t.conversation_id)
        );
    insert into parley_import.conflicts (kind, place, external_id, detail, is_left_out)
    select 'merged', 'conversations', r.external_id, 'with ' || f.external_id, false
    from parley_import.rooms as r
    inner join (
        select
            s.conversation_id,
            min(s.external_id) as external_id
        from parley_import.rooms as s
        group by s.conversation_id
        having count(*) > 1
    ) as f on r.conversation_id = f.conversation_id and r.external_id <> f.external_id;
    drop table wanted;
end;
$$;

-- Who takes part. Whoever wrote and is no participant did once: they are former ones.
create function parley_import.resolve_members()
returns void
language plpgsql
set search_path = ''
as $$
begin
    insert into parley_import.conflicts (kind, place, external_id, detail, is_left_out)
    select 'orphan', 'participants', p.conversation || '/' || p.person, 'no such conversation', true
    from parley_import.participants as p
    where not exists (
        select from parley_import.conversations as c where c.external_id = p.conversation
    );
    insert into parley_import.members (
        conversation_id, user_id, role, party, joined_at, left_at, muted_until, is_pinned,
        is_archived, read_at
    )
    select
        t.conversation_id,
        u.user_id,
        min(
            case p.role when 'owner' then 'owner' when 'admin' then 'admin' else 'member' end
        )::chat.participant_role,
        min(left(nullif(p.party, ''), 50)),
        coalesce(min(p.joined_at), min(t.created_at)),
        -- Left for good, or no member of the tenant any more.
        coalesce(
            case when bool_and(p.left_at is not null) then max(p.left_at) end, min(m.removed_at)
        ),
        max(p.muted_until),
        bool_or(p.is_pinned),
        bool_or(p.is_archived),
        max(p.read_at)
    from parley_import.participants as p
    inner join parley_import.rooms as r on p.conversation = r.external_id
    inner join parley_import.targets as t on r.conversation_id = t.conversation_id
    inner join parley_import.users as u on p.person = u.external_id
    left join chat.tenant_members as m on t.tenant_id = m.tenant_id and u.user_id = m.user_id
    where u.user_id is not null
    group by t.conversation_id, u.user_id;
    insert into parley_import.members (
        conversation_id, user_id, role, joined_at, left_at, is_pinned, is_archived
    )
    select
        r.conversation_id,
        u.user_id,
        'member',
        coalesce(min(a.first_at), min(t.created_at)),
        coalesce(max(a.last_at), min(t.created_at)),
        false,
        false
    from parley_import.present as q
    inner join parley_import.rooms as r on q.conversation = r.external_id
    inner join parley_import.targets as t on r.conversation_id = t.conversation_id
    inner join parley_import.users as u on q.user_id = u.user_id
    inner join authors as a on q.conversation = a.conversation and u.external_id = a.sender
    where not q.has_joined
    group by r.conversation_id, u.user_id
    on conflict do nothing;
    -- A conversation keeps an owner.
    update parley_import.members as m
    set role = 'owner'
    from (
        select distinct on (o.conversation_id)
            o.conversation_id,
            o.user_id
        from parley_import.members as o
        inner join parley_import.targets as t on o.conversation_id = t.conversation_id
        where t.is_new and t.kind <> 'direct' and o.left_at is null
        order by o.conversation_id, o.role, o.joined_at, o.user_id
    ) as f
    where m.conversation_id = f.conversation_id and m.user_id = f.user_id and m.role <> 'owner';
    update parley_import.members as m
    set role = 'member'
    from parley_import.targets as t
    where m.conversation_id = t.conversation_id and t.kind = 'direct' and m.role <> 'member';
end;
$$;
