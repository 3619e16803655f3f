-- The world of this play: two tenants, people of every standing, conversations of every kind, and
-- a row in each table.

create function pg_temp.verify_know(id uuid, name text)
returns void
language sql
as $$
    insert into pg_temp.verify_known values (id::text, name);
$$;

create function pg_temp.verify_known_id(name text)
returns uuid
language sql
stable
return (select k.value::uuid from pg_temp.verify_known as k where k.name = verify_known_id.name);

-- A message by somebody in a conversation, with a secret in its text and a word to search for.
create function pg_temp.verify_say(actor text, conversation text, secret text, place text)
returns void
language plpgsql
as $$
declare
    v_message jsonb := pg_temp.verify_do(
        actor,
        format(
            'select * from chat.send_message(conversation_id => %L, body => %L, id => %L)',
            pg_temp.verify_known_id(conversation),
            'verify ' || case conversation when 'abroad' then 'verify.own.' else 'verify.secret.' end
            || secret,
            pg_temp.verify_id('message ' || secret)
        )
    );
begin
    insert into pg_temp.verify_places
    values (place, pg_temp.verify_known_id(conversation), (v_message ->> 'seq')::bigint);
end;
$$;

create function pg_temp.verify_start(actor text, name text, statement text)
returns void
language sql
as $$
    select pg_temp.verify_know((pg_temp.verify_do(actor, statement) ->> 'id')::uuid, name);
$$;

create function pg_temp.verify_make_people()
returns void
language plpgsql
as $$
begin
    insert into pg_temp.verify_people (name, id, role, is_outsider)
    select p.name, pg_temp.verify_id(p.name), 'authenticated', p.is_outsider
    from (
        values
        ('owner', false),
        ('admin', false),
        ('member', false),
        ('silenced', false),
        ('blocked', false),
        ('late', false),
        ('moderator', false),
        ('former', true),
        ('banned', true),
        ('stranger', true),
        ('other', true),
        ('elsewhere', true)
    ) as p (name, is_outsider);
    insert into pg_temp.verify_people (name, id, role, is_outsider)
    values ('anon', null, 'anon', true), ('service', null, 'service_role', false);
    insert into auth.users (id, instance_id, aud, role, email, raw_user_meta_data)
    select
        p.id,
        '00000000-0000-0000-0000-000000000000',
        'authenticated',
        'authenticated',
        'verify-' || p.name || '@parley.invalid',
        jsonb_build_object('username', 'parley_verify_' || p.name)
    from pg_temp.verify_people as p
    where p.id is not null;
    perform pg_temp.verify_know(p.id, p.name)
    from pg_temp.verify_people as p
    where p.id is not null;

    perform
        pg_temp.verify_know(pg_temp.verify_id('tenant'), 'tenant'),
        pg_temp.verify_know(pg_temp.verify_id('other tenant'), 'far-off');
    -- Not of the project's open tenants.
    delete from chat.tenant_members as m
    where m.user_id = any (array(select p.id from pg_temp.verify_people as p));
    insert into chat.tenants (id, slug, name)
    values
    (pg_temp.verify_id('tenant'), 'parley-verify', 'Verify'),
    (pg_temp.verify_id('other tenant'), 'parley-verify-other', 'Other');
    insert into chat.tenant_members (tenant_id, user_id, role)
    select
        pg_temp.verify_id(
            case when p.name in ('other', 'elsewhere') then 'other tenant' else 'tenant' end
        ),
        p.id,
        case when p.name = 'moderator' then 'moderator' else 'member' end::chat.tenant_role
    from pg_temp.verify_people as p
    where p.id is not null;
end;
$$;

create function pg_temp.verify_make_conversations()
returns void
language plpgsql
as $$
declare
    v_tenant constant uuid := pg_temp.verify_id('tenant');
    v_group constant uuid := pg_temp.verify_id('group');
    v_subject constant uuid := pg_temp.verify_id('subject');
    v_statement text;
