-- The objects of pg_cron 1.6 that applications use, in SQL. The local stack runs the jobs.
-- Source: pg_cron's README and the tables it documents.

create schema cron;

create sequence cron.jobid_seq;
create table cron.job (
    jobid bigint not null default nextval('cron.jobid_seq') primary key,
    schedule text not null,
    command text not null,
    nodename text not null default 'localhost',
    nodeport integer not null default coalesce(inet_server_port(), 5432),
    database text not null default current_database(),
    username text not null default current_user,
    active boolean not null default true,
    jobname text,
    constraint jobname_username_uniq unique (jobname, username)
);
alter table cron.job enable row level security;
create policy cron_job_policy on cron.job using (username = current_user);

create sequence cron.runid_seq;
create table cron.job_run_details (
    jobid bigint,
    runid bigint not null default nextval('cron.runid_seq') primary key,
    job_pid integer,
    database text,
    username text,
    command text,
    status text,
    return_message text,
    start_time timestamptz,
    end_time timestamptz
);
alter table cron.job_run_details enable row level security;
create policy cron_job_run_details_policy on cron.job_run_details using (username = current_user);

-- A field is *, a name, a number, a range or a list of them, with or without a step.
create function cron._require_schedule(schedule text)
returns void
language plpgsql
set search_path = ''
as $$
begin
    if _require_schedule.schedule ~ '^([1-9]|[1-5][0-9]) seconds?$' then
        return;
    end if;
    if lower(_require_schedule.schedule) !~ '^@(yearly|annually|monthly|weekly|daily|midnight|hourly)$'
        and lower(trim(_require_schedule.schedule)) !~ '^([0-9a-z*,/$-]+\s+){4}[0-9a-z*,/$-]+$'
    then
        raise exception 'invalid schedule: %', _require_schedule.schedule
            using errcode = '22023',
            hint = 'Use cron format (e.g. 5 4 * * *), or interval format ''[1-59] seconds''';
    end if;
end;
$$;

create function cron.schedule(schedule text, command text)
returns bigint
language plpgsql
set search_path = ''
as $$
declare
    v_id bigint;
begin
    perform cron._require_schedule(schedule.schedule);
    insert into cron.job (schedule, command)
    values (schedule.schedule, schedule.command)
    returning jobid into v_id;
    return v_id;
end;
$$;

create function cron.schedule(job_name text, schedule text, command text)
returns bigint
language plpgsql
set search_path = ''
as $$
declare
    v_id bigint;
begin
    perform cron._require_schedule(schedule.schedule);
    insert into cron.job (jobname, schedule, command)
    values (schedule.job_name, schedule.schedule, schedule.command)
    on conflict on constraint jobname_username_uniq do update
    set schedule = excluded.schedule, command = excluded.command
    returning jobid into v_id;
    return v_id;
end;
$$;

create function cron.schedule_in_database(
    job_name text,
    schedule text,
    command text,
    database text,
    username text default null,
    active boolean default true
)
returns bigint
language plpgsql
set search_path = ''
as $$
declare
    v_id bigint;
begin
    perform cron._require_schedule(schedule_in_database.schedule);
    insert into cron.job (jobname, schedule, command, database, username, active)
    values (
        schedule_in_database.job_name,
        schedule_in_database.schedule,
        schedule_in_database.command,
        schedule_in_database.database,
        coalesce(schedule_in_database.username, current_user),
        schedule_in_database.active
    )
    on conflict on constraint jobname_username_uniq do update
    set schedule = excluded.schedule,
        command = excluded.command,
        database = excluded.database,
        active = excluded.active
    returning jobid into v_id;
    return v_id;
end;
$$;

create function cron.alter_job(
    job_id bigint,
    schedule text default null,
    command text default null,
    database text default null,
    username text default null,
    active boolean default null
)
returns void
language plpgsql
set search_path = ''
as $$
begin
    if alter_job.schedule is not null then
        perform cron._require_schedule(alter_job.schedule);
    end if;
    update cron.job as j
    set schedule = coalesce(alter_job.schedule, j.schedule),
        command = coalesce(alter_job.command, j.command),
        database = coalesce(alter_job.database, j.database),
        username = coalesce(alter_job.username, j.username),
        active = coalesce(alter_job.active, j.active)
    where j.jobid = alter_job.job_id;
    if not found then
        raise exception 'Job % does not exist or you don''t own it', alter_job.job_id;
    end if;
end;
$$;

create function cron.unschedule(job_id bigint)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
    delete from cron.job as j where j.jobid = unschedule.job_id;
    if not found then
        raise exception 'could not find valid entry for job %', unschedule.job_id;
    end if;
    return true;
end;
$$;

create function cron.unschedule(job_name text)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
    delete from cron.job as j
    where j.jobname = unschedule.job_name and j.username = current_user;
    if not found then
        raise exception 'could not find valid entry for job ''%''', unschedule.job_name;
    end if;
    return true;
end;
$$;

-- Who may use the schema schedules jobs that run as themselves; the policies see to it.
grant usage on schema cron to postgres with grant option;
grant usage on all sequences in schema cron to public;
grant select, insert, update, delete on cron.job to public;
grant select, delete on cron.job_run_details to public;

select pg_catalog.pg_extension_config_dump('cron.job', '');
select pg_catalog.pg_extension_config_dump('cron.jobid_seq', '');
