-- Realtime: who is told of a change of a table (postgres_changes).
--
-- Objects: filter_test, subscription_check_filters with its trigger, passes_filters, judge_change.
-- Runs once as superuser in a fresh database, after 40_realtime.sql.
-- Source: Supabase Realtime protocol, section 8.

-- The SQL of one filter on a value, both cast to the column's type. Null if there is no such test.
create function realtime.filter_test(
    filter realtime.user_defined_filter,
    type_name text,
    column_value text
)
returns text
language sql
stable
set search_path = ''
as $$
    select case filter.op
        when 'in' then format('%1$L::%2$s = any (%3$L::%2$s[])', column_value, type_name, filter.value)
        when 'is' then format(
            '%L::%s is %s',
            column_value,
            type_name,
            case lower(filter.value)
                when 'null' then 'null'
                when 'true' then 'true'
                when 'false' then 'false'
                when 'unknown' then 'unknown'
            end
        )
        when 'like' then format('%L::text like %L', column_value, filter.value)
        when 'ilike' then format('%L::text ilike %L', column_value, filter.value)
        when 'match' then format('%L::text ~ %L', column_value, filter.value)
        when 'imatch' then format('%L::text ~* %L', column_value, filter.value)
        else format(
            '%1$L::%2$s %4$s %3$L::%2$s',
            column_value,
            type_name,
            filter.value,
            case filter.op
                when 'eq' then '='
                when 'neq' then '<>'
                when 'lt' then '<'
                when 'lte' then '<='
                when 'gt' then '>'
                when 'gte' then '>='
                when 'isdistinct' then 'is distinct from'
            end
        )
    end
$$;

alter function realtime.filter_test(realtime.user_defined_filter, text, text)
    owner to supabase_realtime_admin;

-- Refuses what could not be judged later, and what the subscriber may not ask about.
create function realtime.subscription_check_filters()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    -- The generated column is not there yet.
    v_role regrole := realtime.to_regrole(new.claims ->> 'role');
    v_selectable text[];
    v_column text;
    v_filter realtime.user_defined_filter;
    v_type record;
    v_count integer;
begin
    select coalesce(array_agg(attribute.attname::text), '{}')
    into v_selectable
    from pg_catalog.pg_attribute as attribute
    where attribute.attrelid = new.entity
        and attribute.attnum > 0
        and not attribute.attisdropped
        and has_column_privilege(v_role, new.entity, attribute.attnum, 'SELECT');

    foreach v_filter in array new.filters loop
        if not v_filter.column_name = any (v_selectable) then
            raise exception 'invalid column for filter %', v_filter.column_name;
        end if;
        select
            format_type(attribute.atttypid, -1) as name,
            type.typcategory as category
        into v_type
        from pg_catalog.pg_attribute as attribute
        join pg_catalog.pg_type as type on type.oid = attribute.atttypid
        where attribute.attrelid = new.entity and attribute.attname = v_filter.column_name;

        if v_filter.op = 'in' then
            execute format('select cardinality(%L::%s[])', v_filter.value, v_type.name)
                into v_count;
            if v_count > 100 then
                raise exception 'too many values for `in` filter. Maximum 100';
            end if;
        elsif v_filter.op = 'is' then
            if lower(v_filter.value) not in ('null', 'true', 'false', 'unknown') then
                raise exception 'invalid value for `is` filter: %', v_filter.value;
            elsif lower(v_filter.value) <> 'null' and v_type.name <> 'boolean' then
                raise exception '`is` filter on column % takes null only', v_filter.column_name;
            end if;
        elsif v_filter.op in ('like', 'ilike', 'match', 'imatch') then
            if v_type.category <> 'S' then
                raise exception 'operator % needs a text column, not %',
                    v_filter.op, v_filter.column_name;
            elsif v_filter.op in ('match', 'imatch') then
                perform '' ~ v_filter.value;
            end if;
        end if;
        -- Casts the value, and finds out whether the type has the operator.
        execute 'select ' || realtime.filter_test(v_filter, v_type.name, null);
    end loop;

    foreach v_column in array coalesce(new.selected_columns, '{}') loop
        if not v_column = any (v_selectable) then
            raise exception 'invalid column for select %', v_column;
        end if;
    end loop;
    return new;
end;
$$;

alter function realtime.subscription_check_filters() owner to supabase_realtime_admin;

create trigger tr_check_filters
before insert or update on realtime.subscription
for each row execute function realtime.subscription_check_filters();

-- Whether a row, given as texts by column, passes all filters. A column that the log does not
-- tell passes none, and neither does a filter that fails.
create function realtime.passes_filters(
    entity regclass,
    column_values jsonb,
    filters realtime.user_defined_filter[]
)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
declare
    v_filter realtime.user_defined_filter;
    v_type text;
    v_passes boolean;
begin
    foreach v_filter in array filters loop
        select format_type(attribute.atttypid, -1)
        into v_type
        from pg_catalog.pg_attribute as attribute
        where attribute.attrelid = entity and attribute.attname = v_filter.column_name;
        if v_type is null or not column_values ? v_filter.column_name then
            return false;
        end if;
        execute 'select ' || realtime.filter_test(
            v_filter,
            v_type,
            column_values ->> v_filter.column_name
        ) into v_passes;
        if (v_passes <> coalesce(v_filter.negate, false)) is not true then
            return false;
        end if;
    end loop;
    return true;
