-- Puts into Parley's tables what conversations need: tenants, people who are not here, memberships,
-- contacts. Does nothing that is done already.

create function parley_import.prepare()
returns void
language plpgsql
set search_path = ''
as $$
begin
    create index moves_conversation_id_idx on parley_import.moves (conversation_id);
    analyze parley_import.batches, parley_import.stretches, parley_import.moves,
    parley_import.found_reactions, parley_import.found_hidden, parley_import.members;
    perform set_config('chat.importing', 'on', true);
    insert into chat.tenants (id, slug, name)
    select t.tenant_id, s.slug, s.name
    from parley_import.made_tenants as t
    inner join parley_import.tenants as s on t.external_id = s.external_id
    where t.is_new
    on conflict do nothing;
    -- The Auth server reads tokens that are null as an error.
    insert into auth.users (
        id, instance_id, aud, role, raw_app_meta_data, raw_user_meta_data, created_at, updated_at,
        confirmation_token, recovery_token, email_change_token_new, email_change
    )
    select
        u.user_id,
        '00000000-0000-0000-0000-000000000000',
        'authenticated',
        'authenticated',
        jsonb_build_object('imported_from', r.label),
        jsonb_build_object('display_name', coalesce(p.display_name, p.username, 'Former member')),
        now(),
        now(),
        '',
        '',
        '',
        ''
    from parley_import.users as u
    cross join parley_import.run as r
    left join parley_import.people as p on u.external_id = p.external_id
    where u.is_ghost
    on conflict do nothing;
    with made as (
        insert into chat.tenant_members as e (tenant_id, user_id, role, tier)
        select
            n.tenant_id,
            n.user_id,
            coalesce(min(n.role), 'member')::chat.tenant_role,
            coalesce(min(i.name), 'free')
        from (
            select distinct t.tenant_id, m.user_id, null as role, null as tier
            from parley_import.members as m
            inner join parley_import.targets as t on m.conversation_id = t.conversation_id
            union all
            select t.tenant_id, u.user_id, m.role, m.tier
            from parley_import.memberships as m
            inner join parley_import.made_tenants as t on m.tenant = t.external_id
            inner join parley_import.users as u on m.person = u.external_id
            where u.user_id is not null
        ) as n
        left join chat.tiers as i on n.tier = i.name
        group by n.tenant_id, n.user_id
        on conflict do nothing
        returning e.tenant_id, e.user_id
    )

    insert into parley_import.made_members (tenant_id, user_id)
    select m.tenant_id, m.user_id
    from made as m
    on conflict do nothing;
    perform parley_import.load_contacts();
end;
$$;

create function parley_import.load_contacts()
returns void
language plpgsql
set search_path = ''
as $$
begin
    with made as (
        insert into chat.contacts as k (
            user_low_id, user_high_id, requested_by, state, created_at, accepted_at
        )
        select distinct on (least(u.user_id, o.user_id), greatest(u.user_id, o.user_id))
            least(u.user_id, o.user_id),
            greatest(u.user_id, o.user_id),
            u.user_id,
            c.state::chat.contact_state,
            coalesce(c.created_at, now()),
            case c.state when 'accepted' then coalesce(c.created_at, now()) end
        from parley_import.contacts as c
        inner join parley_import.users as u on c.person = u.external_id
        inner join parley_import.users as o on c.other = o.external_id
        where
            c.state in ('pending', 'accepted')
            and u.user_id <> o.user_id
            and not exists (
                select
                from parley_import.contacts as b
                where
                    b.state = 'blocked'
                    and (b.person, b.other) in ((c.person, c.other), (c.other, c.person))
            )
        order by
            least(u.user_id, o.user_id),
            greatest(u.user_id, o.user_id),
            c.state,
            c.created_at,
            u.user_id
        on conflict do nothing
        returning k.user_low_id, k.user_high_id
    )

    insert into parley_import.made_contacts (user_low_id, user_high_id)
    select m.user_low_id, m.user_high_id
    from made as m;
    with made as (
        insert into chat.blocks as b (blocker_id, blocked_id, created_at)
        select distinct on (u.user_id, o.user_id)
            u.user_id,
            o.user_id,
            coalesce(c.created_at, now())
        from parley_import.contacts as c
        inner join parley_import.users as u on c.person = u.external_id
        inner join parley_import.users as o on c.other = o.external_id
        where c.state = 'blocked' and u.user_id <> o.user_id
        order by u.user_id, o.user_id, c.created_at
        on conflict do nothing
        returning b.blocker_id, b.blocked_id
    )

    insert into parley_import.made_blocks (blocker_id, blocked_id)
    select m.blocker_id, m.blocked_id
    from made as m;
end;
$$;
