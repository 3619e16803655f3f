-- Purpose: everything of a person, by the manifest, in pages that a worker writes to files.
-- Objects: view chat_private.export_sources; functions chat.read_export, chat.save_export_part.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

-- Views ----------------------------------------------------------------------------------------

-- From the manifest and the catalogue: where rows are that are somebody's ($1), and how to read a page
-- of them: in one conversation ($2), after a key ($3), so many ($4).
create view chat_private.export_sources
with (security_invoker = true)
as
with declared as (
    select
        d.table_name as name,
        d.table_name::regclass as oid,
        bool_or(d.names_person) as names_person,
        string_agg(format('t.%I = $1', d.column_name), ' or ')
            filter (where d.names_person and d.withheld is null) as is_theirs,
        coalesce(
            array_agg(d.column_name) filter (where d.withheld is not null and not d.names_person), '{}'
        ) as withheld
    from chat_private.personal_data as d
    group by d.table_name
),

columns as (
    select
        d.oid,
        bool_or(a.attname = 'conversation_id' and a.attnotnull) as has_conversation,
        bool_or(a.attname = 'message_seq') as has_message
    from declared as d
    inner join pg_attribute as a on d.oid = a.attrelid
    where a.attnum > 0 and not a.attisdropped
    group by d.oid
),

keys as (
    select
        i.indrelid as oid,
        string_agg(format('t.%I', a.attname), ', ' order by k.position) as columns,
        string_agg(format('t.%I::text', a.attname), ', ' order by k.position) as texts,
        string_agg(
            format('($3)[%s]::%s', k.position, format_type(a.atttypid, a.atttypmod)), ', '
            order by k.position
        ) as places
    from pg_index as i
    inner join columns as c on i.indrelid = c.oid
    cross join lateral (
        select
            u.attnum,
            row_number() over (order by u.ordinality) as position
        from unnest(i.indkey) with ordinality as u (attnum)
        inner join pg_attribute as n on i.indrelid = n.attrelid and u.attnum = n.attnum
        where not (c.has_conversation and n.attname = 'conversation_id')
    ) as k
    inner join pg_attribute as a on i.indrelid = a.attrelid and k.attnum = a.attnum
    where i.indisprimary
    group by i.indrelid
)

select
    d.name,
    c.has_conversation,
    concat(
        format('select to_jsonb(t) - %L::text [], ', d.withheld),
        -- Without a key there are few, and they come at once: drafts.
        coalesce('array[' || k.texts || ']', 'null::text []'),
        format(' from %s as t where true', d.name),
        case when c.has_conversation then ' and t.conversation_id = $2' end,
        ' and (' || d.is_theirs || ')',
        case
            when d.oid = 'chat.messages'::regclass
                then
                    ' and t.deleted_at is null'
                    ' and (t.expires_at is null or t.expires_at > chat_private.now())'
            -- Read until the message expires, as everywhere; without a person, whose it is.
            when c.has_conversation and c.has_message
                then
                    ' and exists (select from chat.messages as m'
                    ' where m.conversation_id = t.conversation_id and m.seq = t.message_seq'
                    ' and m.deleted_at is null'
                    ' and (m.expires_at is null or m.expires_at > chat_private.now())'
                    || case when d.is_theirs is null then ' and m.sender_id = $1' else '' end
                    || ')'
        end,
        ' and ($3 is null or (' || k.columns || ') > (' || k.places || '))'
        || ' order by ' || k.columns || ' limit $4'
    ) as query
from declared as d
inner join columns as c on d.oid = c.oid
left join keys as k on d.oid = k.oid
where
    d.is_theirs is not null
    or (
        not d.names_person
        and exists (
            select
            from pg_constraint as f
            where f.conrelid = d.oid and f.confrelid = 'chat.messages'::regclass
        )
    )