begin
    perform
        pg_temp.verify_start(
            'owner',
            'group',
            format(
                'select * from chat.start_group(title => ''Group'', user_ids => %L, id => %L)',
                array(
                    select p.id
                    from pg_temp.verify_people as p
                    where p.name in ('admin', 'member', 'silenced', 'blocked', 'former', 'banned')
                ),
                v_group
            )
        ),
        pg_temp.verify_start(
            'owner',
            'direct',
            format('select * from chat.start_direct(user_id => %L)', pg_temp.verify_id('member'))
        ),
        pg_temp.verify_start(
            'owner',
            'shunned',
            format('select * from chat.start_direct(user_id => %L)', pg_temp.verify_id('blocked'))
        ),
        pg_temp.verify_start(
            'other',
            'abroad',
            format(
                'select * from chat.start_group(title => ''Other'', user_ids => %L, id => %L)',
                array[pg_temp.verify_id('elsewhere')],
                pg_temp.verify_id('other group')
            )
        );
    insert into chat.conversations (id, tenant_id, kind, subject_type, subject_id)
    values (v_subject, v_tenant, 'subject', 'verify', '1');
    insert into chat.participants (conversation_id, user_id, tenant_id, role, party)
    values
    (v_subject, pg_temp.verify_id('owner'), v_tenant, 'owner', 'agent'),
    (v_subject, pg_temp.verify_id('member'), v_tenant, 'member', 'client');
    perform pg_temp.verify_know(v_subject, 'subject');

    update chat.participants as p
    set role = 'admin'
    where p.conversation_id = v_group and p.user_id = pg_temp.verify_id('admin');
    perform
        pg_temp.verify_say('owner', 'group', 'early', 'group early'),
        pg_temp.verify_say('former', 'group', 'departed', 'group departed');
    insert into chat.participants (conversation_id, user_id, tenant_id, visible_from_seq)
    values (v_group, pg_temp.verify_id('late'), v_tenant, 3);
    perform
        pg_temp.verify_say('member', 'group', 'normal', 'group normal'),
        pg_temp.verify_say('owner', 'group', 'deleted', 'group deleted'),
        pg_temp.verify_say('owner', 'group', 'expired', 'group expired'),
        pg_temp.verify_say('owner', 'group', 'hidden', 'group hidden'),
        pg_temp.verify_say('owner', 'group', 'unedited', 'group edited'),
        pg_temp.verify_say('silenced', 'group', 'silenced', 'group silenced'),
        pg_temp.verify_say('blocked', 'group', 'blocked', 'group blocked'),
        pg_temp.verify_say('late', 'group', 'late', 'group late'),
        pg_temp.verify_say('owner', 'direct', 'direct', 'direct'),
        pg_temp.verify_say('owner', 'shunned', 'shunned', 'shunned'),
        pg_temp.verify_say('owner', 'subject', 'subject', 'subject'),
        pg_temp.verify_say('other', 'abroad', 'elsewhere', 'abroad');
    for v_statement in
        select format(s.statement, v_group, p.seq)
        from (
            values
            (
                'group edited',
                'select * from chat.edit_message(%L, %s, body => ''verify verify.secret.edited'')'
            ),
            ('group deleted', 'select * from chat.delete_message(%L, %s)')
        ) as s (place, statement)
        inner join pg_temp.verify_places as p on s.place = p.name
    loop
        perform pg_temp.verify_do('owner', v_statement);
    end loop;
    perform
        pg_temp.verify_do(
            'member', format('select chat.hide_message(%L, %s)', p.conversation_id, p.seq)
        ),
        pg_temp.verify_do('admin', format('select chat.mark_read(%L)', v_group))
    from pg_temp.verify_places as p
    where p.name = 'group hidden';
    update chat.messages as m
    set expires_at = chat_private.now() - interval '1 microsecond'
    where m.id = pg_temp.verify_id('message expired');
    update chat.participants as p
    set silenced_until = chat_private.now() + interval '1 hour'
    where p.conversation_id = v_group and p.user_id = pg_temp.verify_id('silenced');
    update chat.participants as p
    set left_at = chat_private.now()
    where p.conversation_id = v_group and p.user_id = pg_temp.verify_id('former');
    insert into chat.blocks (blocker_id, blocked_id)
    values (pg_temp.verify_id('owner'), pg_temp.verify_id('blocked'));
    perform pg_temp.verify_do(
        'moderator',
        format('select * from chat.ban_user(user_id => %L)', pg_temp.verify_id('banned'))
    );
    update chat.tenant_members as m
    set tier = 'privileged'
    where m.tenant_id = v_tenant and m.user_id = pg_temp.verify_id('member');
    insert into chat.legal_holds (tenant_id, user_id, reason)
    values (v_tenant, pg_temp.verify_id('owner'), 'verify');
    if to_regclass('storage.objects') is not null then
        insert into storage.objects (bucket_id, name, owner_id, metadata)
        select
            b.id,
            format('%s/%s/%s/verify.png', v_tenant, v_group, pg_temp.verify_id('upload of ' || p.name)),
            p.id,
            '{"size": 1, "mimetype": "image/png"}'
        from storage.buckets as b
        cross join pg_temp.verify_people as p
        where b.id = 'chat-attachments' and p.name in ('owner', 'member', 'admin');
    end if;
end;
$$;

create function pg_temp.verify_make_world()
returns void
language plpgsql
as $$
declare
    v_name text;
begin
    perform
        pg_temp.verify_find_relations(),
        pg_temp.verify_make_people(),
        pg_temp.verify_make_conversations();
    -- What the story has made no row of gets the owner's and a member's, parents first.
    for v_name in
        select r.name
        from pg_temp.verify_relations as r
        cross join (values (1), (2)) as a (attempt)
        where r.is_table and r.name like 'chat.%' and r.filter is not null
        order by a.attempt, r.oid
    loop
        continue when v_name in (
            'chat.bans', 'chat.blocks', 'chat.conversations', 'chat.hidden_messages',
            'chat.messages', 'chat.participants', 'chat.profiles', 'chat.settings', 'chat.tenants',
            'chat.tenant_members'
        );
        perform
            pg_temp.verify_fill(v_name::regclass, 'owner'),
            pg_temp.verify_fill(v_name::regclass, 'member');
    end loop;
    perform pg_temp.verify_take_stock();
    delete from pg_temp.verify_problems as p
    where p.problem like 'No row of %' and exists (
        select
        from pg_temp.verify_world as w
        where p.problem like 'No row of ' || w.relation || ':%'
    );
end;
$$;

create function pg_temp.verify_take_stock()
returns void
language sql
as $$
    truncate pg_temp.verify_world;
    insert into pg_temp.verify_world (relation, tid, label, is_victims, body)
    select
        r.name,
        s.tid,
        l.label,
        coalesce(
            l.label ~ '\y(group|direct|shunned|subject|owner|admin|member|silenced|blocked|late)\y',
            false
        ),
        s.body
    from pg_temp.verify_relations as r
    cross join lateral pg_temp.verify_rows(r.name) as s
    cross join lateral pg_temp.verify_label(s.body) as l (label)
    where r.is_table;
$$;
