-- A member sees what is said and who takes part, and writes it through functions alone.
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
'{"role": "authenticated", "sub": "10000000-0000-4000-8000-000000000002"}';
select results_eq(
    'select m.seq, m.sender_id, m.body from chat.messages as m order by m.seq',
    $$
    values
        (1::bigint, '10000000-0000-4000-8000-000000000001'::uuid, 'for members'),
        (2, '10000000-0000-4000-8000-000000000001', 'in a thread')
    $$,
    'a member reads messages'
);
select isnt_empty(format('select 1 from chat.%I', t.name), format('and %s', t.name))
from unnest(
    '{message_revisions,reactions,mentions,pins,receipts,message_receipts,participants}'::text []
) as t (name);
select is_empty(format('select 1 from chat.%I', t.name), format('but nobody else''s %s', t.name))
from unnest('{drafts,saved_messages,thread_reads,participant_settings}'::text []) as t (name);
select results_eq(
    'select i.title, i.unread_count from chat.inbox as i',
    $$values ('pgTAP', 2::bigint)$$,
    'their inbox has the conversation and what is unread'
);
select results_eq(
    'select p.id from chat.profiles as p order by p.id',
    $$
    values
        ('10000000-0000-4000-8000-000000000001'::uuid),
        ('10000000-0000-4000-8000-000000000002'),
        ('10000000-0000-4000-8000-000000000003')
    $$,
    'they see those who take or took part, and no stranger'
);
select lives_ok(
    $$select chat.send_message('30000000-0000-4000-8000-000000000001', 'an answer')$$,
    'they send'
);
select lives_ok(
    $$select chat.mark_read('30000000-0000-4000-8000-000000000001')$$, 'they read'
);
select results_eq(
    'select i.unread_count from chat.inbox as i', 'values (0::bigint)', 'then nothing is unread'
);

select throws_ok(s.statement, '42501', null, s.statement)
from unnest(
    array[
        'update chat.messages set body = ''forged''',
        'update chat.messages set sender_id = auth.uid()',
        'update chat.messages set expires_at = null',
        'delete from chat.messages',
        'update chat.participants set role = ''owner'' where user_id = auth.uid()',
        'update chat.participants set last_read_seq = 0',
        'delete from chat.participants',
        'update chat.conversations set title = ''Mine''',
        'delete from chat.conversations',
        'select chat.remove_participant('
        || '''30000000-0000-4000-8000-000000000001'', ''10000000-0000-4000-8000-000000000001'')',
        'select chat.delete_message(''30000000-0000-4000-8000-000000000001'', 1)',
        'select chat.edit_message(''30000000-0000-4000-8000-000000000001'', 1, ''forged'')',
        'select 1 from chat_private.deleted_messages'
    ]
) as s (statement);

reset role;
select results_eq(
    $$
    select m.seq, m.body, m.expires_at is null from chat.messages as m
    where m.conversation_id = '30000000-0000-4000-8000-000000000001'
    order by m.seq
    $$,
    $$
    values
        (1::bigint, 'for members', false), (2, 'in a thread', false), (3, 'an answer', false)
    $$,
    'the messages are as they were sent'
);
select results_eq(
    $$
    select p.role::text from chat.participants as p
    where p.conversation_id = '30000000-0000-4000-8000-000000000001' and p.left_at is null
    order by 1
    $$,
    $$values ('member'), ('owner')$$,
    'and so are the roles'
);

select * from finish();
rollback;
