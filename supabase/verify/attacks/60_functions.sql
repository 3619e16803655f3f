-- Everybody calls every function.

-- An argument for a function, by name and type, aimed at a place; null: leave it out.
create function pg_temp.verify_argument(
    name text,
    type_name text,
    place pg_temp.verify_places,
    actor text
)
returns text
language plpgsql
as $$
declare
    v_actor_id constant uuid := pg_temp.verify_person(actor);
    v_id uuid;
    v_numbers bigint [];
begin
    if type_name ~ '^bigint' and name ~ '(^|_)ids?$' then
        -- Of every row here that has a number: what they are depends on the database.
        v_numbers := array(
            select (w.body ->> 'id')::bigint
            from pg_temp.verify_world as w
            where jsonb_typeof(w.body -> 'id') = 'number'
            order by 1
        );
        return quote_literal(
            case type_name
                when 'bigint[]' then v_numbers::text
                else v_numbers [cardinality(v_numbers)]::text
            end
        );
    end if;
    if type_name = 'uuid' and name ~ '_id$' and name !~ '(user|conversation|tenant|message)_id$' then
        -- Of a row that the owner has: report_id is an id of chat.reports.
        select (w.body ->> 'id')::uuid into v_id
        from pg_temp.verify_world as w
        where
            w.relation in (
                'chat.' || replace(name, '_id', 's'), 'chat.' || replace(name, '_id', '')
            )
            and w.body ? 'id'
        order by w.label
        limit 1;
    end if;
    return case
        when type_name = 'uuid' then quote_literal(
            case
                when v_id is not null then v_id
                when name like '%conversation_id' then place.conversation_id
                when name like '%tenant_id' then pg_temp.verify_id('tenant')
                when name like '%message_id' then pg_temp.verify_id('message normal')
                when name ~ 'user|contact|block|member|sender|_by$' then pg_temp.verify_id(
                    case actor when 'owner' then 'member' else 'owner' end
                )
                else pg_temp.verify_id('argument ' || name)
            end
        )
        when type_name = 'uuid[]' then quote_literal(
            array_remove(array[v_actor_id, pg_temp.verify_id('stranger')], null)
        )
        when name = 'seq' or name like '%\_seq' then coalesce(place.seq, 1)::text
        when name like '%seqs' then quote_literal(array[coalesce(place.seq, 1)])
        when type_name in ('bigint', 'integer', 'smallint') then
            case when name ~ 'limit|count|size' then '100' when name ~ 'rev' then '0' else '1' end
        when type_name in ('bigint[]', 'integer[]', 'smallint[]') then '''{1}'''
        when type_name = 'boolean' then 'true'
        when type_name like 'timestamp%' then '(chat_private.now() + interval ''1 hour'')'
        when type_name = 'interval' then '''1 hour'''
        when type_name = 'jsonb' and name ~ 'participants|people|users' then quote_literal(
            jsonb_build_array(
                jsonb_build_object('user_id', v_actor_id),
                jsonb_build_object('user_id', pg_temp.verify_id('member'))
            )
        )
        when type_name = 'jsonb' and name ~ 'attachments' then quote_literal(
            jsonb_build_array(
                jsonb_build_object(
                    'path',
                    format(
                        '%s/%s/%s/verify.png',
                        pg_temp.verify_id('tenant'),
                        pg_temp.verify_id('group'),
                        pg_temp.verify_id('upload of admin')
                    )
                )
            )
        )
        when type_name = 'jsonb' then '''{}'''
        when type_name = 'text' then quote_literal(
            case
                when name = 'role' then 'owner'
                when name = 'kind' then 'text'
                when name = 'status' then 'closed'
                when name like '%emoji%' then '👍'
                when name like '%username%' then 'parley_verify_owner'
                when name ~ 'query|search|terms' then 'verify'
                when name like '%subject_type%' then 'verify'
                when name like '%subject_id%' then '1'
                when name ~ 'reason|category' then 'spam'
                when name like '%platform%' then 'ios'
                else 'verify'
            end
        )
        when type_name = 'text[]' then '''{verify}'''
        when to_regtype(type_name)::oid in (select e.enumtypid from pg_enum as e) then (
            select quote_literal(e.enumlabel)
            from pg_enum as e
            where e.enumtypid = to_regtype(type_name)
            order by e.enumsortorder
            limit 1
        )
        else 'null'
    end;
