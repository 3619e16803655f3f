-- Isolation attacks, for any database that Parley is installed in. Run inside a transaction that is
-- rolled back; needs role postgres, no superuser. It makes tenants, users and conversations of its
-- own, acts as each of the users on every table, view and function that the catalogue has, undoes
-- each attempt, and leaves the outcomes in pg_temp.verify_results:
--
--     begin; \i attacks.sql
--     select pg_temp.verify_make_world(), pg_temp.verify_all();
--     select * from pg_temp.verify_results where breach is not null;
--     rollback;
--
-- `scripts/verify` does this and compares the outcomes with behaviour.json. A breach is judged
-- without that file: somebody outside saw or changed what is of the conversations here.

set local search_path = '';
set local client_min_messages = 'error';
set local statement_timeout = 0;
set constraints all immediate;

-- Tables ---------------------------------------------------------------------------------------

create temporary table verify_people (
    name text primary key,
    id uuid,
    role text not null,
    is_outsider boolean not null,
    position integer generated always as identity
);

-- What is called by name in outcomes, by its id.
create temporary table verify_known (value text primary key, name text not null);

-- Where functions are aimed: a conversation and a message in it.
create temporary table verify_places (name text primary key, conversation_id uuid, seq bigint);

create temporary table verify_relations (
    name text primary key,
    oid oid not null,
    is_table boolean not null,
    filter text
);

-- The rows of this play as they are before each attempt.
create temporary table verify_world (
    relation text not null,
    tid tid,
    label text,
    is_victims boolean not null,
    body jsonb
);
create index verify_world_relation_idx on pg_temp.verify_world (relation);

create temporary table verify_results (
    target text not null,
    actor text not null,
    outcome text not null,
    breach text,
    statement text not null,
    -- How much was obtained: 0 refused, 1 an error past the policies, 2 something happened.
    weight integer not null
);

create temporary table verify_problems (problem text not null);

-- Functions ------------------------------------------------------------------------------------

create function pg_temp.verify_id(name text)
returns uuid
language sql
immutable
return md5('parley verify ' || name)::uuid;

create function pg_temp.verify_person(name text)
returns uuid
language sql
stable
return (select p.id from pg_temp.verify_people as p where p.name = verify_person.name);

create function pg_temp.verify_become(actor text)
returns void
language plpgsql
as $$
declare
    v_person pg_temp.verify_people;
begin
    select p.* into strict v_person from pg_temp.verify_people as p where p.name = actor;
    perform
        set_config(
            'request.jwt.claims',
            (
                jsonb_build_object('role', v_person.role)
                || case
                    when v_person.id is null then '{}'
                    else jsonb_build_object('sub', v_person.id)
                end
            )::text,
            true
        ),
        set_config('role', v_person.role, true);
end;
$$;

create function pg_temp.verify_unbecome()
returns void
language sql
as $$
    select
        set_config('role', 'none', true),
        set_config('request.jwt.claims', '', true);
$$;

-- For the story: as somebody, for good. A step that fails is a problem to report.
create function pg_temp.verify_do(actor text, statement text)
returns jsonb
language plpgsql
as $$
declare
    v_result jsonb;
begin
    begin
        if actor is not null then
            perform pg_temp.verify_become(actor);
        end if;
        if statement like 'select %' then
            execute 'select to_jsonb(s) from (' || statement || ') as s' into v_result;
        else
            execute statement;
        end if;
        perform pg_temp.verify_unbecome();
    exception
        when others then
            insert into pg_temp.verify_problems
            values (
                format('%s could not: %s (%s)', actor, statement, sqlerrm)
            );
    end;
    return v_result;
end;
$$;

create function pg_temp.verify_secrets(content text)
returns text
language sql
immutable
as $$
    select string_agg(distinct '!' || m.parts[1], '' order by '!' || m.parts[1])
    from regexp_matches(content, 'verify.secret.(\w+)', 'g') as m (parts);
$$;

-- The known ids in a row, its message and the secrets in its text: what a row is called.
create function pg_temp.verify_label(body jsonb)
returns text
language sql
stable
as $$
    select nullif(
        concat_ws(
            ' ',
            (
                select string_agg(k.name, ' ' order by e.key)
                from jsonb_each_text(body) as e
                inner join pg_temp.verify_known as k on e.value = k.value
            ),
            (
                select string_agg('#' || e.value, '' order by e.key)
                from jsonb_each_text(body) as e
                where e.key in ('seq', 'message_seq')
            ),
            pg_temp.verify_secrets(body::text)
        ),
        ''
    );
$$;

-- Inserted, updated and deleted rows of this transaction, three numbers for each table.
create function pg_temp.verify_counters()
returns bigint []
language sql
as $$
    select array_agg(n.number order by r.name, n.position)
    from pg_temp.verify_relations as r
    cross join
        lateral (
            values
            (1, pg_stat_get_xact_tuples_inserted(r.oid)),
            (2, pg_stat_get_xact_tuples_updated(r.oid)),
            (3, pg_stat_get_xact_tuples_deleted(r.oid))
        ) as n (position, number)
    where r.is_table;
$$;

create function pg_temp.verify_changes(before bigint [], after bigint [])
returns table (relation text, inserted bigint, updated bigint, deleted bigint)
language sql
as $$
    select
        t.name,
        after[t.i * 3 - 2] - before[t.i * 3 - 2],
        after[t.i * 3 - 1] - before[t.i * 3 - 1],
        after[t.i * 3] - before[t.i * 3]
    from (
        select r.name, row_number() over (order by r.name)::integer as i
        from pg_temp.verify_relations as r
        where r.is_table
    ) as t
    where
        after[t.i * 3 - 2] <> before[t.i * 3 - 2]
        or after[t.i * 3 - 1] <> before[t.i * 3 - 1]
        or after[t.i * 3] <> before[t.i * 3];
