-- People and conversations to try things with. Run twice it changes nothing.

-- People ---------------------------------------------------------------------------------------

-- Their password is `parley-demo`, below as bcrypt. Written as the Auth server would write them, so
-- that they can sign in.

with people (id, username, display_name) as (
    values
        ('a11ce000-0000-4000-8000-000000000001'::uuid, 'alice', 'Alice Liddell'),
        ('b0b00000-0000-4000-8000-000000000002'::uuid, 'bob', 'Bob Hatter'),
        ('c4a51e00-0000-4000-8000-000000000003'::uuid, 'charlie', 'Charlie March'),
        ('d1a4a000-0000-4000-8000-000000000004'::uuid, 'diana', 'Diana Dormouse')
),

users as (
    insert into auth.users (
        instance_id, id, aud, role, email, encrypted_password, email_confirmed_at,
        raw_app_meta_data, raw_user_meta_data, created_at, updated_at,
        confirmation_token, recovery_token, email_change, email_change_token_new
    )
    select
        '00000000-0000-0000-0000-000000000000',
        p.id,
        'authenticated',
        'authenticated',
        p.username || '@example.com',
        '$2a$06$bxKNjpooix8ArpgdhyLzuuKhs5n1.wjgqwXX/bmr.V2Bbyr3WdCPG',
        now(),
        '{"provider": "email", "providers": ["email"]}',
        jsonb_build_object('username', p.username, 'display_name', p.display_name),
        now(),
        now(),
        '',
        '',
        '',
        ''
    from people as p
    on conflict do nothing
    returning id, email
)

insert into auth.identities (
    provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at
)
select
    u.id::text,
    u.id,
    jsonb_build_object('sub', u.id::text, 'email', u.email, 'email_verified', true),
    'email',
    now(),
    now(),
    now()
from users as u;

-- Conversations --------------------------------------------------------------------------------

-- Said and done by these people through the functions, so that every rule held.

create or replace function pg_temp.act_as(user_id uuid)
returns void
language sql
as $$
    select
        set_config(
            'request.jwt.claims',
            json_build_object('sub', user_id, 'role', 'authenticated')::text,
            true
        ),
        set_config('role', 'authenticated', true);
$$;

-- A message; its seq.
create or replace function pg_temp.say(
    user_id uuid,
    conversation_id uuid,
    body text,
    kind text default 'text',
    metadata jsonb default '{}',
    reply_to_seq bigint default null,
    thread_root_seq bigint default null,
    mentions uuid [] default '{}'
)
returns bigint
language plpgsql
as $$
begin
    perform pg_temp.act_as(user_id);
    return (
        select m.seq
        from chat.send_message(
            conversation_id,
            body,
            kind => kind,
            metadata => metadata,
            reply_to_seq => reply_to_seq,
            thread_root_seq => thread_root_seq,
            mentions => mentions
        ) as m
    );
end;
$$;

do $$
declare
    c_me constant text := current_user;
    c_alice constant uuid := 'a11ce000-0000-4000-8000-000000000001';
    c_bob constant uuid := 'b0b00000-0000-4000-8000-000000000002';
    c_charlie constant uuid := 'c4a51e00-0000-4000-8000-000000000003';
    c_diana constant uuid := 'd1a4a000-0000-4000-8000-000000000004';
    c_default constant uuid := '00000000-0000-4000-8000-000000000001';
    c_looking_glass constant uuid := '00000000-0000-4000-8000-000000000002';
    v_room uuid;
    v_seq bigint;
    v_poll bigint;