union all
-- Files that they uploaded, but for those of messages that nobody reads any more.
select
    'storage.objects',
    true,
    'select jsonb_build_object(''name'', o.name, ''created_at'', o.created_at, ''size'','
    ' o.metadata -> ''size'', ''mimetype'', o.metadata -> ''mimetype''), array[o.name]'
    ' from chat.conversations as c inner join storage.objects as o'
    ' on o.name collate "C" > c.tenant_id || ''/'' || c.id || ''/'''
    -- The character after the slash.
    ' and o.name collate "C" < c.tenant_id || ''/'' || c.id || ''0'''
    ' where c.id = $2 and o.bucket_id = ''chat-attachments'' and o.owner_id = $1::text'
    ' and not exists (select from chat.attachments as a inner join chat.messages as m'
    ' on a.conversation_id = m.conversation_id and a.message_seq = m.seq where a.path = o.name'
    ' and (m.deleted_at is not null or m.expires_at <= chat_private.now()))'
    ' and not exists (select from chat_private.orphaned_objects as g where g.path = o.name)'
    ' and ($3 is null or o.name collate "C" > ($3)[1])'
    ' order by o.name collate "C" limit $4'
union all
-- How they sign in, which Auth keeps; without its secrets.
select
    'auth.users',
    false,
    'select jsonb_build_object(''id'', u.id, ''email'', u.email, ''phone'', u.phone,'
    ' ''user_metadata'', u.raw_user_meta_data, ''created_at'', u.created_at,'
    ' ''last_sign_in_at'', u.last_sign_in_at), null::text [] from auth.users as u'
    ' where u.id = $1 and $2 is null and $3 is null limit $4';
comment on view chat_private.export_sources is
    'Where an export finds what is somebody''s, from the manifest.';
revoke all on chat_private.export_sources from public, anon, authenticated;

-- Functions ------------------------------------------------------------------------------------

-- The next page: rows of the person by the manifest, first those of no conversation, then conversation
-- by conversation. Null when all is written.
-- Security definer: for the service role, which may not read all of this itself.
create function chat_private.read_export(export_id uuid, max_count integer)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
    v_export chat.exports;
    v_at jsonb;
    v_conversation_id uuid;
    v_last_source text;
    v_key text [];
    v_source chat_private.export_sources;
    v_sources chat_private.export_sources [];
    v_rows jsonb [];
    v_keys jsonb;
    v_lines text [] := '{}'::text [];
    v_files jsonb := '[]'::jsonb;
begin
    select e.* into v_export
    from chat.exports as e
    where e.id = read_export.export_id and e.expires_at > chat_private.now();
    if not found then
        perform chat_private.raise_error('export_not_found');
    end if;
    if v_export.finished_at is not null then
        return null;
    end if;
    select p.cursor into v_at
    from chat_private.export_parts as p
    where p.export_id = v_export.id and p.part = v_export.part_count;
    v_conversation_id := (v_at ->> 'conversation_id')::uuid;
    v_last_source := coalesce(v_at ->> 'source', '');
    v_key := array(select k.value from jsonb_array_elements_text(v_at -> 'key') as k);
    v_sources := array(select s from chat_private.export_sources as s);
    v_at := null;

    <<pages>>
    loop
        for v_source in
            select
                s.name,
                s.has_conversation,
                s.query
            from unnest(v_sources) as s
            where
                s.has_conversation = (v_conversation_id is not null)
                and (s.name > v_last_source or (s.name = v_last_source and v_key <> '{}'))
            order by s.name
        loop
            execute format(
                'select array_agg(r.line), jsonb_agg(r.key) -> -1 from (%s) as r (line, key)',
                v_source.query
            )
            into v_rows, v_keys
            using
                v_export.user_id,
                v_conversation_id,
                nullif(v_key, '{}'),
                read_export.max_count - cardinality(v_lines);
            v_key := '{}';
            continue when v_rows is null;
            v_lines := v_lines || array(
                select jsonb_build_object('table', v_source.name, 'row', r.line)::text
                from unnest(v_rows) as r (line)
            );
            if v_source.name = 'storage.objects' then
                v_files := v_files || (
                    select jsonb_agg(r.line -> 'name') from unnest(v_rows) as r (line)
                );
            end if;
            if cardinality(v_lines) >= read_export.max_count then
                v_at := jsonb_build_object(
                    'conversation_id', v_conversation_id, 'source', v_source.name,
                    'key', coalesce(nullif(v_keys, 'null'), '[]')
                );
                exit pages;
            end if;
        end loop;
        v_last_source := '';
        select p.conversation_id into v_conversation_id
        from chat.participants as p
        where
            p.user_id = v_export.user_id
            and (v_conversation_id is null or p.conversation_id > v_conversation_id)
        order by p.conversation_id
        limit 1;
        exit when not found;
    end loop;
    return jsonb_build_object(
        'part', v_export.part_count + 1,
        -- As text: JSON's numbers are not exact everywhere.
        'text', array_to_string(v_lines, e'\n'),
        'row_count', cardinality(v_lines),
        'files', v_files,
        'cursor', v_at
    );
