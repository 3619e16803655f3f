-- From the source's words to Parley's: which rows are meant, and who is who. Asked anew by each run;
-- what was decided before stays.

-- The id that a row of the source has here, whichever run makes it: a uuid by name (version 3).
create function parley_import.make_id(kind text, name text)
returns uuid
language sql
stable
return overlay(
    overlay(
        md5(current_setting('parley_import.label') || e'\n' || kind || e'\n' || name)
        placing '3' from 13
    ) placing '8' from 17
)::uuid;

create function parley_import.choice(kind text)
returns text
language sql
stable
set search_path = ''
begin atomic
select r.choices ->> kind from parley_import.run as r;
end;

-- Of rows with one id, the first is meant; the others are copies of it, or clash with it and get an
-- id of their own, so that nothing is lost.
create function parley_import.part_duplicates()
returns void
language plpgsql
set search_path = ''
as $$
begin
    create temporary table copies on commit drop as
    select
        m.ctid as row_id,
        m.external_id,
        row_number() over same as number,
        (m.conversation, m.sender, m.body, m.created_at)
        is not distinct from first_value(
            (m.conversation, m.sender, m.body, m.created_at)
        ) over same as is_copy
    from parley_import.messages as m
    where m.external_id in (
        select d.external_id
        from parley_import.messages as d
        group by d.external_id
        having count(*) > 1
    )
    window same as (partition by m.external_id order by m.position, m.ctid);
    insert into parley_import.conflicts (kind, place, external_id, detail, is_left_out)
    select
        case when c.is_copy then 'duplicate' else 'clash' end,
        'messages',
        c.external_id,
        'number ' || c.number || ' of this id',
        false
    from copies as c
    where c.number > 1;
    delete from parley_import.messages as m
    using copies as c
    where m.ctid = c.row_id and c.number > 1 and c.is_copy;
    update parley_import.messages as m
    set external_id = m.external_id || '~' || c.number
    from copies as c
    where m.ctid = c.row_id and c.number > 1 and not c.is_copy;
    drop table copies;

    delete from parley_import.people as p
    using parley_import.people as q
    where p.external_id = q.external_id and p.ctid > q.ctid;
    with removed as (
        delete from parley_import.conversations as c
        using parley_import.conversations as d
        where c.external_id = d.external_id and c.ctid > d.ctid
        returning c.external_id
    )

    insert into parley_import.conflicts (kind, place, external_id, detail, is_left_out)
    select 'duplicate', 'conversations', r.external_id, 'the first of this id is meant', false
    from removed as r;
end;
$$;

-- Who wrote where, how much and when: most of what follows asks this and not each message.
create function parley_import.gather_authors()
returns void
language plpgsql
set search_path = ''
as $$
begin
    create temporary table authors on commit drop as
    select
        m.conversation,
        m.sender,
        count(*) as number,
        min(m.created_at) as first_at,
        max(m.created_at) as last_at
    from parley_import.messages as m
    group by m.conversation, m.sender;
    analyze authors;
end;
$$;

-- Who is who. By address only where it is confirmed: an unconfirmed one could be anybody's, and
-- with it what was said to its owner.
create function parley_import.resolve_people()
returns void
language plpgsql
set search_path = ''
as $$
begin
    truncate parley_import.users;
    insert into parley_import.users (external_id, user_id, is_ghost)
    select distinct on (e.external_id)
        e.external_id,
        coalesce(g.id, o.id, a.id),
        g.id is not null
    from (
        select p.external_id from parley_import.people as p
        union
        select p.person from parley_import.participants as p
        union
        select a.sender from authors as a where a.sender is not null
    ) as e
    left join parley_import.people as p on e.external_id = p.external_id
    left join chat.profiles as g on g.id = parley_import.make_id('person', e.external_id)
    left join chat.profiles as o on p.user_id = o.id
    left join auth.users as a
        on
            o.id is null
            and lower(p.email) = lower(a.email)
            and a.email_confirmed_at is not null
            and a.deleted_at is null
    order by e.external_id, a.is_sso_user;
    insert into parley_import.conflicts (kind, place, external_id, detail, is_left_out)
    select
        'missing_user',
        'people',
        u.external_id,
        concat_ws(
            ' ',
            coalesce(p.email, p.user_id::text, 'no address'),
            case
                when exists (
                    select from auth.users as a where lower(a.email) = lower(p.email)
                ) then '(not confirmed)'
            end,
            'wrote ' || coalesce(w.number, 0)
        ),
        parley_import.choice('missing_user') is distinct from 'ghost'
    from parley_import.users as u
    left join parley_import.people as p on u.external_id = p.external_id
    left join (
        select
            a.sender,
            sum(a.number) as number
        from authors as a
        group by a.sender
    ) as w on u.external_id = w.sender
    where
        u.is_ghost
        or (
            u.user_id is null
            -- Whoever has no part in anything need not be here.
            and (
                exists (
                    select from parley_import.participants as q where q.person = u.external_id
                )
                or w.number is not null
            )
        );
    update parley_import.users as u
    set user_id = parley_import.make_id('person', u.external_id),
        is_ghost = true
    from parley_import.conflicts as c
    where
        c.kind = 'missing_user'
        and c.external_id = u.external_id
        and u.user_id is null
        and not c.is_left_out;
end;
$$;