$$;

-- The world ------------------------------------------------------------------------------------

create function pg_temp.verify_find_relations()
returns void
language sql
as $$
    insert into pg_temp.verify_relations (name, oid, is_table, filter)
    select
        n.nspname || '.' || c.relname,
        c.oid,
        c.relkind in ('r', 'p'),
        (
            -- By what is most selective: its index serves a foreign key.
            select string_agg(format('%I = any ($1)', a.attname), ' or ' order by a.attnum)
            from pg_attribute as a
            where
                a.attrelid = c.oid
                and a.attnum > 0
                and not a.attisdropped
                and a.atttypid = 'uuid'::regtype
                and a.attname = coalesce(
                    (
                        select b.attname
                        from pg_attribute as b
                        where
                            b.attrelid = c.oid
                            and b.attname in ('conversation_id', 'tenant_id')
                            and not b.attisdropped
                            and b.attnotnull
                        order by b.attname
                        limit 1
                    ),
                    a.attname
                )
        )
    from pg_class as c
    inner join pg_namespace as n on c.relnamespace = n.oid
    where n.nspname in ('chat', 'chat_private') and c.relkind in ('r', 'p', 'v', 'm');
$$;

-- The rows of a table that are of this play.
create function pg_temp.verify_rows(relation text)
returns table (tid tid, body jsonb)
language plpgsql
as $$
declare
    v_relation pg_temp.verify_relations;
begin
    select r.* into strict v_relation
    from pg_temp.verify_relations as r
    where r.name = verify_rows.relation;
    if v_relation.filter is not null then
        return query execute format(
            'select t.ctid, to_jsonb(t) from %s as t where %s',
            v_relation.oid::regclass,
            v_relation.filter
        )
        using array(select k.value::uuid from pg_temp.verify_known as k);
    end if;
end;
$$;

-- The table that a foreign key leads to from this column, other than by its conversation or tenant.
create function pg_temp.verify_target(relation oid, column_name text)
returns text
language sql
stable
as $$
    select n.nspname || '.' || c.relname
    from pg_constraint as k
    inner join pg_attribute as a
        on k.conrelid = a.attrelid and a.attnum = any (k.conkey) and a.attname = column_name
    inner join pg_class as c on k.confrelid = c.oid
    inner join pg_namespace as n on c.relnamespace = n.oid
    where
        k.conrelid = relation
        and k.contype = 'f'
        and column_name not in ('conversation_id', 'tenant_id')
    limit 1;
$$;

create function pg_temp.verify_is_person(relation oid, column_name text)
returns boolean
language sql
stable
as $$
    select coalesce(
        pg_temp.verify_target(relation, column_name) in (
            'auth.users', 'chat.profiles', 'chat.tenant_members', 'chat.participants'
        ),
        column_name = 'user_id' or column_name like '%\_by'
    );
$$;

-- A value for a column of somebody's row, by its name, type and checks; as SQL.
create function pg_temp.verify_value(relation oid, column_name text, type_name text, actor text)
returns text
language plpgsql
as $$
declare
    v_user constant uuid := pg_temp.verify_person(actor);
    v_other constant uuid := pg_temp.verify_person(
        case when actor = 'owner' then 'admin' else 'owner' end
    );
    v_place pg_temp.verify_places;
    v_choice text;
begin
    select p.* into strict v_place from pg_temp.verify_places as p where p.name = 'group normal';
    if type_name = 'uuid' then
        return quote_literal(
            case
                when column_name = 'conversation_id' then v_place.conversation_id
                when column_name = 'tenant_id' then pg_temp.verify_id('tenant')
                when column_name = 'message_id' then pg_temp.verify_id('message normal')
                when column_name like '%low%' then least(v_user, v_other)
                when column_name like '%high%' then greatest(v_user, v_other)
                when column_name ~ '^(blocked|contact|reported|banned|other|addressee)' then v_other
                when pg_temp.verify_is_person(relation, column_name) then v_user
                else pg_temp.verify_id(
                    coalesce(
                        pg_temp.verify_target(relation, column_name), relation::regclass::text
                    ) || ' of ' || actor
                )
            end
        );
    end if;
    -- The first choice that a check allows.
    select m.parts[1] into v_choice
    from pg_constraint as k
    cross join
        lateral regexp_matches(
            pg_get_constraintdef(k.oid),
            format('\(?%I\)?(?:::text)? = (?:ANY \(\(?ARRAY\[)?''([^'']+)''', column_name)
        ) as m (parts)
    where k.conrelid = relation and k.contype = 'c'
    limit 1;
    return case
        when v_choice is not null then quote_literal(v_choice)
        when column_name ~ '(^|_)seq$' then v_place.seq::text
        when type_name ~ '^(bigint|integer|smallint|numeric|real|double precision)' then '1'
        when type_name = 'boolean' then 'false'
        when type_name ~ '^timestamp' and column_name ~ '(send|scheduled|remind|expires|until|ends)'
            then '(chat_private.now() + interval ''1 day'')'
        when type_name ~ '^timestamp' then 'chat_private.now()'
        when type_name = 'date' then 'current_date'
        when type_name ~ '^time' then '''22:00'''
        when type_name = 'interval' then '''1 day'''
        when type_name like '%[]' then '''{}'''
        when type_name = 'jsonb' then '''{}'''
        when type_name = 'bytea' then '''\x00'''
        when type_name = 'inet' then '''192.0.2.1'''
        when type_name = 'regconfig' then '''pg_catalog.simple'''
        when to_regtype(type_name)::oid in (select e.enumtypid from pg_enum as e) then (
            select quote_literal(e.enumlabel)
            from pg_enum as e
            where e.enumtypid = to_regtype(type_name)
            order by e.enumsortorder desc
            limit 1
        )
        when column_name ~ 'emoji' then '''👍'''
        when column_name ~ 'url$' then '''https://example.com/verify.secret.url'''
        when column_name ~ 'mime|content_type' then '''image/png'''
        when column_name = 'sha256' then quote_literal(repeat('0', 64))
        when column_name ~ 'time_?zone' then '''UTC'''
        when column_name = 'path' then quote_literal(
            format(
                '%s/%s/%s/verify.png',
                pg_temp.verify_id('tenant'),
                v_place.conversation_id,
                pg_temp.verify_id('upload of ' || actor)
            )
        )
        else quote_literal('verify_secret_' || actor)
    end;
