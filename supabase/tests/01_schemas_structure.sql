-- What there is, and that it is built as everything here is built.
begin;
create extension if not exists pgtap with schema extensions;
set local search_path = extensions;
select no_plan();

select has_schema('chat');
select has_schema('chat_private');
select schema_privs_are('chat', 'authenticated', array['USAGE']);
select schema_privs_are('chat', 'anon', '{}'::name []);
select schema_privs_are('chat_private', 'authenticated', '{}'::name []);
select schema_privs_are('chat_private', 'anon', '{}'::name []);
select schema_privs_are('chat_private', 'service_role', '{}'::name []);

select has_table('chat'::name, t.name)
from unnest(
    '{
        tenants,tenant_members,settings,tiers,profiles,contacts,blocks,conversations,participants,
        participant_settings,messages,message_revisions,hidden_messages,receipts,reactions,
        poll_votes,mentions,pins,saved_messages,drafts,scheduled_messages,thread_reads,attachments,
        bans,reports
    }'::name []
) as t (name);
select has_view('chat'::name, v.name)
from unnest('{inbox,unread_totals,unread_by_party,message_receipts,threads}'::name []) as v (name);
select has_function('chat'::name, f.name)
from unnest(
    '{
        start_direct,start_group,open_subject,add_participants,remove_participant,leave,set_role,
        update_conversation,send_message,edit_message,delete_message,hide_message,mark_read,
        mark_delivered,mark_unread,react,unreact,vote,pin_message,sync
    }'::name []
) as f (name);

-- What there is one of.
select col_is_pk(
    'chat', 'messages', array['conversation_id', 'seq']::name [], 'seq numbers messages'
);
select col_is_unique('chat', 'messages', 'id', 'a message is sent once');
select col_is_pk(
    'chat', 'participants', array['conversation_id', 'user_id']::name [], 'one takes part once'
);
select col_is_unique(
    'chat', 'conversations', array['tenant_id', 'user_low_id', 'user_high_id']::name [],
    'a pair has one direct conversation'
);
select col_is_unique(
    'chat', 'conversations', array['tenant_id', 'subject_type', 'subject_id']::name [],
    'a business object has one conversation'
);
-- A row of one tenant cannot name a row of another.
select fk_ok(
    'chat', 'participants', array['tenant_id', 'conversation_id'],
    'chat', 'conversations', array['tenant_id', 'id']
);
select fk_ok(
    'chat', 'participants', array['tenant_id', 'user_id'],
    'chat', 'tenant_members', array['tenant_id', 'user_id']
);
select fk_ok(
    'chat', 'messages', array['conversation_id', 'sender_id'],
    'chat', 'participants', array['conversation_id', 'user_id']
);

select is_empty(
    $$
    select p.oid::regprocedure from pg_catalog.pg_proc as p
    where
        p.pronamespace in ('chat'::regnamespace, 'chat_private'::regnamespace)
        and not coalesce(p.proconfig @> array['search_path=""'], false)
    $$,
    'every function sets an empty search_path'
);
select is_empty(
    $$
    select p.oid::regprocedure from pg_catalog.pg_proc as p
    where p.pronamespace = 'chat'::regnamespace and p.prosecdef
    $$,
    'nothing that clients can call runs with the rights of its owner'
);
select is_empty(
    $$
    select c.relname from pg_catalog.pg_class as c
    where
        c.relnamespace = 'chat'::regnamespace and c.relkind = 'v'
        and not coalesce(c.reloptions @> array['security_invoker=true'], false)
    $$,
    'views ask as their caller'
);

select * from finish();
rollback;
