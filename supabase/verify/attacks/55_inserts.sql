-- Everybody adds rows like those that are here: the same, as theirs, as somebody else's, with and
-- without the columns they have no right to.
create function pg_temp.verify_inserts(pattern text)
returns void
language plpgsql
as $$
declare
    v_attempt record;
begin
    for v_attempt in
        select
            t.name,
            t.oid,
            p.name as actor,
            c.scope,
            v.variant,
            format(
                'insert into %s (%s) select %s from jsonb_populate_record(null::%s, %L) as s',
                t.oid::regclass,
                k.columns,
                k.columns,
                t.oid::regclass,
                (
                    select jsonb_object_agg(
                        e.key,
                        case
                            when e.key = 'id' and v.variant <> 'again'
                                then to_jsonb(pg_temp.verify_id('inserted'))
                            when v.variant = 'as theirs'
                                and pg_temp.verify_is_person(t.oid, e.key)
                                and e.value <> 'null'
                                then to_jsonb(p.id)
                            else e.value
                        end
                    )
                    from jsonb_each(t.body) as e
                )
            ) as statement
        from (
            select distinct on (r.name, w.is_members)
                r.name,
                r.oid,
                w.body
            from pg_temp.verify_relations as r
            inner join (
                select w.*, w.label ~ '\ymember\y' as is_members from pg_temp.verify_world as w
            ) as w on r.name = w.relation and w.is_victims
            where r.name ~ pattern and r.name like 'chat.%' and r.is_table
            order by r.name, w.is_members, w.label
        ) as t
        cross join pg_temp.verify_people as p
        cross join (values ('all columns'), ('granted columns')) as c (scope)
        cross join (values ('again'), ('another'), ('as theirs')) as v (variant)
        cross join
            lateral (
                select string_agg(quote_ident(n.name), ', ') as columns
                from unnest(
                    pg_temp.verify_columns(
                        t.oid, case c.scope when 'all columns' then 'postgres' else p.role end, 'insert'
                    )
                ) as n (name)
            ) as k
        where
            case
                when c.scope = 'all columns' or not has_any_column_privilege(p.role, t.oid, 'insert')
                    then
                        v.variant = 'again'
                        and c.scope = 'all columns'
                        and p.name in ('member', 'anon', 'service')
                else true
            end
        order by t.name, p.position
    loop
        perform pg_temp.verify_try(
            v_attempt.actor,
            'insert',
            v_attempt.name,
            format('%s, %s', v_attempt.variant, v_attempt.scope),
            v_attempt.statement
        );
    end loop;
    -- Each column for itself: which ones a role may set.
    for v_attempt in
        select
            r.name,
            p.name as actor,
            a.attname as column_name,
            format('insert into %s (%I) values (default)', r.oid::regclass, a.attname) as statement
        from pg_temp.verify_relations as r
        inner join pg_attribute as a
            on r.oid = a.attrelid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
        inner join pg_temp.verify_people as p on p.name in ('stranger', 'anon')
        where r.name ~ pattern and r.name like 'chat.%' and r.is_table
        order by r.name, a.attnum
    loop
        perform pg_temp.verify_try(
            v_attempt.actor,
            'insert',
            v_attempt.name,
            v_attempt.column_name || ' alone',
            v_attempt.statement
        );
    end loop;
end;
$$;
