-- Everybody reads, changes and deletes rows of every table.

-- Columns of a relation that a role has a privilege on; all of them when it has it on none, so
-- that the attempt is made and refused.
create function pg_temp.verify_columns(relation oid, role text, privilege text)
returns text []
language sql
stable
as $$
    select coalesce(
        array_agg(a.attname::text order by a.attnum)
        filter (where has_column_privilege(role, relation, a.attnum, privilege)),
        array_agg(a.attname::text order by a.attnum)
    )
    from pg_attribute as a
    where
        a.attrelid = relation
        and a.attnum > 0
        and not a.attisdropped
        and (a.attgenerated = '' or privilege = 'select');
$$;

-- The condition for rows of this play, with the ids written out.
create function pg_temp.verify_filter(filter text)
returns text
language plpgsql
stable
as $$
begin
    return coalesce(
        replace(
            filter,
            '$1',
            quote_literal(array(select k.value from pg_temp.verify_known as k order by k.name))
            || '::uuid []'
        ),
        'true'
    );
end;
$$;

-- Everybody reads everything: what is of this play, which is not much in whatever database.
create function pg_temp.verify_reads(pattern text)
returns void
language plpgsql
as $$
declare
    v_attempt record;
begin
    for v_attempt in
        select
            r.name,
            p.name as actor,
            format(
                'select coalesce(jsonb_agg(to_jsonb(s)), ''[]'')'
                ' from (select %s from %s where %s limit 1000) as s',
                (
                    select string_agg(quote_ident(c.name), ', ')
                    from unnest(pg_temp.verify_columns(r.oid, p.role, 'select')) as c (name)
                ),
                r.oid::regclass,
                pg_temp.verify_filter(r.filter)
            ) as statement
        from pg_temp.verify_relations as r
        cross join pg_temp.verify_people as p
        where
            r.name ~ pattern
            and (r.name like 'chat.%' or p.name in ('member', 'anon', 'service'))
        order by r.name, p.position
    loop
        perform pg_temp.verify_try(
            v_attempt.actor, 'select', v_attempt.name, null, v_attempt.statement
        );
    end loop;
end;
$$;

-- A value that does harm: somebody else's, another conversation's, a higher role, an earlier time.
create function pg_temp.verify_harmful(relation oid, column_name text, actor text)
returns text
language plpgsql
stable
as $$
begin
    return (
        select case
            when column_name = 'conversation_id'
                then quote_literal(pg_temp.verify_known_id('abroad'))
            when column_name = 'tenant_id' then quote_literal(pg_temp.verify_id('other tenant'))
            when a.atttypid = 'uuid'::regtype and pg_temp.verify_is_person(relation, column_name)
                then quote_literal(pg_temp.verify_id(case actor when 'owner' then 'admin' else 'owner' end))
            when a.atttypid = 'uuid'::regtype
                then quote_literal(pg_temp.verify_id('new ' || column_name))
            when a.atttypid in (select e.enumtypid from pg_enum as e) then (
                select quote_literal(e.enumlabel)
                from pg_enum as e
                where e.enumtypid = a.atttypid
                order by e.enumsortorder
                limit 1
            )
            when a.atttypid = 'boolean'::regtype then format('not %I', column_name)
            when a.atttypid in ('timestamptz'::regtype, 'timestamp'::regtype)
                then '(chat_private.now() - interval ''1 year'')'
            when a.atttypid in ('bigint'::regtype, 'integer'::regtype, 'smallint'::regtype)
                then format('%I + 1', column_name)
            when a.atttypid = 'text'::regtype then '''owner'''
            else 'default'
        end
        from pg_attribute as a
        where a.attrelid = relation and a.attname = column_name
    );
end;
$$;

-- Everybody changes every column of the rows here, to what it is and to something harmful. Where a
-- role has no privilege one of its people tries.
create function pg_temp.verify_updates(pattern text)
returns void
language plpgsql
as $$
declare
    v_attempt record;
begin
    for v_attempt in
        select
            r.name,
            r.oid,
            a.attname as column_name,
            p.name as actor,
            pg_temp.verify_filter(r.filter) as filter,
            has_column_privilege(p.role, r.oid, a.attnum, 'update') as may
        from pg_temp.verify_relations as r
        inner join pg_attribute as a
            on r.oid = a.attrelid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
        cross join pg_temp.verify_people as p
        where
            r.name ~ pattern
            and r.name like 'chat.%'
            and r.is_table
            and (
                p.name in ('member', 'anon', 'service')
                or has_column_privilege(p.role, r.oid, a.attnum, 'update')
            )
            -- Rows that are not of this play: what it changed with them would be all there is.
            and (p.name <> 'service' or r.filter is not null)
        order by r.name, a.attnum, p.position
    loop
        perform pg_temp.verify_try(
            v_attempt.actor,
            'update',
            v_attempt.name,
            v_attempt.column_name,
            format(
                'update %s set %I = %I where %s',
                v_attempt.oid::regclass,
                v_attempt.column_name,
                v_attempt.column_name,
                v_attempt.filter
            )
        );
        if v_attempt.may then
            perform pg_temp.verify_try(
                v_attempt.actor,
                'update',
                v_attempt.name,
                v_attempt.column_name || ' harmfully',
                format(
                    'update %s set %I = %s where %s',
                    v_attempt.oid::regclass,
                    v_attempt.column_name,
                    pg_temp.verify_harmful(v_attempt.oid, v_attempt.column_name, v_attempt.actor),
                    v_attempt.filter
                )
            );
        end if;
    end loop;
end;
$$;

create function pg_temp.verify_deletes(pattern text)
returns void
language plpgsql
as $$
declare
    v_attempt record;
begin
    for v_attempt in
        select
            r.name,
            p.name as actor,
            format(
                'delete from %s where %s',
                r.oid::regclass,
                pg_temp.verify_filter(r.filter)
            ) as statement
        from pg_temp.verify_relations as r
        cross join pg_temp.verify_people as p
        where
            r.name ~ pattern
            and r.name like 'chat.%'
            and r.is_table
            and (
                p.name in ('member', 'anon', 'service')
                or has_table_privilege(p.role, r.oid, 'delete')
            )
            and (p.name <> 'service' or r.filter is not null)
        order by r.name, p.position
    loop
        perform pg_temp.verify_try(
            v_attempt.actor, 'delete', v_attempt.name, null, v_attempt.statement
        );
    end loop;
end;
$$;

-- What row security does not judge, and whatever there is on private tables. Asked, not tried:
-- truncating would lock everybody out.
create function pg_temp.verify_privileges(pattern text)
returns void
language plpgsql
as $$
begin
    insert into pg_temp.verify_results
    select
        p.name,
        v.verb,
        r.name,
        'in principle',
        'may',
        3,
        case when p.name <> 'service' then format('may %s %s', v.verb, r.name) end,
        format('select has_any_column_privilege(%L, %L, %L)', p.role, r.name, v.verb)
    from pg_temp.verify_relations as r
    cross join (
        values
        ('truncate', true),
        ('references', true),
        ('trigger', true),
        ('select', false),
        ('insert', false),
        ('update', false),
        ('delete', false)
    ) as v (verb, is_everywhere)
    inner join pg_temp.verify_people as p on p.name in ('member', 'anon', 'service')
    where
        r.name ~ pattern
        and r.is_table
        and (v.is_everywhere or r.name like 'chat\_private.%')
        and case
            when v.verb in ('truncate', 'trigger', 'delete')
                then has_table_privilege(p.role, r.oid, v.verb)
            else has_any_column_privilege(p.role, r.oid, v.verb)
        end;
end;
$$;
