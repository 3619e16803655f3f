-- Per database: the schemas, extensions and default privileges of a hosted Supabase project.
-- Runs as the superuser supabase_admin; the database belongs to postgres.

create schema extensions authorization postgres;
create schema graphql authorization supabase_admin;
create schema graphql_public authorization supabase_admin;
create schema vault authorization supabase_admin;
grant usage on schema extensions to anon, authenticated, service_role, dashboard_user;
grant usage on schema graphql_public to anon, authenticated, service_role, postgres;

-- Those of them that this server was built with; a server of one's own may lack some.
do $$
declare
    v_name text;
begin
    for v_name in
        select e.name
        from pg_catalog.pg_available_extensions as e
        where e.name in ('pgcrypto', 'uuid-ossp', 'pg_stat_statements')
        order by e.name
    loop
        execute format('create extension %I schema extensions', v_name);
    end loop;
end;
$$;
grant all on all tables in schema extensions to postgres, dashboard_user with grant option;
grant all on all functions in schema extensions to postgres, dashboard_user with grant option;

alter schema public owner to postgres;
grant usage on schema public to anon, authenticated, service_role;
alter default privileges for role postgres in schema public
    grant all on tables to anon, authenticated, service_role;
alter default privileges for role postgres in schema public
    grant all on functions to anon, authenticated, service_role;
alter default privileges for role postgres in schema public
    grant all on sequences to anon, authenticated, service_role;

-- PostgREST learns of a changed schema at once.
create function extensions.pgrst_ddl_watch()
returns event_trigger
language plpgsql
set search_path = ''
as $$
begin
    notify pgrst, 'reload schema';
end;
$$;

create event trigger pgrst_ddl_watch on ddl_command_end
    when tag in (
        'CREATE SCHEMA', 'ALTER SCHEMA', 'CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO',
        'ALTER TABLE', 'CREATE FOREIGN TABLE', 'ALTER FOREIGN TABLE', 'CREATE VIEW', 'ALTER VIEW',
        'CREATE MATERIALIZED VIEW', 'ALTER MATERIALIZED VIEW', 'CREATE FUNCTION', 'ALTER FUNCTION',
        'CREATE TRIGGER', 'CREATE TYPE', 'ALTER TYPE', 'CREATE RULE', 'COMMENT'
    )
    execute function extensions.pgrst_ddl_watch();
create event trigger pgrst_drop_watch on sql_drop
    execute function extensions.pgrst_ddl_watch();