end;
$$;

-- A row of somebody's; all its columns for people are theirs, or only those that must be.
create function pg_temp.verify_fill(relation oid, actor text, is_full boolean default true)
returns void
language plpgsql
as $$
declare
    v_columns text;
    v_values text;
begin
    select
        string_agg(quote_ident(c.name), ', ' order by c.position),
        string_agg(
            pg_temp.verify_value(relation, c.name, c.type_name, actor), ', ' order by c.position
        )
    into v_columns, v_values
    from (
        select
            a.attname as name,
            a.attnum as position,
            format_type(a.atttypid, null) as type_name
        from pg_attribute as a
        where
            a.attrelid = relation
            and a.attnum > 0
            and not a.attisdropped
            and a.attgenerated = ''
            and a.attidentity = ''
            and (
                (a.attnotnull and not a.atthasdef)
                or (a.attname = 'id' and a.atttypid = 'uuid'::regtype)
                or a.attname in ('conversation_id', 'message_seq', 'body', 'tenant_id', 'user_id')
                or (is_full and pg_temp.verify_is_person(relation, a.attname))
            )
    ) as c;
    execute format(
        'insert into %s (%s) values (%s)', relation::regclass, v_columns, v_values
    );
exception
    when unique_violation then
        null;
    when others then
        if is_full then
            perform pg_temp.verify_fill(relation, actor, false);
            return;
        end if;
        insert into pg_temp.verify_problems
        values (
            format('No row of %s: %s (%s: %s)', relation::regclass, sqlerrm, v_columns, v_values)
        );
end;
$$;

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

-- A message by somebody in a conversation, with a secret in its text.
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
            case conversation when 'abroad' then 'verify.own.' else 'verify.secret.' end || secret,
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
                'select * from chat.edit_message(%L, %s, body => ''verify.secret.edited'')'
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

-- Attempts -------------------------------------------------------------------------------------

-- Why something was refused, in the words of outcomes.
create function pg_temp.verify_refusal(
    state text,
    message text,
    detail text,
    constraint_name text
)
returns text
language sql
immutable
as $$
    select case
        when state = '42501' and message like 'permission denied%' then 'no permission'
        when state = '42501' and message like '%row-level security%' then 'refused by policy'
        when detail ~ '^[a-z_]+$' then state || ' ' || detail
        else concat_ws(' ', state, nullif(constraint_name, ''))
    end;
$$;

-- Rows that somebody got, each by what it is called; `unnamed` are those that are not of this play.
create function pg_temp.verify_seen(rows jsonb)
returns text
language sql
as $$
    select string_agg(
        case when s.label is null then 'unnamed' else concat_ws(' x', s.label, nullif(s.number, 1)) end,
        '; '
        order by s.label collate "C"
    )
    from (
        select l.label, count(*) as number
        from jsonb_array_elements(
            case jsonb_typeof(rows) when 'array' then rows else '[]' end
        ) as r (body)
        cross join
            lateral (
                select case jsonb_typeof(r.body)
                    when 'object' then pg_temp.verify_label(r.body)
                    else pg_temp.verify_secrets(r.body::text)
                end
            ) as l (label)
        group by l.label
    ) as s;
$$;

-- What an outsider got of the conversations here; null if nothing.
create function pg_temp.verify_leak(actor text, rows jsonb)
returns text
language sql
as $$
    select 'saw ' || l.label
    from jsonb_array_elements(
        case jsonb_typeof(rows) when 'array' then rows else '[]' end
    ) as r (body)
    cross join
        lateral (
            select case jsonb_typeof(r.body)
                when 'object' then pg_temp.verify_label(r.body)
                else pg_temp.verify_secrets(r.body::text)
            end
        ) as l (label)
    where l.label ~ '\y(group|direct|shunned|subject)\y|!' and l.label !~ ('\y' || actor || '\y')
    limit 1;
$$;

-- What an outsider has done to rows of the conversations here; null if nothing.
create function pg_temp.verify_damage(actor text, changes jsonb)
returns text
language plpgsql
as $$
declare
    v_relation text;
    v_found text;