exception
    when others then
        return false;
end;
$$;

alter function realtime.passes_filters(regclass, jsonb, realtime.user_defined_filter[])
    owner to supabase_realtime_admin;

-- Who is told of a change: a row for each role and claims. The row's visibility is asked of
-- PostgreSQL once for each of them, as them; an error in one's policies hides it from them alone.
-- Only for the server: it becomes any role. ``only_id`` asks for one subscription.
create function realtime.judge_change(
    entity regclass,
    action text,
    new_values jsonb,
    old_values jsonb,
    transaction_id bigint,
    only_id uuid default null
)
returns table (
    role_name name,
    readable text[],
    is_rls_enabled boolean,
    subscription_ids uuid[],
    error text
)
language plpgsql
set search_path = ''
as $$
declare
    v_values jsonb := case action when 'DELETE' then old_values else new_values end;
    v_keys text[];
    v_query text;
    v_group record;
    v_is_visible boolean;
    v_next bigint := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
    -- The log's 32 bits, completed to the nearest id.
    v_transaction xid8 := (
        transaction_id + (((v_next - transaction_id + (1::bigint << 31)) >> 32) << 32)
    )::text::xid8;
begin
    -- A commit is in the log a moment before others can see what it did.
    while not pg_visible_in_snapshot(v_transaction, pg_current_snapshot()) loop
        perform pg_sleep(0.0005);
    end loop;

    select
        class.relrowsecurity,
        coalesce(array_agg(attribute.attname::text) filter (where attribute.attname is not null), '{}'),
        format('select exists (select from %I.%I where ', namespace.nspname, class.relname)
            || string_agg(
                format(
                    '%1$I = ($1 ->> %1$L)::%2$s',
                    attribute.attname,
                    format_type(attribute.atttypid, -1)
                ),
                ' and '
            ) filter (where attribute.attname is not null)
            || ')'
    into is_rls_enabled, v_keys, v_query
    from pg_catalog.pg_class as class
    join pg_catalog.pg_namespace as namespace on namespace.oid = class.relnamespace
    left join pg_catalog.pg_index as index on index.indrelid = class.oid and index.indisprimary
    left join pg_catalog.pg_attribute as attribute
        on attribute.attrelid = class.oid
        and attribute.attnum = any ((index.indkey::smallint[])[0:index.indnkeyatts - 1])
    where class.oid = judge_change.entity
    group by class.oid, namespace.oid, class.relrowsecurity, class.relname, namespace.nspname;
    if not found then
        return;
    end if;

    for v_group in
        with asked as materialized (
            select
                subscription.subscription_id as id,
                subscription.claims_role,
                subscription.claims,
                subscription.filters
            from realtime.subscription
            where subscription.entity = judge_change.entity
                and subscription.action_filter in ('*', judge_change.action)
                and (only_id is null or subscription.subscription_id = only_id)
        ),
        roles as materialized (
            select
                role.oid,
                role.rolname,
                array(
                    select attribute.attname::text
                    from pg_catalog.pg_attribute as attribute
                    where attribute.attrelid = judge_change.entity
                        and attribute.attnum > 0
                        and not attribute.attisdropped
                        and has_column_privilege(
                            role.oid, judge_change.entity, attribute.attnum, 'SELECT'
                        )
                ) as readable
            from pg_catalog.pg_roles as role
            where role.oid in (select asked.claims_role from asked)
        ),
        judged as materialized (
            select
                roles.*,
                case
                    when judge_change.action = 'DELETE' then null
                    when cardinality(v_keys) = 0 then 'Error 400: Bad Request, no primary key'
                    when not v_keys <@ roles.readable then 'Error 401: Unauthorized'
                end as error
            from roles
        ),
        passing as materialized (
            select filters
            from (select distinct asked.filters from asked) as every
            where realtime.passes_filters(judge_change.entity, v_values, filters)
        )
        select
            judged.rolname,
            judged.readable,
            judged.error,
            asked.claims,
            array_agg(asked.id) as ids
        from asked
        join judged on judged.oid = asked.claims_role
        where judged.error is not null
            or asked.filters in (select passing.filters from passing)
        group by judged.rolname, judged.readable, judged.error, asked.claims
    loop
        if is_rls_enabled and judge_change.action <> 'DELETE' and v_group.error is null then
            begin
                perform
                    -- As functions that policies call are used to.
                    set_config('search_path', 'public, extensions', true),
                    set_config('request.jwt.claims', v_group.claims::text, true),
                    set_config('role', v_group.rolname, true);
                execute v_query into v_is_visible using new_values;
            exception
                when others then
                    v_is_visible := false;
            end;
            perform set_config('role', 'none', true), set_config('search_path', '', true);
            continue when not v_is_visible;
        end if;
        role_name := v_group.rolname;
        readable := v_group.readable;
        subscription_ids := v_group.ids;
        error := v_group.error;
        return next;
    end loop;
end;
$$;

alter function realtime.judge_change(regclass, text, jsonb, jsonb, bigint, uuid)
    owner to supabase_realtime_admin;
revoke execute on function realtime.judge_change(regclass, text, jsonb, jsonb, bigint, uuid) from public;
