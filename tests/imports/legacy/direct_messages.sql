-- Document 003: one table, a pair of users a message.
-- legacy.messages says how many; legacy.dirt whether what is wrong in real data is planted.

create table users (
    id integer primary key,
    email varchar(255),
    username varchar(100)
);
create table direct_messages (
    id integer primary key,
    sender_id integer not null,
    recipient_id integer not null,
    content text,
    type varchar(50) default 'text',
    is_read boolean default false,
    is_deleted boolean default false,
    is_deleted_by_sender boolean default false,
    is_deleted_by_recipient boolean default false,
    reply_to_id integer,
    file_url varchar(500),
    file_name varchar(255),
    file_size integer,
    file_type varchar(100),
    created_at timestamp default now(),
    updated_at timestamp default now(),
    read_at timestamp,
    deleted_at timestamp
);

insert into users (id, email, username)
select g, 'person' || g || '@example.com', 'person' || g
from generate_series(1, current_setting('legacy.people')::integer) as g;

-- Every pair that talks is of neighbours; messages of all pairs are mixed in time.
insert into direct_messages (
    id, sender_id, recipient_id, content, is_read, is_deleted, is_deleted_by_sender,
    is_deleted_by_recipient, reply_to_id, file_url, file_name, file_size, file_type, created_at,
    updated_at, read_at, deleted_at
)
select
    g,
    case when g % 3 = 0 then b else a end,
    case when g % 3 = 0 then a else b end,
    'message ' || g || ' says something that is worth keeping, in words ' || md5(g::text),
    g % 5 <> 0,
    g % 97 = 0,
    g % 89 = 0,
    g % 83 = 0,
    case when g % 11 = 0 and g > 2 * p.pairs then g - p.pairs end,
    case when g % 101 = 0 then '/uploads/' || g || '.png' end,
    case when g % 101 = 0 then 'picture ' || g || '.png' end,
    case when g % 101 = 0 then 67 end,
    case when g % 101 = 0 then 'image/png' end,
    at,
    case when g % 13 = 0 then at + interval '2 hours' else at end,
    case when g % 5 <> 0 then at + interval '1 minute' end,
    case when g % 97 = 0 then at + interval '1 hour' end
from generate_series(1, current_setting('legacy.messages')::integer) as g
cross join (select current_setting('legacy.people')::integer - 1 as pairs) as p
cross join lateral (
    select
        1 + g % p.pairs as a,
        2 + g % p.pairs as b,
        timestamp '2026-11-01 08:00' + g * interval '1 second' as at
) as o;

do $$
begin
    if not current_setting('legacy.dirt')::boolean then
        return;
    end if;
    -- People who are nowhere; one who has no address; one who wrote to themselves.
    delete from users where id = 3;
    update users set email = null where id = 5;
    update direct_messages set recipient_id = sender_id where id in (7, 8);
    update direct_messages set content = repeat('long ', 4500) where id = 20;
    update direct_messages set content = '   ' where id = 21;
    update direct_messages set content = null where id = 22;
    update direct_messages set type = 'sticker' where id in (23, 24);
    update direct_messages set created_at = null where id = 25;
    update direct_messages set created_at = 'infinity' where id = 26;
    update direct_messages set reply_to_id = 999999999 where id = 27;
    update direct_messages set sender_id = 77777 where id = 28;
    update direct_messages set file_url = 'https://files.example.com/a.exe', file_name = 'a.exe',
        file_type = 'application/x-msdownload', content = 'see this' where id = 29;
    update direct_messages set created_at = '1999-12-31 23:59:59' where id = 30;
end;
$$;
