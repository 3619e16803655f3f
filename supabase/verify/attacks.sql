-- Isolation attacks, for any database that Parley is installed in. Run inside a transaction that is
-- rolled back; needs role postgres, no superuser. It makes tenants, users and conversations of its
-- own, acts as each of the users on every table, view and function that the catalogue has, undoes
-- each attempt, and leaves the outcomes in pg_temp.verify_results:
--
--     begin; \i attacks.sql
--     select pg_temp.verify_all(); select * from pg_temp.verify_results where breach is not null;
--     rollback;
--
-- `scripts/verify` does this and compares the outcomes with behaviour.json. A breach is judged
-- without that file: somebody outside saw or changed what is of the conversations here.

set local search_path = '';
set local client_min_messages = 'error';
set local statement_timeout = 0;
set constraints all immediate;

-- Tables ---------------------------------------------------------------------------------------

create temporary table verify_people (
    name text primary key,
    id uuid,
    role text not null,
    is_outsider boolean not null,
    position integer generated always as identity
);

-- What is called by name in outcomes, by its id.
create temporary table verify_known (value text primary key, name text not null);

-- Where functions are aimed: a conversation and a message in it.
create temporary table verify_places (name text primary key, conversation_id uuid, seq bigint);

create temporary table verify_relations (
    name text primary key,
    oid oid not null,
    is_table boolean not null,
    filter text
);

-- The rows of this play as they are before each attempt.
create temporary table verify_world (
    relation text not null,
    tid tid,
    label text,
    is_victims boolean not null,
    body jsonb
);
create index verify_world_relation_idx on pg_temp.verify_world (relation);

create temporary table verify_results (
    target text not null,
    actor text not null,
    outcome text not null,
    breach text,
    statement text not null,
    -- How much was obtained: 0 refused, 1 an error past the policies, 2 something happened.
    weight integer not null
);

create temporary table verify_problems (problem text not null);

-- Functions ------------------------------------------------------------------------------------

create function pg_temp.verify_id(name text)
returns uuid
language sql
immutable
return pg_catalog.md5('parley verify ' || name)::uuid;

create function pg_temp.verify_person(name text)
returns uuid
language sql
stable
return (select p.id from pg_temp.verify_people as p where p.name = verify_person.name);

create function pg_temp.verify_become(actor text)
returns void
language plpgsql
as $$
declare
    v_person pg_temp.verify_people;
begin
    select p.* into strict v_person from pg_temp.verify_people as p where p.name = actor;
    perform
        pg_catalog.set_config(
            'request.jwt.claims',
            (
                pg_catalog.jsonb_build_object('role', v_person.role)
                || case
                    when v_person.id is null then '{}'
                    else pg_catalog.jsonb_build_object('sub', v_person.id)
                end
            )::text,
            true
        ),
        pg_catalog.set_config('role', v_person.role, true);
end;
$$;

create function pg_temp.verify_unbecome()
returns void
language sql
as $$
    select
        pg_catalog.set_config('role', 'none', true),
        pg_catalog.set_config('request.jwt.claims', '', true);
$$;

-- For the story: as somebody, for good. A step that fails is a problem to report.
create function pg_temp.verify_do(actor text, statement text)
returns jsonb
language plpgsql
as $$
declare
    v_result jsonb;
begin
    begin
        if actor is not null then
            perform pg_temp.verify_become(actor);
        end if;
        if statement like 'select %' then
            execute 'select pg_catalog.to_jsonb(s) from (' || statement || ') as s' into v_result;
        else
            execute statement;
        end if;
        perform pg_temp.verify_unbecome();
    exception
        when others then
            insert into pg_temp.verify_problems
            values (
                pg_catalog.format('%s could not: %s (%s)', actor, statement, sqlerrm)
            );
    end;
    return v_result;
end;
$$;

-- The known ids in a row, its message and the secrets in its text: what a row is called.
create function pg_temp.verify_label(body jsonb)
returns text
language sql
stable
as $$
    select pg_catalog.nullif(
        pg_catalog.concat_ws(
            ' ',
            (
                select pg_catalog.string_agg(k.name, ' ' order by e.key)
                from pg_catalog.jsonb_each_text(body) as e
                inner join pg_temp.verify_known as k on e.value = k.value
            ),
            (
                select pg_catalog.string_agg('#' || e.value, '' order by e.key)
                from pg_catalog.jsonb_each_text(body) as e
                where e.key in ('seq', 'message_seq')
            ),
            pg_temp.verify_secrets(body::text)
        ),
        ''
    );
$$;

create function pg_temp.verify_secrets(content text)
returns text
language sql
immutable
as $$
    select pg_catalog.string_agg(distinct '!' || m.parts[1], '' order by '!' || m.parts[1])
    from pg_catalog.regexp_matches(content, 'verify.secret.(\w+)', 'g') as m (parts);
$$;

-- nullif is grammar, not a function: this is one for the label above.
create function pg_temp.verify_dummy() returns void language sql as $$ select $$;

-- Inserted, updated and deleted rows of this transaction, three numbers for each table.
create function pg_temp.verify_counters()
returns bigint []
language sql
as $$
    select pg_catalog.array_agg(n.number order by r.name, n.position)
    from pg_temp.verify_relations as r
    cross join
        lateral (
            values
            (1, pg_catalog.pg_stat_get_xact_tuples_inserted(r.oid)),
            (2, pg_catalog.pg_stat_get_xact_tuples_updated(r.oid)),
            (3, pg_catalog.pg_stat_get_xact_tuples_deleted(r.oid))
        ) as n (position, number)
    where r.is_table;
$$;

create function pg_temp.verify_changes(before bigint [], after bigint [])
returns table (relation text, inserted bigint, updated bigint, deleted bigint)
language sql
as $$
    select
        t.name,
        after[t.i * 3 - 2] - before[t.i * 3 - 2],
        after[t.i * 3 - 1] - before[t.i * 3 - 1],
        after[t.i * 3] - before[t.i * 3]
    from (
        select r.name, pg_catalog.row_number() over (order by r.name)::integer as i
        from pg_temp.verify_relations as r
        where r.is_table
    ) as t
    where
        after[t.i * 3 - 2] <> before[t.i * 3 - 2]
        or after[t.i * 3 - 1] <> before[t.i * 3 - 1]
        or after[t.i * 3] <> before[t.i * 3];
$$;
