-- Purpose: exports of persons: who may have one, what is written of it, and when it goes.
-- Objects: tables chat.exports, chat_private.export_parts; functions chat.begin_export,
--          chat.list_export_files, chat.list_unclaimed_export_files; bucket chat-exports.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

-- Tables ---------------------------------------------------------------------------------------

create table chat.exports (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references chat.profiles (id) on delete cascade,
    created_at timestamptz not null default chat_private.now(),
    expires_at timestamptz not null default chat_private.now() + interval '7 days',
    finished_at timestamptz,
    part_count integer not null default 0,
    row_count bigint not null default 0,
    file_count bigint not null default 0
);
comment on table chat.exports is
    'Exports of persons, and how far each is. Its files are in bucket chat-exports, in a folder named '
    'for its id; both go when its time is over.';
alter table chat.exports enable row level security;
revoke all on chat.exports from anon, authenticated;
grant select on chat.exports to authenticated, service_role;

-- What is written, in order. The last one's cursor is where the next begins.
create table chat_private.export_parts (
    export_id uuid not null references chat.exports (id) on delete cascade,
    part integer not null,
    path text not null,
    files text [] not null,
    cursor jsonb,
    primary key (export_id, part)
);
comment on table chat_private.export_parts is
    'What is written of an export: rows as lines of JSON at path, and files copied beside it.';
alter table chat_private.export_parts enable row level security;

-- Indexes --------------------------------------------------------------------------------------

-- Serves: one at a time; and the foreign key.
create unique index exports_unfinished_idx on chat.exports (user_id)
where finished_at is null;
create index exports_user_id_idx on chat.exports (user_id, created_at);
-- Serves: the sweep.
create index exports_expires_at_idx on chat.exports (expires_at);

-- Functions ------------------------------------------------------------------------------------

-- Security definer: writes a table that its caller may only read. Checks that the caller is the person
-- or the service role.
create function chat_private.begin_export(user_id uuid)
returns chat.exports
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := coalesce(begin_export.user_id, auth.uid());
    v_export chat.exports;
begin
    if coalesce(auth.role() <> 'service_role', true) then
        if auth.uid() is null then
            perform chat_private.raise_error('sign_in_required');
        end if;
        if v_user_id <> auth.uid() then
            perform chat_private.raise_error('export_not_allowed');
        end if;
    end if;
    if not exists (select from chat.profiles as p where p.id = v_user_id) then
        perform chat_private.raise_error('user_not_found');
    end if;
    -- Also one that was never finished.
    delete from chat.exports as e
    where e.user_id = v_user_id and e.expires_at <= chat_private.now();
    select e.* into v_export
    from chat.exports as e
    where
        e.user_id = v_user_id
        and (e.finished_at is null or e.finished_at > chat_private.now() - interval '1 day')
    order by e.created_at desc
    limit 1;
    if found then
        return v_export;
    end if;
    insert into chat.exports as e (user_id)
    values (v_user_id)
    on conflict do nothing
    returning e.* into v_export;
    if not found then
        select e.* into v_export
        from chat.exports as e
        where e.user_id = v_user_id and e.finished_at is null;
        return v_export;
    end if;
    perform chat_private.record_audit(
        m.tenant_id,
        'user_exported',
        v_user_id,
        null,
        jsonb_build_object('export_id', v_export.id)
    )
    from (
        select t.tenant_id
        from chat.tenant_members as t
        where t.user_id = v_user_id
        order by t.tenant_id
    ) as m;
    return v_export;
end;
$$;
revoke execute on function chat_private.begin_export(uuid) from public, anon;
grant execute on function chat_private.begin_export(uuid) to authenticated, service_role;

create function chat.begin_export(user_id uuid default null)
returns chat.exports
language sql
set search_path = ''
begin atomic
select chat_private.begin_export(user_id);
end;
comment on function chat.begin_export(uuid) is
    'The export of a person: the one that runs, or was finished within a day, else a new one. Anybody '
    'for themselves; the service role for anybody. functions/export-user-data writes it.';
