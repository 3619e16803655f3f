-- Purpose: lets ./scripts/import bring messages in with their own times, numbers and silence.
-- Objects: function chat_private.is_live.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

-- An import writes what was said long ago: numbered by it, in order of its own times, announced to
-- nobody and recorded once, not once a message. The triggers that number, announce and record have
-- this as their condition. Those that protect have not: every key, check and identity rule holds for
-- an import as well.
--
-- False where a transaction says that it is an import, and is of somebody who could disable the
-- triggers altogether: only the owner of chat.messages may insert into it. Asked of role and not of
-- current_user, which within a definer is the owner whoever calls. A function, because every
-- statement reads the condition of every trigger anew, and a call is short.
create function chat_private.is_live()
returns boolean
language plpgsql
stable
parallel safe
set search_path = ''
as $$
begin
    return current_setting('chat.importing', true) is distinct from 'on'
        or not has_table_privilege(
            coalesce(nullif(current_setting('role'), 'none'), session_user),
            'chat.messages'::regclass,
            'insert'
        );
end;
$$;
revoke execute on function chat_private.is_live() from public, anon, authenticated;
grant execute on function chat_private.is_live() to authenticated, service_role;
