-- Removes everything that Parley's migrations made, and nothing else: the schemas chat and
-- chat_private with all messages in them, triggers on auth.users, policies on realtime.messages and
-- storage.objects, the empty buckets, scheduled jobs, and the records of the migrations.
--
-- Run as postgres, in one transaction: psql "$DB_URL" --single-transaction -f supabase/uninstall.sql
-- It raises, and changes nothing, when objects of the project depend on Parley's (a foreign key, a
-- view, a policy): dropping these with it would take from the project what nobody asked to lose. So
-- it does when files are left in a bucket. Rows of realtime.messages go by themselves.
--
-- What is Parley's it asks the catalogue: whatever is in its two schemas, and what is called parley
-- elsewhere. So it need not know of a table to remove it.

set lock_timeout = '5s';
-- Not a line for each object that goes with the schemas.
set client_min_messages = 'warning';

do $$
declare
    v_buckets constant text [] := '{chat-attachments,chat-exports}';
    v_item record;
    v_dependents text;
begin
    -- Ours on tables of the platform.
    for v_item in
        select t.tgname as name, t.tgrelid::regclass as relation
        from pg_catalog.pg_trigger as t
        inner join pg_catalog.pg_proc as p on t.tgfoid = p.oid
        inner join pg_catalog.pg_class as c on t.tgrelid = c.oid
        where
            p.pronamespace in (to_regnamespace('chat'), to_regnamespace('chat_private'))
            and c.relnamespace not in (to_regnamespace('chat'), to_regnamespace('chat_private'))
            and not t.tgisinternal
            and t.tgname like 'parley\_%'
    loop
        execute format('drop trigger %I on %s', v_item.name, v_item.relation);
    end loop;
    for v_item in
        select p.polname as name, p.polrelid::regclass as relation
        from pg_catalog.pg_policy as p
        where p.polname like 'parley: %'
    loop
        execute format('drop policy %I on %s', v_item.name, v_item.relation);
    end loop;

    -- Whatever else depends on ours is the project's: it goes first, or Parley stays.
    select string_agg(distinct d.description, ', ')
    into v_dependents
    from (
        select pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) as description
        from pg_catalog.pg_depend as d
        cross join lateral pg_catalog.pg_identify_object(d.refclassid, d.refobjid, 0) as r
        cross join lateral pg_catalog.pg_identify_object(d.classid, d.objid, 0) as o
        cross join lateral pg_catalog.pg_identify_object_as_address(d.classid, d.objid, 0) as a
        where
            d.refclassid in (
                'pg_catalog.pg_class'::regclass,
                'pg_catalog.pg_type'::regclass,
                'pg_catalog.pg_proc'::regclass
            )
            and d.deptype = 'n'
            and r.schema in ('chat', 'chat_private')
            and o.type <> 'publication relation'
            and coalesce(o.schema, a.object_names[1]) not in ('chat', 'chat_private', 'pg_toast')
    ) as d;
    if v_dependents is not null then
        raise exception using
            errcode = '2BP01',
            message = 'Objects of the project depend on Parley.',
            detail = v_dependents,
            hint = 'Drop or change these first.';
    end if;

    -- The buckets, if nothing is in them.
    if to_regclass('storage.buckets') is not null then
        execute
            'select bucket_id as name, count(*) as objects from storage.objects'
            ' where bucket_id = any ($1) group by 1 order by 1 limit 1'
        into v_item using v_buckets;
        if v_item.name is not null then
            raise exception using
                errcode = '2BP01',
                message = 'A bucket of Parley is not empty.',
                detail = format('%s has %s objects.', v_item.name, v_item.objects),
                hint = 'Empty it through the Storage API or the dashboard; SQL would leave the '
                    'files behind.';
        end if;
        perform set_config('storage.allow_delete_query', 'true', true);
        execute 'delete from storage.buckets where id = any ($1)' using v_buckets;
        perform set_config('storage.allow_delete_query', '', true);
    end if;

    if to_regclass('cron.job') is not null then
        execute
            'select cron.unschedule(j.jobid) from cron.job as j where j.jobname like ''parley%''';
    end if;

    -- Published tables leave their publications with the schema.
    drop schema if exists chat, chat_private cascade;

    -- Our migrations begin with these four lines.
    if to_regclass('supabase_migrations.schema_migrations') is not null then
        execute $delete$
            delete from supabase_migrations.schema_migrations
            where
                statements[1] ~ '^-- Purpose: .*\n-- Objects: .*\n-- Locks: .*\n-- Breaking: '
                and array_to_string(statements, ' ') ~ '\mchat(_private)?\M'
        $delete$;
    end if;
end;
$$;
