-- Row level security is on for every table, and the switch can be seen to be off.
begin;
create extension if not exists pgtap with schema extensions;
set local search_path = extensions;
select no_plan();

select ok(c.relrowsecurity, format('row level security is on for %s', c.oid::regclass))
from pg_catalog.pg_class as c
where
    c.relnamespace in ('chat'::regnamespace, 'chat_private'::regnamespace)
    and c.relkind in ('r', 'p')
order by c.oid::regclass::text;

select ok(
    exists (select from pg_catalog.pg_policy as p where p.polrelid = c.oid),
    format('%s, which clients may read, has a policy', c.oid::regclass)
)
from pg_catalog.pg_class as c
where
    c.relnamespace = 'chat'::regnamespace
    and c.relkind in ('r', 'p')
    and pg_catalog.has_any_column_privilege('authenticated', c.oid, 'select')
order by c.oid::regclass::text;

alter table chat.messages disable row level security;
select isnt(c.relrowsecurity, true, 'switched off, it is found')
from pg_catalog.pg_class as c
where c.oid = 'chat.messages'::regclass;

select * from finish();
rollback;