revoke execute on function chat.begin_export(uuid) from public, anon;
grant execute on function chat.begin_export(uuid) to authenticated, service_role;

-- Security definer: for the service role, to which the parts are closed.
create function chat_private.list_export_files(export_id uuid)
returns jsonb
language sql
stable
security definer
set search_path = ''
begin atomic
select
    jsonb_build_object(
        'parts', coalesce(jsonb_agg(p.path order by p.part), '[]'),
        'files', (
            select coalesce(jsonb_agg(f.path order by o.part, f.path), '[]')
            from chat_private.export_parts as o
            cross join lateral unnest(o.files) as f (path)
            where o.export_id = list_export_files.export_id
        )
    )
from chat_private.export_parts as p
where p.export_id = list_export_files.export_id;
end;
revoke execute on function chat_private.list_export_files(uuid) from public, anon, authenticated;
grant execute on function chat_private.list_export_files(uuid) to service_role;

create function chat.list_export_files(export_id uuid)
returns jsonb
language sql
stable
set search_path = ''
begin atomic
select chat_private.list_export_files(export_id);
end;
comment on function chat.list_export_files(uuid) is
    'What an export has in bucket chat-exports: parts in order, and files. For the service role.';
revoke execute on function chat.list_export_files(uuid) from public, anon, authenticated;
grant execute on function chat.list_export_files(uuid) to service_role;

-- Security definer: as above.
create function chat_private.list_unclaimed_export_files(max_count integer)
returns jsonb
language sql
stable
security definer
set search_path = ''
begin atomic
select coalesce(jsonb_agg(f.name), '[]')
from (
    select o.name
    from storage.objects as o
    where
        o.bucket_id = 'chat-exports'
        and not exists (
            select
            from chat.exports as e
            where
                e.id::text = split_part(o.name, '/', 1)
                and e.expires_at > chat_private.now()
        )
    limit least(list_unclaimed_export_files.max_count, 1000)
) as f;
end;
revoke execute on function chat_private.list_unclaimed_export_files(integer)
from public, anon, authenticated;
grant execute on function chat_private.list_unclaimed_export_files(integer) to service_role;

create function chat.list_unclaimed_export_files(max_count integer default 100)
returns jsonb
language sql
stable
set search_path = ''
begin atomic
select chat_private.list_unclaimed_export_files(max_count);
end;
comment on function chat.list_unclaimed_export_files(integer) is
    'Files in bucket chat-exports of exports whose time is over, or whose person is gone. For the '
    'service role.';
revoke execute on function chat.list_unclaimed_export_files(integer)
from public, anon, authenticated;
grant execute on function chat.list_unclaimed_export_files(integer) to service_role;

-- Policies -------------------------------------------------------------------------------------

create policy "users can read how far their exports are"
on chat.exports for select
to authenticated
using (user_id = (select auth.uid()));

-- Rows -----------------------------------------------------------------------------------------

insert into chat_private.errors (code, state, message, hint) values
(
    'export_not_allowed', '42501',
    'You can export your own data alone.',
    'Leave user_id out; the service role exports anybody''s.'
),
(
    'export_not_found', 'PT404',
    'There is no such export, or its time is over.',
    'Begin a new one.'
);

insert into chat_private.personal_data
(table_name, column_name, action, names_person, reason, withheld)
values
('chat.exports', 'id', 'none', false, 'Of the export.', null),
('chat.exports', 'user_id', 'delete', true, null, 'It is the export.'),
('chat_private.export_parts', 'export_id', 'none', false, 'Of the export.', null),
('chat_private.export_parts', 'path', 'none', false, 'A number in the folder of the export.', null),
('chat_private.export_parts', 'files', 'delete', false, null, 'It is the export.'),
('chat_private.export_parts', 'cursor', 'none', false, 'Of conversations and keys.', null);

-- Nobody has a policy for it: files are read by signed addresses alone.
insert into storage.buckets (id, name, public)
values ('chat-exports', 'chat-exports', false)
on conflict do nothing;
