-- Rows of this play: finding those that are there, and making one of any table.
-- The tables are those of the catalogue: a new one is attacked without anybody writing it here.

create function pg_temp.verify_find_relations()
returns void
language sql
as $$
    insert into pg_temp.verify_relations (name, oid, is_table, filter)
    select
        n.nspname || '.' || c.relname,
        c.oid,
        c.relkind in ('r', 'p'),
        (
            -- By what is most selective: its index serves a foreign key.
            select string_agg(format('%I = any ($1)', a.attname), ' or ' order by a.attnum)
            from pg_attribute as a
            where
                a.attrelid = c.oid
                and a.attnum > 0
                and not a.attisdropped
                and a.atttypid = 'uuid'::regtype
                and a.attname = coalesce(
                    (
                        select b.attname
                        from pg_attribute as b
                        where
                            b.attrelid = c.oid
                            and b.attname in ('conversation_id', 'tenant_id')
                            and not b.attisdropped
                            and b.attnotnull
                        order by b.attname
                        limit 1
                    ),
                    a.attname
                )
        )
    from pg_class as c
    inner join pg_namespace as n on c.relnamespace = n.oid
    where n.nspname in ('chat', 'chat_private') and c.relkind in ('r', 'p', 'v', 'm');
$$;

-- The rows of a table that are of this play.
create function pg_temp.verify_rows(relation text)
returns table (tid tid, body jsonb)
language plpgsql
as $$
declare
    v_relation pg_temp.verify_relations;
begin
    select r.* into strict v_relation
    from pg_temp.verify_relations as r
    where r.name = verify_rows.relation;
    if v_relation.filter is not null then
        return query execute format(
            'select t.ctid, to_jsonb(t) from %s as t where %s',
            v_relation.oid::regclass,
            v_relation.filter
        )
        using array(select k.value::uuid from pg_temp.verify_known as k);
    end if;
end;
$$;

-- The table that a foreign key leads to from this column, other than by its conversation or tenant.
create function pg_temp.verify_target(relation oid, column_name text)
returns text
language sql
stable
as $$
    select n.nspname || '.' || c.relname
    from pg_constraint as k
    inner join pg_attribute as a
        on k.conrelid = a.attrelid and a.attnum = any (k.conkey) and a.attname = column_name
    inner join pg_class as c on k.confrelid = c.oid
    inner join pg_namespace as n on c.relnamespace = n.oid
    where
        k.conrelid = relation
        and k.contype = 'f'
        and column_name not in ('conversation_id', 'tenant_id')
    limit 1;
$$;

create function pg_temp.verify_is_person(relation oid, column_name text)
returns boolean
language sql
stable
as $$
    select coalesce(
        pg_temp.verify_target(relation, column_name) in (
            'auth.users', 'chat.profiles', 'chat.tenant_members', 'chat.participants'
        ),
        column_name = 'user_id' or column_name like '%\_by'
    );
$$;

-- A value for a column of somebody's row, by its name, type and checks; as SQL.
create function pg_temp.verify_value(relation oid, column_name text, type_name text, actor text)
returns text
language plpgsql
as $$
declare
    v_user constant uuid := pg_temp.verify_person(actor);
    v_other constant uuid := pg_temp.verify_person(
        case when actor = 'owner' then 'admin' else 'owner' end
    );
    v_place pg_temp.verify_places;
    v_choice text;
