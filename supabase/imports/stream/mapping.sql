-- Each channel with its messages, members and reads, as Stream's API gives them. A user id there is
-- often the application's own: when it is a uuid, it is looked for here; else the address, which
-- applications keep in the user's custom field email.

create temporary view entries as
select
    split_part(d.file, '/', 1) as channel,
    split_part(d.file, '/', 2) as part,
    d.number,
    d.content
from parley_import.documents as d;

create temporary view channels as
select
    e.channel,
    coalesce(e.content ->> 'cid', concat_ws(':', e.content ->> 'type', e.content ->> 'id')) as cid,
    e.content
from entries as e
where e.part = 'channel';

create temporary view said as
select c.cid, e.number, e.content
from entries as e
left join channels as c on e.channel = c.channel
where e.part = 'messages';

insert into parley_import.people (external_id, user_id, email, username, display_name)
select distinct on (u.person ->> 'id')
    u.person ->> 'id',
    case
        when u.person ->> 'id' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
            then (u.person ->> 'id')::uuid
    end,
    u.person ->> 'email',
    u.person ->> 'id',
    left(coalesce(u.person ->> 'name', u.person ->> 'id'), 100)
from entries as e
cross join lateral (
    values (e.content -> 'user'), (e.content -> 'created_by')
) as u (person)
where u.person ->> 'id' is not null
order by u.person ->> 'id', (u.person ->> 'email') is null;

insert into parley_import.conversations (
    external_id, kind, title, is_closed, created_by, created_at
)
select
    c.cid,
    -- Of these members and no others.
    case when c.content ->> 'id' like '!members-%' then 'direct' else 'group' end,
    coalesce(c.content ->> 'name', c.content ->> 'id'),
    coalesce((c.content ->> 'frozen')::boolean, false)
    or coalesce((c.content ->> 'disabled')::boolean, false),
    c.content -> 'created_by' ->> 'id',
    (c.content ->> 'created_at')::timestamptz
from channels as c;

insert into parley_import.participants (
    conversation, person, role, joined_at, read_at, is_pinned, is_archived
)
select
    c.cid,
    coalesce(e.content ->> 'user_id', e.content -> 'user' ->> 'id'),
    case
        when e.content ->> 'role' = 'owner' then 'owner'
        when e.content ->> 'channel_role' = 'channel_moderator'
            or e.content ->> 'role' = 'moderator' then 'admin'
        else 'member'
    end,
    (e.content ->> 'created_at')::timestamptz,
    (r.content ->> 'last_read')::timestamptz,
    e.content ->> 'pinned_at' is not null,
    e.content ->> 'archived_at' is not null
from entries as e
left join channels as c on e.channel = c.channel
left join entries as r
    on
        r.part = 'read'
        and e.channel = r.channel
        and coalesce(e.content ->> 'user_id', e.content -> 'user' ->> 'id')
        = r.content -> 'user' ->> 'id'
where e.part = 'members';

insert into parley_import.messages (
    external_id, conversation, sender, position, created_at, kind, source_type, body, reply_to,
    thread_root, edited_at, deleted_at
)
select
    coalesce(s.content ->> 'id', 'number ' || s.number),
    coalesce(s.cid, s.content ->> 'cid', 'none'),
    coalesce(s.content -> 'user' ->> 'id', s.content ->> 'user_id'),
    s.number,
    case
        when s.content ->> 'created_at' ~ '^\d{4}-\d\d-\d\dT'
            then (s.content ->> 'created_at')::timestamptz
    end,
    case
        when s.content ->> 'type' in ('regular', 'reply', 'deleted') then 'text'
        when s.content ->> 'type' = 'system' then 'system'
    end,
    s.content ->> 'type',
    s.content ->> 'text',
    s.content ->> 'quoted_message_id',
    s.content ->> 'parent_id',
    (s.content ->> 'message_text_updated_at')::timestamptz,
    case
        when s.content ->> 'deleted_at' is not null then (s.content ->> 'deleted_at')::timestamptz
        when s.content ->> 'type' = 'deleted'
            then coalesce(s.content ->> 'updated_at', s.content ->> 'created_at')::timestamptz
    end
from said as s;

insert into parley_import.reactions (message, person, emoji, created_at)
select
    s.content ->> 'id',
    coalesce(r.reaction ->> 'user_id', r.reaction -> 'user' ->> 'id'),
    r.reaction ->> 'type',
    (r.reaction ->> 'created_at')::timestamptz
from said as s
cross join lateral jsonb_array_elements(
    coalesce(s.content -> 'reactions', s.content -> 'latest_reactions')
) as r (reaction)
where
    jsonb_typeof(coalesce(s.content -> 'reactions', s.content -> 'latest_reactions')) = 'array';

insert into parley_import.files (
    external_id, message, position, address, name, mime_type, size_bytes
)
select
    (s.content ->> 'id') || ':' || f.position,
    s.content ->> 'id',
    f.position,
    coalesce(f.file ->> 'asset_url', f.file ->> 'image_url'),
    coalesce(f.file ->> 'title', f.file ->> 'fallback'),
    f.file ->> 'mime_type',
    case
        when jsonb_typeof(f.file -> 'file_size') = 'number'
            then (f.file ->> 'file_size')::bigint
    end
from said as s
cross join lateral jsonb_array_elements(s.content -> 'attachments')
    with ordinality as f (file, position)
where
    jsonb_typeof(s.content -> 'attachments') = 'array'
    and coalesce(f.file ->> 'asset_url', f.file ->> 'image_url') is not null;

drop view said;
drop view channels;
drop view entries;
