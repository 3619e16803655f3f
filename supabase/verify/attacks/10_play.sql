-- Isolation attacks, for any database that Parley is installed in. Run inside a transaction that is
-- rolled back; needs role postgres, no superuser. They make tenants, users and conversations of
-- their own, act as each of these users on every table, view and function that the catalogue has,
-- on Realtime topics and on files, undo each attempt, and leave it in pg_temp.verify_results: who,
-- verb, object, detail and what came of it. Nothing is sent: what Realtime, pg_net or pg_cron would
-- take from a table is never committed. `scripts/verify` runs the files of this folder in order
-- and compares with behaviour.json. By hand:
--
--     begin; \i 10_play.sql ... \i 90_all.sql
--     select pg_temp.verify_make_world(), pg_temp.verify_all();
--     select * from pg_temp.verify_results where breach is not null;
--     rollback;
--
-- A breach is judged without behaviour.json: somebody outside saw or changed what is of the
-- conversations here.

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

-- `detail` tells apart what is tried with one verb on one object. `gain` is how far it got: 0 no
-- permission, 1 refused by a policy or a rule, 2 past the policies and no further, 3 something was
-- seen or done.
create temporary table verify_results (
    actor text not null,
    verb text not null,
    object text not null,
    detail text,
    outcome text not null,
    gain integer not null,
    breach text,
    statement text not null
);

-- What is not tried, for somebody in a hurry; by the name that behaviour.json has. Names of the
-- catalogue compare in "C": with another collation the key would not serve.
create temporary table verify_skipped (
    actor text collate "C", attack text collate "C", primary key (actor, attack)
);

create temporary table verify_problems (problem text not null);

-- Acting ---------------------------------------------------------------------------------------

create function pg_temp.verify_id(name text)
returns uuid
language sql
immutable
return md5('parley verify ' || name)::uuid;

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
        set_config(
            'request.jwt.claims',
            (
                jsonb_build_object('role', v_person.role)
                || case
                    when v_person.id is null then '{}'
                    else jsonb_build_object('sub', v_person.id)
                end
            )::text,
            true
        ),
        set_config('role', v_person.role, true);
end;
$$;

create function pg_temp.verify_unbecome()
returns void
language plpgsql
as $$
begin
    perform
        set_config('role', 'none', true),
        set_config('request.jwt.claims', '', true);
end;
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
            execute 'select to_jsonb(s) from (' || statement || ') as s' into v_result;
        else
            execute statement;
        end if;
        perform pg_temp.verify_unbecome();
    exception
        when others then
            insert into pg_temp.verify_problems
            values (
                format('%s could not: %s (%s)', actor, statement, sqlerrm)
            );
    end;
    return v_result;
end;
$$;

create function pg_temp.verify_secrets(content text)
returns text
language plpgsql
as $$
begin
    if content !~ 'verify.secret.' then
        return null;
    end if;
    return (
        select string_agg(distinct '!' || m.parts[1], '' order by '!' || m.parts[1])
        from regexp_matches(content, 'verify.secret.(\w+)', 'g') as m (parts)
    );
end;
$$;

-- The known ids in a row, its message and the secrets in its text: what a row is called.
create function pg_temp.verify_label(body jsonb)
returns text
language plpgsql
as $$
begin
    return nullif(
        concat_ws(
            ' ',
            (
                select string_agg(k.name, ' ' order by e.key)
                from jsonb_each_text(body) as e
                inner join pg_temp.verify_known as k on e.value = k.value
            ),
            (
                select string_agg('#' || e.value, '' order by e.key)
                from jsonb_each_text(body) as e
                where e.key in ('seq', 'message_seq')
            ),
            pg_temp.verify_secrets(body::text)
        ),
        ''
    );
end;
$$;