begin
    for v_relation in
        select c.item ->> 'relation'
        from jsonb_array_elements(changes) as c (item)
        where c.item ->> 'relation' not like 'chat\_private.%'
    loop
        execute format(
            'select ''changed a row of %1$s: '' || w.label'
            ' from pg_temp.verify_world as w'
            ' where w.relation = %2$L and w.is_victims'
            ' and w.label !~ %3$L'
            ' and not exists (select from %1$s as t where t.ctid = w.tid) limit 1',
            v_relation,
            v_relation,
            '\y' || actor || '\y'
        ) into v_found;
        if v_found is null then
            select 'added a row to ' || v_relation || ': ' || l.label into v_found
            from pg_temp.verify_rows(v_relation) as s
            cross join lateral pg_temp.verify_label(s.body) as l (label)
            where
                l.label ~ '\y(group|direct|shunned|subject)\y'
                and not exists (
                    select
                    from pg_temp.verify_world as w
                    where w.relation = v_relation and w.tid = s.tid
                )
            limit 1;
        end if;
        if v_found is not null then
            return v_found;
        end if;
    end loop;
    return null;
end;
$$;

-- Which rows of a table a statement changed, and how many rows of other tables.
create function pg_temp.verify_effects(relation text, changes jsonb)
returns text
language plpgsql
as $$
declare
    v_rows text;
begin
    if relation is not null then
        execute format(
            'select string_agg(coalesce(w.label, ''?''), ''; '' order by w.label)'
            ' from pg_temp.verify_world as w'
            ' where w.relation = %2$L'
            ' and not exists (select from %1$s as t where t.ctid = w.tid)',
            relation,
            relation
        ) into v_rows;
    end if;
    return concat_ws(
        ', ',
        'changed ' || v_rows,
        (
            select string_agg(
                concat_ws(
                    ' ',
                    c.item ->> 'relation',
                    '+' || nullif(c.item ->> 'inserted', '0'),
                    '~' || nullif(c.item ->> 'updated', '0'),
                    '-' || nullif(c.item ->> 'deleted', '0')
                ),
                ', ' order by c.item ->> 'relation'
            )
            from jsonb_array_elements(changes) as c (item)
        )
    );
end;
$$;

-- Tries a statement as somebody, notes what came of it and undoes it. A statement that begins with
-- `select` gives its rows as one array of JSON objects.
create function pg_temp.verify_try(
    target text,
    actor text,
    statement text,
    relation text default null
)
returns void
language plpgsql
as $$
declare
    v_is_outsider boolean;
    v_before bigint [];
    v_changes jsonb;
    v_count bigint;
    v_rows jsonb;
    v_outcome text;
    v_breach text;
    v_weight integer := 0;
    v_state text;
    v_message text;
    v_detail text;
    v_constraint text;
begin
    select p.is_outsider into strict v_is_outsider
    from pg_temp.verify_people as p
    where p.name = actor;
    v_before := pg_temp.verify_counters();
    begin
        perform pg_temp.verify_become(actor);
        if statement like 'select %' then
            execute statement into v_rows;
        else
            execute statement;
            get diagnostics v_count = row_count;
        end if;
        perform pg_temp.verify_unbecome();
        select coalesce(jsonb_agg(to_jsonb(c)), '[]') into v_changes
        from pg_temp.verify_changes(v_before, pg_temp.verify_counters()) as c;
        v_outcome := nullif(
            concat_ws(
                ', ',
                'sees ' || nullif(pg_temp.verify_seen(v_rows), ''),
                nullif(pg_temp.verify_effects(relation, v_changes), '')
            ),
            ''
        );
        v_weight := case when v_outcome is null then 0 else 2 end;
        v_outcome := coalesce(
            v_outcome,
            case when v_count is null and v_rows is not null then 'done' else 'nothing' end
        );
        if v_is_outsider then
            v_breach := coalesce(
                pg_temp.verify_leak(actor, v_rows), pg_temp.verify_damage(actor, v_changes)
            );
        end if;
        raise exception using errcode = 'VR000', message = 'undo';
    exception
        when sqlstate 'VR000' then
            null;
        when query_canceled then
            raise;
        when others then
            get stacked diagnostics
                v_state = returned_sqlstate,
                v_message = message_text,
                v_detail = pg_exception_detail,
                v_constraint = constraint_name;
            v_outcome := pg_temp.verify_refusal(v_state, v_message, v_detail, v_constraint);
            v_weight := case when v_state like '23%' then 1 else 0 end;
    end;
    insert into pg_temp.verify_results (target, actor, outcome, breach, statement, weight)
    values (verify_try.target, actor, v_outcome, v_breach, statement, v_weight);
end;
$$;

-- Attacks --------------------------------------------------------------------------------------

-- Columns of a relation that a role has a privilege on; all of them when it has it on none, so
-- that the attempt is made and refused.
create function pg_temp.verify_columns(relation oid, role text, privilege text)
returns text []
language sql
stable
as $$
    select coalesce(
        array_agg(a.attname::text order by a.attnum)
        filter (where has_column_privilege(role, relation, a.attnum, privilege)),
        array_agg(a.attname::text order by a.attnum)
    )
    from pg_attribute as a
    where
        a.attrelid = relation
        and a.attnum > 0
        and not a.attisdropped
        and (a.attgenerated = '' or privilege = 'select');
$$;

-- The condition for rows of this play, with the ids written out.
create function pg_temp.verify_filter(filter text)
returns text
language sql
as $$
    select coalesce(
        replace(
            filter,
            '$1',
            quote_literal(array(select k.value from pg_temp.verify_known as k order by k.name))
            || '::uuid []'
        ),
        'true'
    );
$$;

