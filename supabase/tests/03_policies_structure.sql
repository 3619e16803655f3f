-- Policies: each for one command and for users who signed in; those of the core by name.
begin;
create extension if not exists pgtap with schema extensions;
set local search_path = extensions;
select no_plan();

select policy_roles_are(p.schemaname, p.tablename, p.policyname, array['authenticated']::name [])
from pg_catalog.pg_policies as p
where p.schemaname = 'chat' or p.policyname like 'parley: %'
order by p.tablename, p.policyname;

select isnt(p.cmd, 'ALL', format('"%s" on %s is for one command', p.policyname, p.tablename))
from pg_catalog.pg_policies as p
where p.schemaname = 'chat' or p.policyname like 'parley: %'
order by p.tablename, p.policyname;

select policies_are('chat', 'conversations', array['participants can read their conversations']);
select policy_cmd_is(
    'chat', 'conversations', 'participants can read their conversations'::name, 'select'
);
select policies_are(
    'chat', 'participants', array['participants can see who else takes part']
);
select policies_are(
    'chat', 'messages', array['participants can read messages until they expire']
);
select policy_cmd_is(
    'chat', 'messages', 'participants can read messages until they expire'::name, 'select'
);
select policies_are(
    'chat', 'profiles',
    array[
        'users can read their own profile and those they talk to',
        'users can change their own profile'
    ]
);
select policies_are('chat', 'tenants', array['members can read their tenants']);
select policies_are(
    'chat', 'tenant_members', array['members can read themselves and admins their tenants']
);
select policies_are(
    'chat', 'settings',
    array['members can read their tenants'' settings', 'admins can change their tenants'' settings']
);

-- Realtime: who may hear, and who may say that they type.
select policy_cmd_is(
    'realtime', 'messages',
    'parley: users can hear their conversations and their inbox'::name, 'select'
);
select policy_cmd_is(
    'realtime', 'messages', 'parley: participants can say that they are typing'::name, 'insert'
);

select * from finish();
rollback;
