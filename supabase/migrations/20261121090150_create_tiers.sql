-- Purpose: how long messages live, by the tier of who sends them.
-- Objects: table chat.tiers.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

-- Tables ---------------------------------------------------------------------------------------

create table chat.tiers (
    name text primary key,
    retention interval,
    constraint tiers_name_check check (name ~ '^[a-z][a-z0-9_]{0,49}$'),
    constraint tiers_retention_check check (retention > interval '0')
);
comment on table chat.tiers is 'What a tier of membership grants. Only the service role writes.';
comment on column chat.tiers.retention is
    'How long a message of somebody of this tier can be read after it was sent. Null: for ever.';
alter table chat.tiers enable row level security;
grant select on chat.tiers to authenticated;
grant select, insert, update, delete on chat.tiers to service_role;

-- Policies -------------------------------------------------------------------------------------

create policy "everybody signed in can read the tiers"
on chat.tiers for select
to authenticated
using (true);

insert into chat.tiers (name, retention)
values
('free', interval '30 days'),
('privileged', interval '180 days'),
('privileged_plus', interval '365 days');
