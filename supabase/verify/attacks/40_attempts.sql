-- One attempt: what it got, whether that is a breach, and undoing it. What is called for every
-- attempt is in plpgsql, which keeps its plans.

-- Inserted, updated and deleted rows of this transaction: three numbers for each table.
create function pg_temp.verify_counters()
returns bigint []
language plpgsql
as $$
begin
    return (
        select array_agg(t.inserted) || array_agg(t.updated) || array_agg(t.deleted)
        from (
            select
                pg_stat_get_xact_tuples_inserted(r.oid) as inserted,
                pg_stat_get_xact_tuples_updated(r.oid) as updated,
                pg_stat_get_xact_tuples_deleted(r.oid) as deleted
            from pg_temp.verify_relations as r
            where r.is_table
            order by r.oid
        ) as t
    );
end;
$$;

-- The tables that changed between, and how many of their rows did.
create function pg_temp.verify_changes(before bigint [], after bigint [])
returns table (relation text, effect text)
language plpgsql
as $$
declare
    v_number constant integer := cardinality(before) / 3;
begin
    if before = after then
        return;
    end if;
    return query
    select
        t.name,
        concat_ws(
            ' ',
            t.name,
            '+' || nullif(after[t.i] - before[t.i], 0),
            '~' || nullif(after[v_number + t.i] - before[v_number + t.i], 0),
            '-' || nullif(after[2 * v_number + t.i] - before[2 * v_number + t.i], 0)
        )
    from (
        select r.name, row_number() over (order by r.oid)::integer as i
        from pg_temp.verify_relations as r
        where r.is_table
    ) as t
    where
        (after[t.i], after[v_number + t.i], after[2 * v_number + t.i])
        <> (before[t.i], before[v_number + t.i], before[2 * v_number + t.i])
    order by t.name;
end;
$$;

-- Rows that somebody got, each by what it is called.
create function pg_temp.verify_labels(rows jsonb)
returns text []
language plpgsql
as $$
begin
    return array(
        select case jsonb_typeof(r.body)
            when 'object' then pg_temp.verify_label(r.body)
            else pg_temp.verify_secrets(r.body::text)
        end
        from jsonb_array_elements(
            case jsonb_typeof(rows) when 'array' then rows else '[]' end
        ) as r (body)
    );
end;
$$;

-- `unnamed` are those that are not of this play, however many the project has.
create function pg_temp.verify_seen(labels text [])
returns text
language plpgsql
as $$
begin
    return (
        select string_agg(
            case when s.label is null then 'unnamed'
                else concat_ws(' x', s.label, nullif(s.number, 1))
            end,
            '; '
            order by s.label collate "C"
        )
        from (
            select l.label, count(*) as number
            from unnest(labels) as l (label)
            group by l.label
        ) as s
    );
end;
$$;

-- What an outsider got of the conversations here; null if nothing.
create function pg_temp.verify_leak(actor text, labels text [])
returns text
language plpgsql
as $$
begin
    return (
        select 'saw ' || l.label
        from unnest(labels) as l (label)
        where
            l.label ~ '\y(group|direct|shunned|subject)\y|!' and l.label !~ ('\y' || actor || '\y')
        limit 1
    );
end;
$$;

-- What an outsider has done to rows of the conversations here; null if nothing.
create function pg_temp.verify_damage(actor text, relations text [])
returns text
language plpgsql
as $$
declare
    v_relation text;
    v_found text;
begin
    foreach v_relation in array relations
    loop
        continue when v_relation like 'chat\_private.%';
        execute format(
            'select ''changed a row of %1$s: '' || w.label'
            ' from pg_temp.verify_world as w'
            ' where w.relation = %2$L and w.is_victims'
            ' and w.label !~ %3$L'
            ' and not exists (select from %1$s as t where t.ctid = w.tid) limit 1',
            v_relation,
            v_relation,
            '\y' || actor || '\y'
        ) into v_found;
        if v_found is null then
            select 'added a row to ' || v_relation || ': ' || l.label into v_found
            from pg_temp.verify_rows(v_relation) as s
            cross join lateral pg_temp.verify_label(s.body) as l (label)
            where
                l.label ~ '\y(group|direct|shunned|subject)\y'
                and not exists (
                    select
                    from pg_temp.verify_world as w
                    where w.relation = v_relation and w.tid = s.tid
                )
                -- Who is outside may still mark what they were told before.
                and not (
                    v_relation = 'chat.notifications'
                    and s.body ->> 'user_id' = pg_temp.verify_person(actor)::text
                )
            limit 1;
        end if;
        if v_found is not null then
            return v_found;
        end if;
    end loop;
    return null;
