-- users.json, channels.json, groups.json (private), dms.json, mpims.json; a folder for each
-- conversation with a file a day. A message is known by its channel and ts. An export says nothing
-- of what was read.

create temporary view rooms as
select
    d.content ->> 'id' as id,
    -- What its folder is called.
    case when d.file = 'dms.json' then d.content ->> 'id' else d.content ->> 'name' end as folder,
    d.file,
    d.content
from parley_import.documents as d
where d.file in ('channels.json', 'groups.json', 'dms.json', 'mpims.json');

create temporary view said as
select
    coalesce(r.id, split_part(d.file, '/', 1)) as room,
    d.number,
    d.content,
    case
        when d.content ->> 'ts' ~ '^\d{1,12}(\.\d{1,6})?$' then (d.content ->> 'ts')::numeric
    end as ts
from parley_import.documents as d
left join rooms as r on split_part(d.file, '/', 1) = r.folder
where d.file like '%/%';

-- <@U1> is somebody, <#C1|name> a channel, <!here> everybody, <address|words> a link.
create function pg_temp.readable(text text)
returns text
language plpgsql
as $$
declare
    v_text text := readable.text;
    v_person record;
begin
    if v_text !~ '[<&]' then
        return v_text;
    end if;
    for v_person in
        select distinct p.external_id, coalesce(p.display_name, p.username) as name
        from regexp_matches(v_text, '<@([A-Z0-9]+)', 'g') as m (ids)
        inner join parley_import.people as p on p.external_id = m.ids[1]
    loop
        v_text := regexp_replace(
            v_text,
            '<@' || v_person.external_id || '(\|[^>]*)?>',
            '@' || replace(v_person.name, '\', '\\'),
            'g'
        );
    end loop;
    v_text := regexp_replace(v_text, '<#[A-Z0-9]+\|([^>]*)>', '#\1', 'g');
    v_text := regexp_replace(v_text, '<!(here|channel|everyone)(\|[^>]*)?>', '@\1', 'g');
    v_text := regexp_replace(v_text, '<((https?|mailto):[^|>]+)\|([^>]+)>', '\3 (\1)', 'g');
    v_text := regexp_replace(v_text, '<((https?|mailto):[^|>]+)>', '\1', 'g');
    return replace(replace(replace(v_text, '&lt;', '<'), '&gt;', '>'), '&amp;', '&');
end;
$$;

insert into parley_import.people (external_id, email, username, display_name)
select
    d.content ->> 'id',
    d.content -> 'profile' ->> 'email',
    d.content ->> 'name',
    left(
        coalesce(nullif(d.content -> 'profile' ->> 'real_name', ''), d.content ->> 'name'), 100
    )
from parley_import.documents as d
where d.file = 'users.json';
create unique index slack_people on parley_import.people (external_id);

insert into parley_import.conversations (
    external_id, kind, title, is_closed, created_by, created_at
)
select
    r.id,
    case when r.file = 'dms.json' then 'direct' else 'group' end,
    r.content ->> 'name',
    coalesce((r.content ->> 'is_archived')::boolean, false),
    r.content ->> 'creator',
    to_timestamp((r.content ->> 'created')::numeric)
from rooms as r;

insert into parley_import.participants (conversation, person, role)
select
    r.id,
    m.person,
    case when m.person = r.content ->> 'creator' then 'owner' else 'member' end
from rooms as r
cross join lateral jsonb_array_elements_text(
    case
        when jsonb_typeof(r.content -> 'members') = 'array' then r.content -> 'members'
        else '[]'
    end
) as m (person);

insert into parley_import.messages (
    external_id, conversation, sender, position, created_at, kind, source_type, body, metadata,
    thread_root, edited_at, deleted_at
)
select
    s.room || ':' || coalesce(s.content ->> 'ts', 'number ' || s.number),
    s.room,
    coalesce(s.content ->> 'user', s.content ->> 'bot_id', s.content ->> 'username'),
    coalesce((s.ts * 1000000)::bigint, s.number),
    to_timestamp(s.ts),
    case
        when s.content ->> 'type' is distinct from 'message' then null
        when coalesce(s.content ->> 'subtype', '') in (
            '', 'thread_broadcast', 'bot_message', 'me_message', 'file_share', 'file_comment',
            'reply_broadcast', 'tombstone', 'reminder_add'
        ) then 'text'
        when s.content ->> 'subtype' ~ '^(channel|group|mpim|bot|pinned|huddle)_' then 'system'
    end,
    concat_ws('/', s.content ->> 'type', s.content ->> 'subtype'),
    pg_temp.readable(s.content ->> 'text'),
    case
        when s.content ? 'subtype' then jsonb_build_object('slack', s.content ->> 'subtype')
        else '{}'
    end,
    case
        when s.content ->> 'thread_ts' <> s.content ->> 'ts'
            then s.room || ':' || (s.content ->> 'thread_ts')
    end,
    case
        when s.content -> 'edited' ->> 'ts' ~ '^\d{1,12}(\.\d{1,6})?$'
            then to_timestamp((s.content -> 'edited' ->> 'ts')::numeric)
    end,
    case when s.content ->> 'subtype' = 'tombstone' then to_timestamp(s.ts) end
from said as s;

insert into parley_import.reactions (message, person, emoji)
select
    s.room || ':' || (s.content ->> 'ts'),
    u.person,
    ':' || (r.reaction ->> 'name') || ':'
from said as s
cross join lateral jsonb_array_elements(s.content -> 'reactions') as r (reaction)
cross join lateral jsonb_array_elements_text(r.reaction -> 'users') as u (person)
where jsonb_typeof(s.content -> 'reactions') = 'array';

-- One file can be shared in several messages.
insert into parley_import.files (
    external_id, message, position, address, name, mime_type, size_bytes
)
select
    concat_ws(':', s.room, s.content ->> 'ts', f.file ->> 'id'),
    s.room || ':' || (s.content ->> 'ts'),
    f.position,
    coalesce(f.file ->> 'url_private_download', f.file ->> 'url_private', f.file ->> 'permalink'),
    coalesce(f.file ->> 'name', f.file ->> 'title'),
    f.file ->> 'mimetype',
    (f.file ->> 'size')::bigint
from said as s
cross join lateral jsonb_array_elements(s.content -> 'files') with ordinality as f (file, position)
where
    jsonb_typeof(s.content -> 'files') = 'array'
    and coalesce(
        f.file ->> 'url_private_download', f.file ->> 'url_private', f.file ->> 'permalink'
    ) is not null;

drop index parley_import.slack_people;
drop function pg_temp.readable(text);
drop view said;
drop view rooms;