begin
    if exists (select from chat.tenants as t where t.id = c_looking_glass) then
        return;
    end if;

    -- A second tenant, of which alice and bob see nothing. What diana and charlie start, they start
    -- in one of the two: their calls name a tenant_id.
    insert into chat.tenants (id, slug, name)
    values (c_looking_glass, 'looking-glass', 'Looking-Glass Stores');
    insert into chat.tenant_members (tenant_id, user_id, role)
    values (c_looking_glass, c_diana, 'owner'), (c_looking_glass, c_charlie, 'member');

    -- Contacts: one accepted, two that wait for an answer.
    perform pg_temp.act_as(c_alice);
    perform chat.request_contact(username => 'bob');
    perform chat.request_contact(username => 'diana');
    perform pg_temp.act_as(c_bob);
    perform chat.accept_contact(c_alice);
    perform pg_temp.act_as(c_charlie);
    perform chat.request_contact(username => 'alice');

    -- Direct: a reply, an edit, and one that bob has not read yet.
    perform pg_temp.act_as(c_alice);
    v_room := (chat.start_direct(username => 'bob')).id;
    v_seq := pg_temp.say(c_alice, v_room, 'Have you guessed the ridle yet?');
    perform chat.edit_message(v_room, v_seq, 'Have you guessed the riddle yet?');
    v_seq := pg_temp.say(
        c_bob, v_room, 'No, I give it up. What is the answer?', reply_to_seq => v_seq
    );
    perform chat.mark_read(v_room);
    v_seq := pg_temp.say(c_alice, v_room, 'I have not the slightest idea.', reply_to_seq => v_seq);

    -- A group, with a message of every kind that people send.
    perform pg_temp.act_as(c_alice);
    v_room := (
        chat.start_group('Tea party', array[c_bob, c_charlie, c_diana], tenant_id => c_default)
    ).id;
    perform chat.set_role(v_room, c_bob, 'admin');
    v_seq := pg_temp.say(c_alice, v_room, 'Tea on Sunday? Six o''clock, as always.');
    perform chat.pin_message(v_room, v_seq);
    perform pg_temp.say(
        c_charlie, v_room, 'It is always six o''clock here.', thread_root_seq => v_seq
    );
    perform pg_temp.say(c_diana, v_room, 'Then we are never late.', thread_root_seq => v_seq);
    perform chat.react(v_room, v_seq, '☕');
    perform pg_temp.act_as(c_bob);
    perform chat.react(v_room, v_seq, '☕');
    perform chat.react(v_room, v_seq, '🎩');
    v_poll := pg_temp.say(
        c_bob, v_room, null, 'poll',
        '{
            "question": "What goes with the tea?",
            "options": [
                {"id": "butter", "text": "Bread and butter"},
                {"id": "treacle", "text": "Treacle"},
                {"id": "tarts", "text": "Tarts"}
            ],
            "multiple": true
        }'
    );
    perform chat.vote(v_room, v_poll, '{butter}');
    perform pg_temp.act_as(c_alice);
    perform chat.vote(v_room, v_poll, '{butter,tarts}');
    perform pg_temp.act_as(c_diana);
    perform chat.vote(v_room, v_poll, '{treacle}');
    perform pg_temp.say(
        c_alice, v_room, 'Under the tree in front of the house', 'location',
        '{"lat": 51.7548, "lon": -1.2544, "name": "The March Hare''s garden"}'
    );
    -- What would be uploaded first and sent with send_attachments; here without the files.
    v_seq := pg_temp.say(
        c_diana, v_room, 'The table last time', 'image',
        '{
            "name": "table.jpg", "mime_type": "image/jpeg", "width": 1600, "height": 1200,
            "alt": "A long table laid for many, three guests at one corner of it"
        }'
    );
    perform pg_temp.act_as(c_charlie);
    perform chat.react(v_room, v_seq, '😂');
    perform pg_temp.say(
        c_bob, v_room, null, 'file',
        '{"name": "seating-plan.pdf", "mime_type": "application/pdf", "size_bytes": 48213}'
    );
    perform pg_temp.say(
        c_bob, v_room, null, 'audio',
        '{"name": "twinkle.ogg", "mime_type": "audio/ogg", "duration_seconds": 14.5}'
    );
    perform pg_temp.say(
        c_diana, v_room, 'Me, most of the time', 'video',
        '{
            "name": "asleep.mp4", "mime_type": "video/mp4", "width": 720, "height": 1280,
            "duration_seconds": 8
        }'
    );
    perform pg_temp.say(
        c_charlie, v_room, 'She bakes the tarts:', 'contact',
        '{"name": "The Queen''s cook", "phone": "+44 1865 000000"}'
    );
    perform pg_temp.say(
        c_bob, v_room, 'Clean cup, move one place on', 'custom',
        '{"type": "reminder", "due_at": "2030-05-04T18:00:00Z"}'
    );
    v_seq := pg_temp.say(c_charlie, v_room, 'Have some wine!');
    perform chat.delete_message(v_room, v_seq);
    v_seq := pg_temp.say(
        c_charlie, v_room, '@diana tell us a story, please', mentions => array[c_diana]
    );
    perform pg_temp.act_as(c_alice);
    perform chat.mark_read(v_room);
    perform pg_temp.act_as(c_bob);
    perform chat.mark_delivered(v_room);
    perform chat.mark_read(v_room, v_poll);

    -- What one keeps for oneself.
    insert into chat.saved_messages (conversation_id, message_seq, note)
    values (v_room, v_poll, 'buy butter');
    insert into chat.drafts (conversation_id, body) values (v_room, 'There is no room for');
    perform pg_temp.act_as(c_diana);
    insert into chat.participant_settings (conversation_id, user_id, muted_until)
    values (v_room, c_diana, 'infinity');

    -- The conversation of a business object: opened by the host's backend, with parties.
    perform
        set_config('request.jwt.claims', '{"role": "service_role"}', true),
        set_config('role', 'service_role', true);
    v_room := (
        chat.open_subject(
            'order',
            '42',
            json_build_array(
                json_build_object('user_id', c_bob, 'role', 'owner', 'party', 'agent'),
                json_build_object('user_id', c_diana, 'party', 'client')
            )::jsonb,
            'Order 42: a hat',
            c_default
        )
    ).id;
    perform pg_temp.say(c_diana, v_room, 'Could it be ten and sixpence?');
    perform pg_temp.say(c_bob, v_room, 'In this style, yes.');
    -- Messages of kind system are the host's alone: written by its own functions, where the order
    -- is, in the same transaction.
    perform set_config('role', c_me, true);
    insert into chat.messages (conversation_id, kind, body, metadata)
    values (v_room, 'system', 'Order 42 was shipped.', '{"event": "order_shipped"}');

    -- The other tenant.
    perform pg_temp.act_as(c_diana);
    v_room := (
        chat.start_group('Chess club', array[c_charlie], tenant_id => c_looking_glass)
    ).id;
    perform pg_temp.say(
        c_diana, v_room, 'It takes all the running you can do, to keep in the same place.'
    );
    perform pg_temp.say(c_charlie, v_room, 'And to get somewhere else?');

    perform
        set_config('request.jwt.claims', '', true),
        set_config('role', c_me, true);
end;
$$;
