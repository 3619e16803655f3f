-- Purpose: tells who reported something that it has been looked at.
-- Objects: trigger on chat.reports.
-- Locks:   share row exclusive on chat.reports, for as long as it takes to add a trigger.
-- Breaking: no.

set lock_timeout = '5s';

-- Functions ------------------------------------------------------------------------------------

-- Which is closed, and no more: how, the report says to whom may read it.
-- Security definer: a moderator has no rights on the notifications of others.
create function chat_private.notify_of_closed_report()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_notification chat.notifications;
begin
    if chat_private.wants_notification(new.reporter_id, 'report_closed', null) then
        insert into chat.notifications as n (user_id, type, metadata)
        values (new.reporter_id, 'report_closed', jsonb_build_object('report_id', new.id))
        returning n.* into v_notification;
        perform chat_private.announce_notifications(array[v_notification]);
    end if;
    return null;
end;
$$;
revoke execute on function chat_private.notify_of_closed_report()
from public, anon, authenticated;

-- Triggers -------------------------------------------------------------------------------------

create trigger reports_notify_of_closed_report
after update of state on chat.reports
for each row
when (old.state = 'open' and new.state <> 'open' and new.reporter_id is not null)
execute function chat_private.notify_of_closed_report();