end;
$$;
revoke execute on function chat_private.read_export(uuid, integer) from public, anon, authenticated;
grant execute on function chat_private.read_export(uuid, integer) to service_role;

create function chat.read_export(export_id uuid, max_count integer default 500)
returns jsonb
language sql
stable
set search_path = ''
begin atomic
select chat_private.read_export(export_id, max_count);
end;
comment on function chat.read_export(uuid, integer) is
    'The next page of an export: text of row_count lines, files of bucket chat-attachments to copy, and '
    'the cursor to save with it. Null when all is written. For the service role.';
revoke execute on function chat.read_export(uuid, integer) from public, anon, authenticated;
grant execute on function chat.read_export(uuid, integer) to service_role;

-- How many parts there are then. Of two workers that wrote the next one the first counts, and what the
-- other wrote is no part.
-- Security definer: as above.
create function chat_private.save_export_part(
    export_id uuid,
    part integer,
    path text,
    row_count bigint,
    files text [],
    "cursor" jsonb
)
returns bigint
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_export chat.exports;
begin
    select e.* into v_export
    from chat.exports as e
    where e.id = save_export_part.export_id and e.expires_at > chat_private.now()
    for no key update;
    if not found then
        perform chat_private.raise_error('export_not_found');
    end if;
    if v_export.finished_at is not null or v_export.part_count + 1 <> save_export_part.part then
        return v_export.part_count;
    end if;
    insert into chat_private.export_parts (export_id, part, path, files, cursor)
    values (
        v_export.id,
        save_export_part.part,
        save_export_part.path,
        save_export_part.files,
        save_export_part."cursor"
    );
    update chat.exports as e
    set
        part_count = save_export_part.part,
        row_count = e.row_count + save_export_part.row_count,
        file_count = e.file_count + cardinality(save_export_part.files),
        finished_at = case when save_export_part."cursor" is null then chat_private.now() end
    where e.id = v_export.id;
    return save_export_part.part;
end;
$$;
revoke execute on function chat_private.save_export_part(uuid, integer, text, bigint, text [], jsonb)
from public, anon, authenticated;
grant execute on function chat_private.save_export_part(uuid, integer, text, bigint, text [], jsonb)
to service_role;

create function chat.save_export_part(
    export_id uuid,
    part integer,
    path text,
    row_count bigint,
    files text [],
    "cursor" jsonb default null
)
returns bigint
language sql
set search_path = ''
begin atomic
select chat_private.save_export_part(export_id, part, path, row_count, files, "cursor");
end;
comment on function chat.save_export_part(uuid, integer, text, bigint, text [], jsonb) is
    'Notes that a page of an export is in Storage; without a cursor, that it was the last. Returns how '
    'many are noted; one that is noted already changes nothing. For the service role.';
revoke execute on function chat.save_export_part(uuid, integer, text, bigint, text [], jsonb)
from public, anon, authenticated;
grant execute on function chat.save_export_part(uuid, integer, text, bigint, text [], jsonb)
to service_role;