end;
$$;

-- Everybody calls every exposed function at every place with all that it can be given; at one with
-- what it must be given; and one that need be given nothing, with one thing at a time.
create function pg_temp.verify_calls(pattern text)
returns void
language plpgsql
as $$
declare
    v_attempt record;
begin
    for v_attempt in
        with functions as (
            select
                p.oid,
                p.proname::text as name,
                p.pronargs as arguments,
                p.pronargs - p.pronargdefaults as required,
                coalesce(p.proargnames, '{}') as names,
                p.proargtypes::oid [] as types,
                case
                    when array_to_string(p.proargnames [1:p.pronargs], ' ') ~ '(^| |_)seqs?( |$)' then 2
                    when 'conversation_id' = any (p.proargnames [1:p.pronargs]) then 1
                    else 0
                end as aim
            from pg_proc as p
            where
                p.pronamespace = 'chat'::regnamespace
                and p.prokind = 'f'
                and p.prorettype <> 'trigger'::regtype
                and p.proname ~ pattern
        ),

        forms as (
            select f.*, 'fully' as form, 1 as first, f.arguments as last
            from functions as f
            union all
            select f.*, 'briefly' as form, 1 as first, f.required as last
            from functions as f
            where f.arguments > f.required
            union all
            select f.*, 'by ' || f.names[i] as form, i as first, i as last
            from functions as f
            cross join lateral generate_series(1, f.arguments) as i
            where f.required = 0 and f.arguments > 1
        )

        select
            f.name,
            f.form || case f.aim when 0 then '' else ' at ' || l.name end as detail,
            a.name as actor,
            format(
                'select coalesce(jsonb_agg(to_jsonb(s)), ''[]'') from chat.%I(%s) as s',
                f.name,
                (
                    select string_agg(
                        format(
                            '%I => %s',
                            f.names[i],
                            pg_temp.verify_argument(
                                f.names[i], format_type(f.types[i - 1], null), l, a.name
                            )
                        ),
                        ', ' order by i
                    )
                    from generate_series(f.first, f.last) as i
                )
            ) as statement
        from forms as f
        cross join pg_temp.verify_people as a
        inner join pg_temp.verify_places as l
            on
                l.name = 'group normal'
                -- Outside one door is like the other: who takes part in none tries fewer of them.
                or (
                    f.form = 'fully'
                    and f.aim > 0
                    and case
                        when a.name = 'former' and l.name = 'group departed' then true
                        when a.is_outsider then l.name in ('direct', 'subject', 'abroad')
                        else f.aim = 2 or l.name not like 'group %'
                    end
                )
        -- What the service role does to a whole project when it names nothing takes its time, and
        -- comes to what is in it.
        where
            a.name <> 'service'
            or exists (
                select
                from generate_series(f.first, f.last) as i
                where f.types[i - 1] = any ('{uuid, bigint, "text[]"}'::regtype [])
            )
        order by f.name, f.form, l.name, a.position
    loop
        perform pg_temp.verify_try(
            v_attempt.actor,
            'call',
            'chat.' || v_attempt.name,
            v_attempt.detail,
            v_attempt.statement
        );
    end loop;
end;
$$;

-- What is private is not called directly.
create function pg_temp.verify_private_calls(pattern text)
returns void
language plpgsql
as $$
declare
    v_attempt record;
begin
    for v_attempt in
        select
            p.proname as name,
            a.name as actor,
            format(
                'select to_jsonb(chat_private.%I(%s))',
                p.proname,
                (
                    select string_agg('null::' || format_type(t.oid, null), ', ' order by t.position)
                    from unnest(p.proargtypes::oid []) with ordinality as t (oid, position)
                )
            ) as statement
        from pg_proc as p
        cross join (values ('stranger'), ('anon')) as a (name)
        where
            p.pronamespace = 'chat_private'::regnamespace
            and p.prokind = 'f'
            and p.prorettype <> 'trigger'::regtype
            and p.proname ~ pattern
    loop
        perform pg_temp.verify_try(
            v_attempt.actor, 'call', 'chat_private.' || v_attempt.name, null, v_attempt.statement
        );
    end loop;
end;
$$;