begin
    select p.* into strict v_place from pg_temp.verify_places as p where p.name = 'group normal';
    if type_name = 'uuid' then
        return quote_literal(
            case
                when column_name = 'conversation_id' then v_place.conversation_id
                when column_name = 'tenant_id' then pg_temp.verify_id('tenant')
                when column_name = 'message_id' then pg_temp.verify_id('message normal')
                when column_name like '%low%' then least(v_user, v_other)
                when column_name like '%high%' then greatest(v_user, v_other)
                when column_name ~ '^(blocked|contact|reported|banned|other|addressee)' then v_other
                when pg_temp.verify_is_person(relation, column_name) then v_user
                else pg_temp.verify_id(
                    coalesce(
                        pg_temp.verify_target(relation, column_name), relation::regclass::text
                    ) || ' of ' || actor
                )
            end
        );
    end if;
    -- The first choice that a check allows.
    select m.parts[1] into v_choice
    from pg_constraint as k
    cross join
        lateral regexp_matches(
            pg_get_constraintdef(k.oid),
            format('\(?%I\)?(?:::text)? = (?:ANY \(\(?ARRAY\[)?''([^'']+)''', column_name)
        ) as m (parts)
    where k.conrelid = relation and k.contype = 'c'
    limit 1;
    return case
        when v_choice is not null then quote_literal(v_choice)
        when column_name ~ '(^|_)seq$' then v_place.seq::text
        when type_name ~ '^(bigint|integer|smallint|numeric|real|double precision)' then '1'
        when type_name = 'boolean' then 'false'
        when type_name ~ '^timestamp' and column_name ~ '(send|scheduled|remind|expires|until|ends)'
            then '(chat_private.now() + interval ''1 day'')'
        when type_name ~ '^timestamp' then 'chat_private.now()'
        when type_name = 'date' then 'current_date'
        when type_name ~ '^time' then '''22:00'''
        when type_name = 'interval' then '''1 day'''
        when type_name like '%[]' then '''{}'''
        when type_name = 'jsonb' then '''{}'''
        when type_name = 'bytea' then '''\x00'''
        when type_name = 'inet' then '''192.0.2.1'''
        when type_name = 'regconfig' then '''pg_catalog.simple'''
        when to_regtype(type_name)::oid in (select e.enumtypid from pg_enum as e) then (
            select quote_literal(e.enumlabel)
            from pg_enum as e
            where e.enumtypid = to_regtype(type_name)
            order by e.enumsortorder desc
            limit 1
        )
        when column_name ~ 'emoji' then '''👍'''
        when column_name ~ 'url$' then '''https://example.com/verify.secret.url'''
        when column_name ~ 'mime|content_type' then '''image/png'''
        when column_name = 'sha256' then quote_literal(repeat('0', 64))
        when column_name ~ 'time_?zone' then '''UTC'''
        when column_name = 'path' then quote_literal(
            format(
                '%s/%s/%s/verify.png',
                pg_temp.verify_id('tenant'),
                v_place.conversation_id,
                pg_temp.verify_id('upload of ' || actor)
            )
        )
        else quote_literal('verify_secret_' || actor)
    end;
end;
$$;

-- A row of somebody's; all its columns for people are theirs, or only those that must be.
create function pg_temp.verify_fill(relation oid, actor text, is_full boolean default true)
returns void
language plpgsql
as $$
declare
    v_columns text;
    v_values text;
begin
    select
        string_agg(quote_ident(c.name), ', ' order by c.position),
        string_agg(
            pg_temp.verify_value(relation, c.name, c.type_name, actor), ', ' order by c.position
        )
    into v_columns, v_values
    from (
        select
            a.attname as name,
            a.attnum as position,
            format_type(a.atttypid, null) as type_name
        from pg_attribute as a
        where
            a.attrelid = relation
            and a.attnum > 0
            and not a.attisdropped
            and a.attgenerated = ''
            and a.attidentity = ''
            and (
                (a.attnotnull and not a.atthasdef)
                or (a.attname = 'id' and a.atttypid = 'uuid'::regtype)
                or a.attname in ('conversation_id', 'message_seq', 'body', 'tenant_id', 'user_id')
                or (is_full and pg_temp.verify_is_person(relation, a.attname))
            )
    ) as c;
    execute format(
        'insert into %s (%s) values (%s)', relation::regclass, v_columns, v_values
    );
exception
    when unique_violation then
        null;
    when others then
        if is_full then
            perform pg_temp.verify_fill(relation, actor, false);
            return;
        end if;
        insert into pg_temp.verify_problems
        values (
            format('No row of %s: %s (%s: %s)', relation::regclass, sqlerrm, v_columns, v_values)
        );
end;
$$;