-- Everybody reads everything.
create function pg_temp.verify_reads(pattern text)
returns void
language plpgsql
as $$
declare
    v_attempt record;
begin
    for v_attempt in
        select
            r.name,
            p.name as actor,
            format(
                'select coalesce(jsonb_agg(to_jsonb(s)), ''[]'') from (select %s from %s where %s) as s',
                (
                    select string_agg(quote_ident(c.name), ', ')
                    from unnest(pg_temp.verify_columns(r.oid, p.role, 'select')) as c (name)
                ),
                r.oid::regclass,
                -- The service role may see everything: here only what is of this play.
                case when p.name = 'service' then pg_temp.verify_filter(r.filter) else 'true' end
            ) as statement
        from pg_temp.verify_relations as r
        cross join pg_temp.verify_people as p
        where
            r.name ~ pattern
            and (r.name like 'chat.%' or p.name in ('member', 'anon', 'service'))
        order by r.name, p.position
    loop
        perform pg_temp.verify_try(
            v_attempt.name || ' select', v_attempt.actor, v_attempt.statement
        );
    end loop;
end;
$$;

-- A value that does harm: somebody else's, another conversation's, a higher role, an earlier time.
create function pg_temp.verify_harmful(relation oid, column_name text, actor text)
returns text
language sql
stable
as $$
    select case
        when column_name = 'conversation_id'
            then quote_literal(pg_temp.verify_known_id('abroad'))
        when column_name = 'tenant_id' then quote_literal(pg_temp.verify_id('other tenant'))
        when a.atttypid = 'uuid'::regtype and pg_temp.verify_is_person(relation, column_name)
            then quote_literal(pg_temp.verify_id(case actor when 'owner' then 'admin' else 'owner' end))
        when a.atttypid = 'uuid'::regtype
            then quote_literal(pg_temp.verify_id('new ' || column_name))
        when a.atttypid in (select e.enumtypid from pg_enum as e) then (
            select quote_literal(e.enumlabel)
            from pg_enum as e
            where e.enumtypid = a.atttypid
            order by e.enumsortorder
            limit 1
        )
        when a.atttypid = 'boolean'::regtype then format('not %I', column_name)
        when a.atttypid in ('timestamptz'::regtype, 'timestamp'::regtype)
            then '(chat_private.now() - interval ''1 year'')'
        when a.atttypid in ('bigint'::regtype, 'integer'::regtype, 'smallint'::regtype)
            then format('%I + 1', column_name)
        when a.atttypid = 'text'::regtype then '''owner'''
        else 'default'
    end
    from pg_attribute as a
    where a.attrelid = relation and a.attname = column_name;
$$;

-- Everybody changes every column of the rows here, to what it is and to something harmful. Where a
-- role has no privilege one of its people tries.
create function pg_temp.verify_updates(pattern text)
returns void
language plpgsql
as $$
declare
    v_attempt record;
begin
    for v_attempt in
        select
            r.name,
            r.oid,
            a.attname as column_name,
            p.name as actor,
            pg_temp.verify_filter(r.filter) as filter,
            has_column_privilege(p.role, r.oid, a.attnum, 'update') as may
        from pg_temp.verify_relations as r
        inner join pg_attribute as a
            on r.oid = a.attrelid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
        cross join pg_temp.verify_people as p
        where
            r.name ~ pattern
            and r.name like 'chat.%'
            and r.is_table
            and (
                p.name in ('member', 'anon', 'service')
                or has_column_privilege(p.role, r.oid, a.attnum, 'update')
            )
        order by r.name, a.attnum, p.position
    loop
        perform pg_temp.verify_try(
            format('%s update %s', v_attempt.name, v_attempt.column_name),
            v_attempt.actor,
            format(
                'update %s set %I = %I where %s',
                v_attempt.oid::regclass,
                v_attempt.column_name,
                v_attempt.column_name,
                v_attempt.filter
            ),
            v_attempt.name
        );
        if v_attempt.may then
            perform pg_temp.verify_try(
                format('%s update %s harmfully', v_attempt.name, v_attempt.column_name),
                v_attempt.actor,
                format(
                    'update %s set %I = %s where %s',
                    v_attempt.oid::regclass,
                    v_attempt.column_name,
                    pg_temp.verify_harmful(v_attempt.oid, v_attempt.column_name, v_attempt.actor),
                    v_attempt.filter
                ),
                v_attempt.name
            );
        end if;
    end loop;
end;
$$;

create function pg_temp.verify_deletes(pattern text)
returns void
language plpgsql
as $$
declare
    v_attempt record;
begin
    for v_attempt in
        select
            r.name,
            p.name as actor,
            format(
                'delete from %s where %s',
                r.oid::regclass,
                pg_temp.verify_filter(r.filter)
            ) as statement
        from pg_temp.verify_relations as r
        cross join pg_temp.verify_people as p
        where
            r.name ~ pattern
            and r.name like 'chat.%'
            and r.is_table
            and (
                p.name in ('member', 'anon', 'service')
                or has_table_privilege(p.role, r.oid, 'delete')
            )
        order by r.name, p.position
    loop
        perform pg_temp.verify_try(
            v_attempt.name || ' delete', v_attempt.actor, v_attempt.statement, v_attempt.name
        );
    end loop;
    -- Not tried: where it is allowed it locks everybody out.
    insert into pg_temp.verify_results (target, actor, outcome, breach, statement, weight)
    select
        r.name || ' truncate',
        p.name,
        'may',
        case when p.name <> 'service' then 'may empty ' || r.name end,
        format('truncate %s', r.oid::regclass),
        2
    from pg_temp.verify_relations as r
    inner join pg_temp.verify_people as p on p.name in ('member', 'anon', 'service')
    where r.name ~ pattern and r.is_table and has_table_privilege(p.role, r.oid, 'truncate');
