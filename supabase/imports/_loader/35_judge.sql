-- What of the source cannot be as it is, and what was chosen for it.

-- Messages that cannot be as they are.
create function parley_import.judge_messages()
returns void
language plpgsql
set search_path = ''
as $$
declare
    v_skips_long constant boolean := parley_import.choice('too_long') is distinct from 'split';
    v_skips_empty constant boolean := parley_import.choice('empty') is distinct from 'keep';
    v_skips_types constant boolean := parley_import.choice('bad_type') is distinct from 'keep';
    v_skips_times constant boolean := parley_import.choice('bad_time') is distinct from 'previous';
    v_skips_metadata constant boolean := parley_import.choice('metadata') is distinct from 'drop';
begin
    -- Nearly all are well: these are not asked one question after the other.
    create temporary table suspects on commit drop as
    select m.ctid as row_id
    from parley_import.messages as m
    left join parley_import.rooms as r on m.conversation = r.external_id
    left join parley_import.users as u on m.sender = u.external_id
    where
        r.external_id is null
        or (m.sender is not null and u.user_id is null)
        or length(m.body) > 10000
        or (m.kind = 'text' and coalesce(m.body, '') !~ '\S')
        or m.kind is null
        or m.created_at is null
        or not isfinite(m.created_at)
        or (m.metadata <> '{}' and octet_length(m.metadata::text) > 16000);
    insert into parley_import.conflicts (kind, place, external_id, detail, is_left_out)
    select
        j.kind,
        'messages',
        m.external_id,
        j.detail,
        j.is_left_out
    from suspects as s
    inner join parley_import.messages as m on s.row_id = m.ctid
    left join parley_import.rooms as r on m.conversation = r.external_id
    left join parley_import.users as u on m.sender = u.external_id
    left join (select distinct f.message from parley_import.files as f) as f
        on m.external_id = f.message
    cross join lateral (
        values
        (
            'orphan',
            r.external_id is null,
            'no conversation ' || m.conversation,
            true
        ),
        (
            'missing_user',
            m.sender is not null and u.user_id is null,
            'from ' || m.sender,
            true
        ),
        (
            'too_long',
            length(m.body) > 10000 and m.deleted_at is null,
            length(m.body) || ' characters',
            v_skips_long
        ),
        (
            'empty',
            m.kind = 'text' and m.deleted_at is null and coalesce(m.body, '') !~ '\S'
            and f.message is null,
            'says nothing',
            v_skips_empty
        ),
        (
            'bad_type',
            m.kind is null,
            'type ' || coalesce(m.source_type, 'null'),
            v_skips_types
        ),
        (
            'bad_time',
            m.created_at is null or not isfinite(m.created_at),
            'no time that exists',
            v_skips_times
        ),
        (
            'metadata',
            m.deleted_at is null and octet_length(m.metadata::text) > 16000,
            octet_length(m.metadata::text) || ' bytes of metadata',
            v_skips_metadata
        )
    ) as j (kind, is_so, detail, is_left_out)
    where j.is_so;
    drop table suspects;

    -- Of no time: with what was said before it.
    update parley_import.messages as m
    set created_at = f.at
    from (
        select
            p.external_id,
            coalesce(
                max(case when isfinite(p.created_at) then p.created_at end) over (
                    partition by p.conversation
                    order by p.position
                ),
                min(case when isfinite(p.created_at) then p.created_at end) over (
                    partition by p.conversation
                ),
                '1970-01-01 00:00+00'
            ) as at
        from parley_import.messages as p
        where p.conversation in (
            select b.conversation
            from parley_import.messages as b
            where b.created_at is null or not isfinite(b.created_at)
        )
    ) as f
    where
        m.external_id = f.external_id and (m.created_at is null or not isfinite(m.created_at));

    truncate parley_import.left_out;
    insert into parley_import.left_out (external_id)
    select distinct c.external_id
    from parley_import.conflicts as c
    where c.place = 'messages' and c.is_left_out;

    insert into parley_import.conflicts (kind, place, external_id, detail, is_left_out)
    select 'reply', 'messages', m.external_id, 'to ' || m.reply_to || ', which is not there', false
    from parley_import.messages as m
    left join parley_import.messages as t on m.reply_to = t.external_id
    where m.reply_to is not null and t.conversation is distinct from m.conversation
    union all
    select 'orphan', 'reactions', r.message || '/' || r.person, 'no such message or person', true
    from parley_import.reactions as r
    left join parley_import.messages as m on r.message = m.external_id
    left join parley_import.users as u on r.person = u.external_id
    where m.external_id is null or u.user_id is null
    union all
    select 'orphan', 'receipts', r.message || '/' || r.person, 'no such message or person', true
    from parley_import.receipts as r
    left join parley_import.messages as m on r.message = m.external_id
    left join parley_import.users as u on r.person = u.external_id
    where m.external_id is null or u.user_id is null
    union all
    select 'orphan', 'hidden', h.message || '/' || h.person, 'no such message or person', true
    from parley_import.hidden as h
    left join parley_import.messages as m on h.message = m.external_id
    left join parley_import.users as u on h.person = u.external_id
    where m.external_id is null or u.user_id is null
    union all
    select 'orphan', 'files', f.external_id, 'no message ' || f.message, true
    from parley_import.files as f
    left join parley_import.messages as m on f.message = m.external_id
    where m.external_id is null;
