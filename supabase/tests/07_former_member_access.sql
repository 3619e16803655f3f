-- Whoever was removed sees nothing from then on, not even what was said while they were there.
begin;
create extension if not exists pgtap with schema extensions;
set local search_path = extensions;
select no_plan();

-- In one tenant: a group of owner and member, which former_member has left, and a stranger to it.
insert into chat.tenants (id, slug, name)
values ('20000000-0000-4000-8000-000000000001', 'pgtap', 'pgTAP');
insert into auth.users (id, email)
select ('10000000-0000-4000-8000-00000000000' || u.n)::uuid, u.name || '@pgtap.test'
from unnest('{owner,member,former_member,stranger}'::text []) with ordinality as u (name, n);
insert into chat.tenant_members (tenant_id, user_id)
select '20000000-0000-4000-8000-000000000001', u.id
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
'{"role": "authenticated", "sub": "10000000-0000-4000-8000-000000000003"}';
select is_empty(
    format('select 1 from chat.%I', c.relname),
    format('a former member sees nothing in %s', c.relname)
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

-- They cannot act there either, and nothing comes of trying.
select throws_ok(
    format('select chat.%s', c.call),
    'PT404',
    'There is no such conversation among yours.',
    format('a former member cannot call %s', split_part(c.call, '(', 1))
)
from unnest(
    array[
        'send_message(''30000000-0000-4000-8000-000000000001'', ''from outside'')',
        'edit_message(''30000000-0000-4000-8000-000000000001'', 1, ''changed'')',
        'delete_message(''30000000-0000-4000-8000-000000000001'', 1)',
        'react(''30000000-0000-4000-8000-000000000001'', 1, ''x'')',
        'pin_message(''30000000-0000-4000-8000-000000000001'', 1)',
        'mark_read(''30000000-0000-4000-8000-000000000001'')',
        'leave(''30000000-0000-4000-8000-000000000001'')',
        'add_participants(''30000000-0000-4000-8000-000000000001'', array[auth.uid()])',
        'set_role(''30000000-0000-4000-8000-000000000001'', auth.uid(), ''owner'')',
        'update_conversation(''30000000-0000-4000-8000-000000000001'', ''Mine'')',
        'sync(conversation_id => ''30000000-0000-4000-8000-000000000001'')'
    ]
) as c (call);
select throws_ok(
    $$
    insert into chat.participants (conversation_id, user_id, tenant_id)
    values (
        '30000000-0000-4000-8000-000000000001', auth.uid(), '20000000-0000-4000-8000-000000000001'
    )
    $$,
    '42501',
    null,
    'a former member cannot let themselves in'
);

reset role;
select results_eq(
    $$
    select m.seq, m.body from chat.messages as m
    where m.conversation_id = '30000000-0000-4000-8000-000000000001'
    order by m.seq
    $$,
    $$values (1::bigint, 'for members'), (2, 'in a thread')$$,
    'the messages are as they were'
);
select results_eq(
    $$
    select c.title, c.participant_count from chat.conversations as c
    where c.id = '30000000-0000-4000-8000-000000000001'
    $$,
    $$values ('pgTAP', 2)$$,
    'the conversation is as it was'
);

select * from finish();
rollback;