end;
$$;

-- Everybody adds rows like those that are here: the same, as theirs, as somebody else's, with and
-- without the columns they have no right to.
create function pg_temp.verify_inserts(pattern text)
returns void
language plpgsql
as $$
declare
    v_attempt record;
begin
    for v_attempt in
        select
            t.name,
            t.oid,
            p.name as actor,
            c.scope,
            v.variant,
            format(
                'insert into %s (%s) select %s from jsonb_populate_record(null::%s, %L) as s',
                t.oid::regclass,
                k.columns,
                k.columns,
                t.oid::regclass,
                (
                    select jsonb_object_agg(
                        e.key,
                        case
                            when e.key = 'id' and v.variant <> 'again'
                                then to_jsonb(pg_temp.verify_id('inserted'))
                            when v.variant = 'as theirs'
                                and pg_temp.verify_is_person(t.oid, e.key)
                                and e.value <> 'null'
                                then to_jsonb(p.id)
                            else e.value
                        end
                    )
                    from jsonb_each(t.body) as e
                )
            ) as statement
        from (
            select distinct on (r.name, w.is_members)
                r.name,
                r.oid,
                w.body
            from pg_temp.verify_relations as r
            inner join (
                select w.*, w.label ~ '\ymember\y' as is_members from pg_temp.verify_world as w
            ) as w on r.name = w.relation and w.is_victims
            where r.name ~ pattern and r.name like 'chat.%' and r.is_table
            order by r.name, w.is_members, w.label
        ) as t
        cross join pg_temp.verify_people as p
        cross join (values ('all columns'), ('granted columns')) as c (scope)
        cross join (values ('again'), ('another'), ('as theirs')) as v (variant)
        cross join
            lateral (
                select string_agg(quote_ident(n.name), ', ') as columns
                from unnest(
                    pg_temp.verify_columns(
                        t.oid, case c.scope when 'all columns' then 'postgres' else p.role end, 'insert'
                    )
                ) as n (name)
            ) as k
        where
            case
                when c.scope = 'all columns' or not has_any_column_privilege(p.role, t.oid, 'insert')
                    then
                        v.variant = 'again'
                        and c.scope = 'all columns'
                        and p.name in ('member', 'anon', 'service')
                else true
            end
        order by t.name, p.position
    loop
        perform pg_temp.verify_try(
            format('%s insert %s, %s', v_attempt.name, v_attempt.variant, v_attempt.scope),
            v_attempt.actor,
            v_attempt.statement,
            v_attempt.name
        );
    end loop;
    -- Each column for itself: which ones a role may set.
    for v_attempt in
        select
            r.name,
            p.name as actor,
            a.attname as column_name,
            format('insert into %s (%I) values (default)', r.oid::regclass, a.attname) as statement
        from pg_temp.verify_relations as r
        inner join pg_attribute as a
            on r.oid = a.attrelid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
        inner join pg_temp.verify_people as p on p.name in ('stranger', 'anon')
        where r.name ~ pattern and r.name like 'chat.%' and r.is_table
        order by r.name, a.attnum
    loop
        perform pg_temp.verify_try(
            format('%s insert %s alone', v_attempt.name, v_attempt.column_name),
            v_attempt.actor,
            v_attempt.statement,
            v_attempt.name
        );
    end loop;
end;
$$;

-- An argument for a function, by name and type, aimed at a place; null: leave it out.
create function pg_temp.verify_argument(
    name text,
    type_name text,
    place pg_temp.verify_places,
    actor text
)
returns text
language plpgsql
as $$
declare
    v_actor_id constant uuid := pg_temp.verify_person(actor);
    v_id uuid;
