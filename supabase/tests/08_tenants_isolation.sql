-- Tenants share nothing: an admin of one sees, reaches and changes nothing of another.
begin;
create extension if not exists pgtap with schema extensions;
set local search_path = extensions;
select no_plan();

-- In one tenant: a group of owner and member, which former_member has left; in another: an admin.
insert into chat.tenants (id, slug, name)
values
('20000000-0000-4000-8000-000000000001', 'pgtap', 'pgTAP'),
('20000000-0000-4000-8000-000000000002', 'pgtap-other', 'pgTAP, another');
insert into auth.users (id, email)
select ('10000000-0000-4000-8000-00000000000' || u.n)::uuid, u.name || '@pgtap.test'
from unnest('{owner,member,former_member,other_admin}'::text []) with ordinality as u (name, n);
-- Whoever signs up is in the open tenants already.
delete from chat.tenant_members
where user_id in (select u.id from auth.users as u where u.email like '%@pgtap.test');
insert into chat.tenant_members (tenant_id, user_id, role)
select
    case u.email
        when 'other_admin@pgtap.test' then '20000000-0000-4000-8000-000000000002'
        else '20000000-0000-4000-8000-000000000001'
    end::uuid,
    u.id,
    case u.email when 'other_admin@pgtap.test' then 'admin' else 'member' end::chat.tenant_role
from auth.users as u
where u.email like '%@pgtap.test';

set local role authenticated;
set local request.jwt.claims =
'{"role": "authenticated", "sub": "10000000-0000-4000-8000-000000000001"}';
do $$
begin
    perform chat.start_group(
        'pgTAP',
        '{10000000-0000-4000-8000-000000000002,10000000-0000-4000-8000-000000000003}',
        '30000000-0000-4000-8000-000000000001',
        '20000000-0000-4000-8000-000000000001'
    );
    perform chat.send_message(
        '30000000-0000-4000-8000-000000000001',
        'for all',
        mentions => '{10000000-0000-4000-8000-000000000002}'
    );
    perform chat.edit_message('30000000-0000-4000-8000-000000000001', 1, 'for members');
    perform chat.react('30000000-0000-4000-8000-000000000001', 1, '+1');
    perform chat.pin_message('30000000-0000-4000-8000-000000000001', 1);
    perform chat.send_message(
        '30000000-0000-4000-8000-000000000001', 'in a thread', thread_root_seq => 1
    );
    perform chat.mark_read('30000000-0000-4000-8000-000000000001');
    insert into chat.drafts (conversation_id, body)
    values ('30000000-0000-4000-8000-000000000001', 'half a');
    insert into chat.saved_messages (conversation_id, message_seq)
    values ('30000000-0000-4000-8000-000000000001', 1);
    perform chat.remove_participant(
        '30000000-0000-4000-8000-000000000001', '10000000-0000-4000-8000-000000000003'
    );
end;
$$;

set local request.jwt.claims =
'{"role": "authenticated", "sub": "10000000-0000-4000-8000-000000000004"}';
select is_empty(
    format('select 1 from chat.%I', c.relname),
    format('an admin of another tenant sees nothing in %s', c.relname)
)
from pg_catalog.pg_class as c
where
    c.relnamespace = 'chat'::regnamespace
    and c.relkind in ('r', 'v')
    and (
        c.relname = 'conversations'
        or exists (
            select from pg_catalog.pg_attribute as a
            where a.attrelid = c.oid and a.attname = 'conversation_id'
        )
    )
    and pg_catalog.has_table_privilege(c.oid, 'select')
order by c.relname;
select results_eq(
    'select t.slug from chat.tenants as t', $$values ('pgtap-other')$$, 'they see their tenant'
);
select results_eq(
    'select m.user_id from chat.tenant_members as m',
    $$values ('10000000-0000-4000-8000-000000000004'::uuid)$$,
    'and its members'
);
select results_eq(
    'select s.tenant_id from chat.settings as s',
    $$values ('20000000-0000-4000-8000-000000000002'::uuid)$$,
    'and its settings'
);
select lives_ok('update chat.settings set max_participants = 7', 'they change these');

select throws_ok(s.statement, s.state, null, s.statement)
from (
    values
    ('select chat.start_direct(''10000000-0000-4000-8000-000000000001'')', 'PT404'),
    (
        'select chat.start_direct(''10000000-0000-4000-8000-000000000001'','
        || ' tenant_id => ''20000000-0000-4000-8000-000000000001'')',
        '42501'
    ),
    ('select chat.start_group(''Across'', ''{10000000-0000-4000-8000-000000000001}'')', 'PT404'),
    ('select chat.send_message(''30000000-0000-4000-8000-000000000001'', ''across'')', 'PT404'),
    (
        'select chat.ban_user(''10000000-0000-4000-8000-000000000001'','
        || ' tenant_id => ''20000000-0000-4000-8000-000000000001'')',
        '42501'
    ),
    ('update chat.tenant_members set role = ''owner''', '42501'),
    ('update chat.settings set tenant_id = ''20000000-0000-4000-8000-000000000001''', '42501')
) as s (statement, state);

-- Not even who owns the tables puts a user of one tenant into a conversation of another.
reset role;
select throws_ok(
    $$
    insert into chat.participants (conversation_id, user_id, tenant_id)
    values (
        '30000000-0000-4000-8000-000000000001',
        '10000000-0000-4000-8000-000000000004',
        '20000000-0000-4000-8000-000000000002'
    )
    $$,
    '23503',
    null,
    'a participant is of the conversation''s tenant'
);
select results_eq(
    $$
    select s.tenant_id from chat.settings as s where s.max_participants = 7
    $$,
    $$values ('20000000-0000-4000-8000-000000000002'::uuid)$$,
    'the settings of other tenants are as they were'
);
select is_empty(
    $$
    select 1 from chat.participants as p
    where p.user_id = '10000000-0000-4000-8000-000000000004'
    $$,
    'and nobody came in'
);

select * from finish();
rollback;