end;
$$;

-- Which rows of this play in a table are not what they were.
create function pg_temp.verify_changed(relation text)
returns text
language plpgsql
as $$
declare
    v_rows text;
begin
    execute format(
        'select string_agg(coalesce(w.label, ''?''), ''; '' order by w.label)'
        ' from pg_temp.verify_world as w'
        ' where w.relation = %2$L'
        ' and not exists (select from %1$s as t where t.ctid = w.tid)',
        relation,
        relation
    ) into v_rows;
    return v_rows;
end;
$$;

-- Tries a statement as somebody, notes what came of it and undoes it. A statement that begins with
-- `select` gives its rows as one array of JSON objects.
create function pg_temp.verify_try(
    actor text,
    verb text,
    object text,
    detail text,
    statement text
)
returns void
language plpgsql
as $$
declare
    v_is_outsider boolean;
    v_is_table boolean;
    v_before bigint [];
    v_changed text [];
    v_effects text [];
    v_count bigint := 0;
    v_rows jsonb;
    v_labels text [];
    v_outcome text;
    v_breach text;
    v_gain integer;
    v_state text;
    v_message text;
    v_detail text;
    v_constraint text;
begin
    select p.is_outsider into strict v_is_outsider
    from pg_temp.verify_people as p
    where p.name = actor;
    if exists (
        select
        from pg_temp.verify_skipped as s
        where
            s.actor = verify_try.actor collate "C"
            and s.attack = concat_ws(', ', verb || ' ' || object, detail) collate "C"
    ) then
        return;
    end if;
    v_is_table := exists (
        select from pg_temp.verify_relations as r where r.name = object and r.is_table
    );
    v_before := pg_temp.verify_counters();
    begin
        perform pg_temp.verify_become(actor);
        if statement like 'select %' then
            execute statement into v_rows;
        else
            execute statement;
            get diagnostics v_count = row_count;
        end if;
        perform pg_temp.verify_unbecome();
        select array_agg(c.relation), array_agg(c.effect) into v_changed, v_effects
        from pg_temp.verify_changes(v_before, pg_temp.verify_counters()) as c;
        v_labels := pg_temp.verify_labels(v_rows);
        v_outcome := nullif(
            concat_ws(
                ', ',
                'sees ' || nullif(pg_temp.verify_seen(v_labels), ''),
                case when v_is_table and v_count > 0 then
                    'changed ' || pg_temp.verify_changed(object)
                end,
                array_to_string(v_effects, ', ')
            ),
            ''
        );
        -- Of tables that are not ours there are no counters.
        if v_outcome is null and v_count > 0 then
            v_outcome := 'changed ' || v_count;
        end if;
        v_gain := case when v_outcome is null then 2 else 3 end;
        v_outcome := coalesce(v_outcome, case when v_rows is null then 'nothing' else 'done' end);
        if v_is_outsider then
            v_breach := coalesce(
                pg_temp.verify_leak(actor, v_labels),
                pg_temp.verify_damage(actor, coalesce(v_changed, '{}'))
            );
        end if;
        raise exception using errcode = 'VR000', message = 'undo';
    exception
        when sqlstate 'VR000' then
            null;
        when query_canceled then
            raise;
        when others then
            get stacked diagnostics
                v_state = returned_sqlstate,
                v_message = message_text,
                v_detail = pg_exception_detail,
                v_constraint = constraint_name;
            -- A row that breaks a constraint has passed the policies.
            v_gain := case when v_state like '23%' then 2 else 1 end;
            v_outcome := case
                when v_state = '42501' and v_message like 'permission denied%' then 'no permission'
                when v_state = '42501' and v_message like '%row-level security%'
                    then 'refused by policy'
                when v_detail ~ '^[a-z_]+$' then v_state || ' ' || v_detail
                else concat_ws(' ', v_state, nullif(v_constraint, ''))
            end;
            if v_outcome = 'no permission' then
                v_gain := 0;
            end if;
    end;
    insert into pg_temp.verify_results
    values (actor, verb, object, detail, v_outcome, v_gain, v_breach, statement);
end;
$$;
