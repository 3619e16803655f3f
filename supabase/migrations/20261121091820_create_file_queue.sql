-- Purpose: the files of purged messages, for the worker that removes them from Storage.
-- Objects: functions chat.list_purged_files, chat.forget_purged_files.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

-- Functions ------------------------------------------------------------------------------------

-- Security definer: for the service role, to which the queue is closed.
create function chat_private.list_purged_files(max_count integer)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    return (
        select coalesce(jsonb_agg(f.path), '[]')
        from (
            select o.path
            from chat_private.orphaned_objects as o
            where not o.is_restorable
            order by o.queued_at
            limit least(list_purged_files.max_count, 1000)
        ) as f
    );
end;
$$;
revoke execute on function chat_private.list_purged_files(integer)
from public, anon, authenticated;
grant execute on function chat_private.list_purged_files(integer) to service_role;

create function chat.list_purged_files(max_count integer default 100)
returns jsonb
language sql
stable
set search_path = ''
begin atomic
select chat_private.list_purged_files(max_count);
end;
comment on function chat.list_purged_files(integer) is
    'Files in bucket chat-attachments that belong to no message any more, oldest first: remove them '
    'through the Storage API, then call forget_purged_files. For the service role.';
revoke execute on function chat.list_purged_files(integer) from public, anon, authenticated;
grant execute on function chat.list_purged_files(integer) to service_role;

-- Security definer: as above. Believes nobody: what Storage still has stays in the queue, moved to
-- its end, so that one file which cannot be removed does not keep back the others.
create function chat_private.forget_purged_files(paths text [])
returns bigint
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_number bigint;
begin
    delete from chat_private.orphaned_objects as o
    where
        o.path = any (forget_purged_files.paths)
        and not o.is_restorable
        and not exists (
            select
            from storage.objects as s
            where s.bucket_id = 'chat-attachments' and s.name = o.path
        );
    get diagnostics v_number = row_count;
    update chat_private.orphaned_objects as o
    set queued_at = chat_private.now()
    where o.path = any (forget_purged_files.paths) and not o.is_restorable;
    return v_number;
end;
$$;
revoke execute on function chat_private.forget_purged_files(text [])
from public, anon, authenticated;
grant execute on function chat_private.forget_purged_files(text []) to service_role;

create function chat.forget_purged_files(paths text [])
returns bigint
language sql
set search_path = ''
begin atomic
select chat_private.forget_purged_files(paths);
end;
comment on function chat.forget_purged_files(text []) is
    'Takes from the queue the files that Storage no longer has, and returns how many. For the service '
    'role.';
revoke execute on function chat.forget_purged_files(text []) from public, anon, authenticated;
grant execute on function chat.forget_purged_files(text []) to service_role;
