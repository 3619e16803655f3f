-- What each role may do at all, before any policy is asked.
begin;
create extension if not exists pgtap with schema extensions;
set local search_path = extensions;
select no_plan();

select table_privs_are('chat'::name, c.relname, 'anon'::name, '{}'::name [])
from pg_catalog.pg_class as c
where c.relnamespace = 'chat'::regnamespace and c.relkind in ('r', 'v')
order by c.relname;

select table_privs_are('chat_private'::name, c.relname, r.name, '{}'::name [])
from pg_catalog.pg_class as c
cross join unnest('{anon,authenticated}'::name []) as r (name)
where c.relnamespace = 'chat_private'::regnamespace and c.relkind in ('r', 'v')
order by c.relname, r.name;

select is_empty(
    $$
    select p.oid::regprocedure from pg_catalog.pg_proc as p
    where
        p.pronamespace in ('chat'::regnamespace, 'chat_private'::regnamespace)
        and pg_catalog.has_function_privilege('anon', p.oid, 'execute')
    $$,
    'anonymous callers can call nothing'
);

-- Clients read these and write them through functions alone.
select table_privs_are('chat'::name, t.name, 'authenticated'::name, array['SELECT']::name [])
from unnest(
    '{
        tenants,tenant_members,tiers,conversations,participants,messages,message_revisions,
        hidden_messages,receipts,reactions,mentions,pins,thread_reads
    }'::name []
) as t (name);

select is_empty(
    $$
    select c.oid::regclass from pg_catalog.pg_class as c
    where
        c.relnamespace = 'chat'::regnamespace
        and pg_catalog.has_table_privilege('authenticated', c.oid, 'truncate, references, trigger')
    $$,
    'nobody truncates, refers to or puts triggers on tables'
);
select column_privs_are(
    'chat', 'profiles', 'username', 'authenticated', array['SELECT', 'UPDATE']
);
select column_privs_are('chat', 'profiles', 'id', 'authenticated', array['SELECT']);
select column_privs_are('chat', 'profiles', 'last_seen_at', 'authenticated', array['SELECT']);
select column_privs_are('chat', 'messages', 'expires_at', 'authenticated', array['SELECT']);
select column_privs_are('chat', 'settings', 'tenant_id', 'authenticated', array['SELECT']);

select * from finish();
rollback;