begin
    if type_name = 'uuid' and name ~ '_id$' and name !~ '(user|conversation|tenant|message)_id$' then
        -- Of a row that the owner has: report_id is an id of chat.reports.
        select (w.body ->> 'id')::uuid into v_id
        from pg_temp.verify_world as w
        where
            w.relation in (
                'chat.' || replace(name, '_id', 's'), 'chat.' || replace(name, '_id', '')
            )
            and w.body ? 'id'
        order by w.label
        limit 1;
    end if;
    return case
        when type_name = 'uuid' then quote_literal(
            case
                when v_id is not null then v_id
                when name ~ 'conversation_id$' then place.conversation_id
                when name ~ 'tenant_id$' then pg_temp.verify_id('tenant')
                when name ~ 'message_id$' then pg_temp.verify_id('message normal')
                when name ~ 'user|contact|block|member|sender|_by$' then pg_temp.verify_id(
                    case actor when 'owner' then 'member' else 'owner' end
                )
                else pg_temp.verify_id('argument ' || name)
            end
        )
        when type_name = 'uuid[]' then quote_literal(
            array_remove(array[v_actor_id, pg_temp.verify_id('stranger')], null)
        )
        when name ~ '(^|_)seq$' then coalesce(place.seq, 1)::text
        when name ~ 'seqs$' then quote_literal(array[coalesce(place.seq, 1)])
        when type_name ~ '^(bigint|integer|smallint)$' then
            case when name ~ 'limit|count|size' then '100' when name ~ 'rev' then '0' else '1' end
        when type_name ~ '^(bigint|integer|smallint)\[\]$' then '''{1}'''
        when type_name = 'boolean' then 'true'
        when type_name ~ '^timestamp' then '(chat_private.now() + interval ''1 hour'')'
        when type_name = 'interval' then '''1 hour'''
        when type_name = 'jsonb' and name ~ 'participants|people|users' then quote_literal(
            jsonb_build_array(
                jsonb_build_object('user_id', v_actor_id),
                jsonb_build_object('user_id', pg_temp.verify_id('member'))
            )
        )
        when type_name = 'jsonb' and name ~ 'attachments' then quote_literal(
            jsonb_build_array(
                jsonb_build_object(
                    'path',
                    format(
                        '%s/%s/%s/verify.png',
                        pg_temp.verify_id('tenant'),
                        pg_temp.verify_id('group'),
                        pg_temp.verify_id('upload of admin')
                    )
                )
            )
        )
        when type_name = 'jsonb' then '''{}'''
        when to_regtype(type_name)::oid in (select e.enumtypid from pg_enum as e) then (
            select quote_literal(e.enumlabel)
            from pg_enum as e
            where e.enumtypid = to_regtype(type_name)
            order by e.enumsortorder
            limit 1
        )
        when type_name = 'text' then quote_literal(
            case
                when name = 'role' then 'owner'
                when name = 'kind' then 'text'
                when name = 'status' then 'closed'
                when name ~ 'emoji' then '👍'
                when name ~ 'username' then 'parley_verify_owner'
                when name ~ 'query|search|terms' then 'verify'
                when name ~ 'subject_type' then 'verify'
                when name ~ 'subject_id' then '1'
                when name ~ 'reason|category' then 'spam'
                when name ~ 'platform' then 'ios'
                else 'verify'
            end
        )
        when type_name = 'text[]' then '''{verify}'''
        else 'null'
    end;
end;
$$;

-- Everybody calls every exposed function at every place, with what it must be given and with all
-- it can be given.
create function pg_temp.verify_calls(pattern text)
returns void
language plpgsql
as $$
declare
    v_attempt record;
begin
    for v_attempt in
        with functions as (
            select
                p.oid,
                p.proname::text as name,
                p.pronargs as arguments,
                p.pronargs - p.pronargdefaults as required,
                coalesce(p.proargnames, '{}') as names,
                p.proargtypes::oid [] as types,
                case
                    when array_to_string(p.proargnames [1:p.pronargs], ' ') ~ '(^| |_)seqs?( |$)' then 2
                    when 'conversation_id' = any (p.proargnames [1:p.pronargs]) then 1
                    else 0
                end as aim
            from pg_proc as p
            where
                p.pronamespace = 'chat'::regnamespace
                and p.prokind = 'f'
                and p.prorettype <> 'trigger'::regtype
                and p.proname ~ pattern
        ),

        forms as (
            select f.*, 'briefly' as form, f.required as given
            from functions as f
            union all
            select f.*, 'fully' as form, f.arguments as given
            from functions as f
            where f.arguments > f.required
        )

        select
            f.name || ' ' || f.form || case f.aim when 0 then '' else ' at ' || l.name end as target,
            a.name as actor,
            format(
                'select coalesce(jsonb_agg(to_jsonb(s)), ''[]'') from chat.%I(%s) as s',
                f.name,
                (
                    select string_agg(
                        format(
                            '%I => %s',
                            f.names[i],
                            pg_temp.verify_argument(
                                f.names[i], format_type(f.types[i - 1], null), l, a.name
                            )
                        ),
                        ', ' order by i
                    )
                    from generate_series(1, f.given) as i
                )
            ) as statement
        from forms as f
        cross join pg_temp.verify_people as a
        inner join pg_temp.verify_places as l
            on
                l.name = 'group normal'
                or (f.aim = 2 and f.form = 'briefly')
                or (
                    f.aim = 1
                    and f.form = 'briefly'
                    and l.name in ('direct', 'shunned', 'subject', 'abroad')
                )
        -- What the service role does to a whole project when it names nothing takes its time.
        where a.name <> 'service' or f.given > 0
        order by f.name, f.form, l.name, a.position
    loop
        perform pg_temp.verify_try(v_attempt.target, v_attempt.actor, v_attempt.statement);
    end loop;
end;
$$;

-- What is private is not called directly.
create function pg_temp.verify_private_calls(pattern text)
returns void
language plpgsql
as $$
declare
    v_attempt record;
begin
    for v_attempt in
        select
            p.proname || ' directly' as target,
            a.name as actor,
            format(
                'select to_jsonb(chat_private.%I(%s))',
                p.proname,
                (
                    select string_agg('null::' || format_type(t.oid, null), ', ' order by t.position)
                    from unnest(p.proargtypes::oid []) with ordinality as t (oid, position)
                )
            ) as statement
        from pg_proc as p
        cross join (values ('stranger'), ('anon')) as a (name)
        where
            p.pronamespace = 'chat_private'::regnamespace
            and p.prokind = 'f'
            and p.prorettype <> 'trigger'::regtype
            and p.proname ~ pattern
    loop
        perform pg_temp.verify_try(v_attempt.target, v_attempt.actor, v_attempt.statement);
    end loop;
end;
$$;

-- Everybody listens and speaks on every topic, as Realtime would ask for them: a row of the topic
-- is there, and is seen or not.
create function pg_temp.verify_realtime()
returns void
language plpgsql
as $$
declare
    v_attempt record;