end;
$$;

-- What an import would bring that the tenant's policy lets nobody read.
create function parley_import.judge_retention()
returns void
language plpgsql
set search_path = ''
as $$
declare
    v_now constant timestamptz := chat_private.now();
begin
    -- By author first. A message without a time has one of its conversation's by now, or a very old one.
    create temporary table expired on commit drop as
    select
        a.conversation,
        a.sender,
        coalesce(n.slug, 'new') as slug,
        p.retention
    from (
        select
            w.conversation,
            w.sender,
            coalesce(min(w.first_at) over (partition by w.conversation), '-infinity') as first_at
        from authors as w
    ) as a
    inner join parley_import.rooms as r on a.conversation = r.external_id
    inner join parley_import.targets as t on r.conversation_id = t.conversation_id
    left join chat.tenants as n on t.tenant_id = n.id
    left join chat.settings as s on t.tenant_id = s.tenant_id
    left join parley_import.users as u on a.sender = u.external_id
    left join chat.tenant_members as e on t.tenant_id = e.tenant_id and u.user_id = e.user_id
    inner join chat.tiers as i on i.name = coalesce(e.tier, 'free')
    cross join lateral (
        select case when s.retention_mode = 'fixed' then s.retention else i.retention end
    ) as p (retention)
    where a.first_at + p.retention <= v_now;
    insert into parley_import.conflicts (kind, place, external_id, detail, is_left_out)
    select
        'expired',
        'tenants',
        e.slug,
        count(*) || ' messages are older than messages may be here',
        false
    from parley_import.messages as m
    inner join expired as e
        on m.conversation = e.conversation and m.sender is not distinct from e.sender
    where m.created_at + e.retention <= v_now
    group by e.slug;
    drop table expired;
end;
$$;

-- Files that the bucket would not take.
create function parley_import.judge_files()
returns void
language plpgsql
set search_path = ''
as $$
begin
    update parley_import.files as f
    set mime_type = coalesce(
            lower(trim(split_part(f.mime_type, ';', 1))),
            case lower(substring(coalesce(f.name, f.address) from '\.([A-Za-z0-9]+)$'))
                when 'jpg' then 'image/jpeg'
                when 'jpeg' then 'image/jpeg'
                when 'png' then 'image/png'
                when 'gif' then 'image/gif'
                when 'webp' then 'image/webp'
                when 'pdf' then 'application/pdf'
            end,
            'application/octet-stream'
        ),
        name = left(
            coalesce(
                nullif(regexp_replace(f.name, '[/[:cntrl:]]', '_', 'g'), ''),
                nullif(regexp_replace(f.address, '^.*/|[?#].*$', '', 'g'), ''),
                'file'
            ),
            255
        );
    insert into parley_import.conflicts (kind, place, external_id, detail, is_left_out)
    select 'files', 'files', '*', count(*) || ' files', false
    from parley_import.files
    having count(*) > 0;
    insert into parley_import.conflicts (kind, place, external_id, detail, is_left_out)
    select
        'bad_file',
        'files',
        f.external_id,
        concat_ws(' ', f.mime_type, f.size_bytes || ' bytes'),
        false
    from parley_import.files as f
    inner join parley_import.messages as m on f.message = m.external_id
    inner join parley_import.rooms as r on m.conversation = r.external_id
    inner join parley_import.targets as t on r.conversation_id = t.conversation_id
    left join chat.settings as s
        on s.tenant_id = case
            when exists (select from chat.settings as e where e.tenant_id = t.tenant_id)
                then t.tenant_id
            else '00000000-0000-4000-8000-000000000001'
        end
    left join storage.buckets as b on b.id = 'chat-attachments'
    where
        parley_import.choice('files') = 'upload'
        and (
            f.mime_type <> all (s.attachment_mime_types)
            or f.mime_type <> all (b.allowed_mime_types)
            or f.size_bytes > s.attachment_max_bytes
            or f.size_bytes > b.file_size_limit
        );
end;
$$;

create function parley_import.resolve()
returns void
language plpgsql
set search_path = ''
as $$
begin
    truncate parley_import.conflicts;
    perform parley_import.part_duplicates();
    analyze parley_import.messages, parley_import.people, parley_import.participants;
    perform parley_import.gather_authors();
    perform parley_import.resolve_people();
    perform parley_import.resolve_conversations();
    analyze parley_import.users, parley_import.rooms, parley_import.targets;
    perform parley_import.resolve_members();
    perform parley_import.judge_messages();
    perform parley_import.judge_files();
    perform parley_import.judge_retention();
    drop table authors;
    analyze parley_import.left_out, parley_import.members;
end;
$$;
