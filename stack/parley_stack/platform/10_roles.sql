-- Cluster-wide: the roles of a hosted Supabase project, with its attributes. Runs once, as the
-- superuser supabase_admin, on a new data folder. Passwords are those of every local project and
-- are asked for on loopback only.

create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;

create role authenticator login noinherit password 'postgres';
grant anon, authenticated, service_role to authenticator;

create role supabase_auth_admin login noinherit createrole password 'postgres';
create role supabase_storage_admin login noinherit createrole password 'postgres';
create role supabase_functions_admin login noinherit createrole password 'postgres';
create role supabase_replication_admin login replication password 'postgres';
create role supabase_read_only_user login bypassrls password 'postgres';
create role supabase_realtime_admin nologin noinherit;
create role dashboard_user nologin createdb createrole replication;
create role pgbouncer login password 'postgres';
grant pg_read_all_data to supabase_read_only_user;
grant anon, authenticated, service_role to supabase_storage_admin;

create role postgres
    login nosuperuser createdb createrole replication bypassrls password 'postgres';
grant anon, authenticated, service_role, authenticator to postgres with admin option;
grant supabase_auth_admin, supabase_storage_admin, supabase_functions_admin,
    supabase_realtime_admin to postgres;
grant pg_monitor, pg_read_all_data, pg_signal_backend to postgres;

alter role supabase_admin password 'postgres';
alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
alter role supabase_auth_admin set search_path = auth;
alter role supabase_auth_admin set idle_in_transaction_session_timeout = '60s';
alter role supabase_storage_admin set search_path = storage;
alter role postgres set search_path = "$user", public, extensions;

-- Parameters that a hosted project lets `postgres` set (supautils.privileged_role_allowed_configs):
-- PostgREST's, which projects keep with `alter role authenticator set pgrst.…`, and those that
-- seeds and dumps set. PostgreSQL has no wildcard for `pgrst.*`.
grant set on parameter
    pgrst.client_error_verbosity,
    pgrst.db_aggregates_enabled,
    pgrst.db_anon_role,
    pgrst.db_extra_search_path,
    pgrst.db_hoisted_tx_settings,
    pgrst.db_max_rows,
    pgrst.db_plan_enabled,
    pgrst.db_pre_request,
    pgrst.db_prepared_statements,
    pgrst.db_root_spec,
    pgrst.db_schemas,
    pgrst.db_timezone_enabled,
    pgrst.db_tx_end,
    pgrst.jwt_aud,
    pgrst.jwt_cache_max_lifetime,
    pgrst.jwt_role_claim_key,
    pgrst.jwt_secret,
    pgrst.jwt_secret_is_base64,
    pgrst.openapi_mode,
    pgrst.openapi_security_active,
    pgrst.openapi_server_proxy_uri,
    pgrst.server_cors_allowed_origins,
    pgrst.server_timing_enabled,
    pgrst.server_trace_header,
    deadlock_timeout,
    log_lock_waits,
    log_min_duration_statement,
    log_min_messages,
    log_statement,
    log_temp_files,
    session_replication_role,
    track_io_timing
to postgres;

-- From version 16 a member's right to inherit and to switch is kept per grant; a hosted project
-- has both for the administrators' roles.
do $$
begin
    if current_setting('server_version_num')::int >= 160000 then
        execute 'grant supabase_auth_admin, supabase_storage_admin, supabase_functions_admin,'
            ' supabase_realtime_admin to postgres with inherit true, set true';
    end if;
end;
$$;