begin
    for v_attempt in
        select t.name, t.topic, x.extension, p.name as actor, p.is_outsider
        from (
            select
                k.name || e.suffix as name,
                'conversation:' || c.id || ':' || (c.epoch + e.step) || e.ending as topic
            from chat.conversations as c
            inner join pg_temp.verify_known as k on c.id::text = k.value
            cross join (
                values
                ('', 0, ''),
                (' typing', 0, ':typing'),
                (' before', -1, ''),
                (' after', 1, '')
            ) as e (suffix, step, ending)
            union all
            select 'inbox of ' || p.name, 'user:' || p.id
            from pg_temp.verify_people as p
            where p.name in ('owner', 'stranger')
            union all
            values ('of nothing', 'conversation:'), ('inbox of nobody', 'user:')
        ) as t (name, topic)
        cross join (values ('broadcast'), ('presence')) as x (extension)
        cross join pg_temp.verify_people as p
        where x.extension = 'broadcast' or t.name in ('group', 'group typing', 'inbox of owner')
        order by t.name, x.extension, p.position
    loop
        insert into realtime.messages (topic, extension, event, payload, private)
        values (v_attempt.topic, v_attempt.extension, 'verify', '{}', true);
        perform set_config('realtime.topic', v_attempt.topic, true);
        perform pg_temp.verify_try(
            format('%s on %s, hear', v_attempt.extension, v_attempt.name),
            v_attempt.actor,
            format(
                'select jsonb_agg(''verify.secret.heard''::text) from realtime.messages as m'
                ' where m.topic = %L and m.event = ''verify''',
                v_attempt.topic
            )
        );
        perform pg_temp.verify_try(
            format('%s on %s, send', v_attempt.extension, v_attempt.name),
            v_attempt.actor,
            format(
                'insert into realtime.messages (topic, extension, event, payload, private)'
                ' values (%L, %L, ''verify sent'', ''{}'', true)',
                v_attempt.topic,
                v_attempt.extension
            )
        );
        delete from realtime.messages as m
        where m.topic = v_attempt.topic and m.event = 'verify';
    end loop;
    perform set_config('realtime.topic', '', true);
    -- An insert counts in no table of ours: it is enough that it was let through.
    update pg_temp.verify_results as r
    set
        outcome = 'sent',
        weight = 2,
        breach = case
            when r.actor in (select p.name from pg_temp.verify_people as p where p.is_outsider)
                and r.target ~ ' on (group|direct|shunned|subject|inbox of owner)'
                then 'spoke on a topic of the conversations here'
        end
    where r.target ~ ' on .*, send$' and r.outcome = 'nothing';
    update pg_temp.verify_results as r
    set breach = null
    where r.target ~ ' on (inbox of stranger|abroad)' and r.actor in ('stranger', 'other', 'elsewhere');
end;
$$;

-- Everybody reads, replaces, removes and uploads files.
create function pg_temp.verify_storage()
returns void
language plpgsql
as $$
declare
    v_attempt record;
begin
    for v_attempt in
        select
            s.verb,
            u.name as upload,
            p.name as actor,
            format(s.statement, o.path, p.id) as statement
        from pg_temp.verify_people as p
        cross join (values ('owner'), ('member'), ('admin'), ('new'), ('misplaced')) as u (name)
        cross join
            lateral (
                select format(
                    '%s/%s/%s/verify.png',
                    pg_temp.verify_id('tenant'),
                    pg_temp.verify_id(case u.name when 'misplaced' then 'elsewhere' else 'group' end),
                    pg_temp.verify_id('upload of ' || u.name)
                )
            ) as o (path)
        cross join (
            values
            (
                'select',
                'select jsonb_agg(jsonb_build_object(''id'', %2$L, ''is'', ''verify.secret.file''))'
                ' from storage.objects where name = %1$L'
            ),
            ('update', 'update storage.objects set metadata = ''{}'' where name = %1$L'),
            ('delete', 'delete from storage.objects where name = %1$L'),
            (
                'insert',
                'insert into storage.objects (bucket_id, name, owner_id, metadata) values'
                ' (''chat-attachments'', %1$L, %2$L, ''{"size": 1, "mimetype": "image/png"}'')'
            ),
            (
                'forged insert',
                'insert into storage.objects (bucket_id, name, owner_id, metadata) values'
                ' (''chat-attachments'', %1$L, null, ''{"size": 1, "mimetype": "image/png"}'')'
            ),
            (
                'oversized insert',
                'insert into storage.objects (bucket_id, name, owner_id, metadata) values'
                ' (''chat-attachments'', %1$L, %2$L,'
                ' ''{"size": 1000000000000, "mimetype": "image/png"}'')'
            )
        ) as s (verb, statement)
        where (u.name in ('new', 'misplaced')) = (s.verb like '%insert')
        order by s.verb, u.name, p.position
    loop
        perform set_config('storage.allow_delete_query', 'true', true);
        perform pg_temp.verify_try(
            format('storage.objects %s %s', v_attempt.verb, v_attempt.upload),
            v_attempt.actor,
            v_attempt.statement,
            'storage.objects'
        );
    end loop;
end;
$$;

create function pg_temp.verify_all()
returns void
language plpgsql
as $$
begin
    perform
        pg_temp.verify_reads(''),
        pg_temp.verify_inserts(''),
        pg_temp.verify_updates(''),
        pg_temp.verify_deletes(''),
        pg_temp.verify_calls(''),
        pg_temp.verify_private_calls(''),
        pg_temp.verify_realtime();
    if to_regclass('storage.objects') is not null then
        perform pg_temp.verify_storage();
    end if;
end;
$$;
