-- Purpose: files of messages, in a private bucket, readable exactly by who can read the message.
-- Objects: bucket chat-attachments; table chat.attachments; function chat.send_attachments; policies
--          on storage.objects.
-- Locks:   share row exclusive on storage.objects, for as long as it takes to add policies.
-- Breaking: no.
--
-- A client uploads to <tenant_id>/<conversation_id>/<attachment_id>/<file name>, the third a new
-- random uuid, and then sends what it uploaded with chat.send_attachments. Until then an upload is
-- its uploader's alone; from then on it is never changed.

set lock_timeout = '5s';

insert into chat_private.errors (code, state, message, hint)
values
    (
        'attachments_required', '22023',
        'There is nothing to attach.',
        'Give attachments as [{"path": "..."}], the paths of your uploads.'
    ),
    (
        'too_many_attachments', '22023',
        'One message does not take as many attachments.',
        'Send several messages; see attachments_per_message in the tenant''s settings.'
    ),
    (
        'attachment_not_found', 'PT404',
        'You have no such upload in the folder of this conversation.',
        'Upload to <tenant_id>/<conversation_id>/<new uuid>/<file name> first.'
    ),
    (
        'attachment_taken', 'PT409',
        'This upload is attached already.',
        'Upload the file again, to a path of its own.'
    ),
    (
        'attachment_too_large', '22023',
        'A file is larger than the tenant allows.',
        'See attachment_max_bytes in the tenant''s settings.'
    ),
    (
        'attachment_type_not_allowed', '22023',
        'The tenant does not allow files of this type.',
        'See attachment_mime_types in the tenant''s settings.'
    );

-- Tables ---------------------------------------------------------------------------------------

create table chat.attachments (
    conversation_id uuid not null,
    message_seq bigint not null,
    position integer not null,
    path text not null,
    name text not null,
    mime_type text not null,
    size_bytes bigint not null,
    sha256 text,
    width integer,
    height integer,
    duration_seconds numeric,
    created_at timestamptz not null default chat_private.now(),
    primary key (conversation_id, message_seq, position),
    constraint attachments_path_key unique (path),
    constraint attachments_message_seq_fkey foreign key (conversation_id, message_seq)
    references chat.messages (conversation_id, seq) on delete cascade,
    constraint attachments_position_check check (position > 0),
    -- The path names the conversation: who reads one folder reads one conversation.
    constraint attachments_path_check check (
        split_part(path, '/', 2) = conversation_id::text
        and path ~ '^[0-9a-f-]{36}/[0-9a-f-]{36}/[0-9a-f-]{36}/[^/]+$'
    ),
    constraint attachments_name_check check (
        length(name) between 1 and 255 and name !~ '[/[:cntrl:]]'
    ),
    constraint attachments_mime_type_check check (length(mime_type) between 3 and 255),
    constraint attachments_size_bytes_check check (size_bytes >= 0),
    constraint attachments_sha256_check check (sha256 ~ '^[0-9a-f]{64}$'),
    constraint attachments_dimensions_check check (
        width between 1 and 100000
        and height between 1 and 100000
        and (width is null) = (height is null)
    ),
    constraint attachments_duration_seconds_check check (
        duration_seconds >= 0 and duration_seconds < 1000000
    )
);
comment on table chat.attachments is
    'The files of a message, in bucket chat-attachments. Made with chat.send_attachments.';
comment on column chat.attachments.path is 'The object''s name in the bucket.';
comment on column chat.attachments.name is
    'What to call the file; in an object''s name most characters are not allowed.';
comment on column chat.attachments.size_bytes is 'As the Storage server measured it.';
comment on column chat.attachments.mime_type is
    'As the sender uploaded it: among the types allowed, but nobody has looked inside.';
comment on column chat.attachments.sha256 is
    'What the sender says; so are width, height and duration_seconds. Check it when you need it.';
alter table chat.attachments enable row level security;
grant select on chat.attachments to authenticated, service_role;

-- Functions ------------------------------------------------------------------------------------

-- What the Storage server says of an object, in the settings' terms. While an upload is being
-- judged only contentLength is there; afterwards size is.
create function chat_private.object_size(metadata jsonb)
returns bigint
language sql
immutable
parallel safe
set search_path = ''
return case
    when metadata ->> 'size' ~ '^\d{1,18}$' then (metadata ->> 'size')::bigint
    when metadata ->> 'contentLength' ~ '^\d{1,18}$' then (metadata ->> 'contentLength')::bigint
end;
revoke execute on function chat_private.object_size(jsonb) from public, anon, authenticated;

create function chat_private.object_mime_type(metadata jsonb)
returns text
language sql
immutable
parallel safe
set search_path = ''
return lower(trim(split_part(metadata ->> 'mimetype', ';', 1)));
revoke execute on function chat_private.object_mime_type(jsonb)
from public, anon, authenticated;

-- Security definer: reads what the uploader may not. Whether the caller may upload this object:
-- to the folder of a conversation they may write in now, within the tenant's size and types.
-- Slow mode and rates are of messages and are asked when it is sent.
create function chat_private.can_upload(name text, metadata jsonb)
returns boolean
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_parts constant text [] := regexp_match(
        can_upload.name,
        '^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})'
        '/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})'
        '/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/([^/]{1,255})$'
    );
    v_settings chat.settings;
    v_conversation chat.conversations;
    v_participant chat.participants;
begin
    if v_parts is null or chat_private.is_attached(can_upload.name) then
        return false;
    end if;
    v_participant := chat_private.require_participant(v_parts[2]::uuid);
    select c.* into strict v_conversation
    from chat.conversations as c
    where c.id = v_participant.conversation_id;
    if v_conversation.tenant_id <> v_parts[1]::uuid then
        return false;
    end if;
    perform chat_private.check_may_write(v_conversation, v_participant);
    v_settings := chat_private.settings_for(v_conversation.tenant_id);
    return coalesce(
            chat_private.object_size(can_upload.metadata) <= v_settings.attachment_max_bytes, true
        )
        and coalesce(
            chat_private.object_mime_type(can_upload.metadata)
            = any (v_settings.attachment_mime_types),
            true
        );
exception
    -- Why not is said when a message is sent; the Storage server has one answer for no.
    when others then
        return false;
end;
$$;
revoke execute on function chat_private.can_upload(text, jsonb) from public, anon;
grant execute on function chat_private.can_upload(text, jsonb) to authenticated;

-- Security definer: must know of messages the caller cannot read. Whether an object is, or was, of
-- a message, and so is nobody's own upload any more.
create function chat_private.is_attached(path text)
returns boolean
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    return exists (select from chat.attachments as a where a.path = is_attached.path)
        or exists (
            select
            from chat_private.orphaned_objects as o
            where o.path = is_attached.path
        );
end;
$$;
revoke execute on function chat_private.is_attached(text) from public, anon;
grant execute on function chat_private.is_attached(text) to authenticated;

-- The caller's uploads that a message is to have, checked and locked. Raises
-- attachment_not_found, attachment_taken, attachment_too_large, attachment_type_not_allowed.
create function chat_private.check_uploads(conversation chat.conversations, paths text [])
returns void
language plpgsql
set search_path = ''
as $$
declare
    v_folder constant text := conversation.tenant_id || '/' || conversation.id || '/';
    v_settings constant chat.settings := chat_private.settings_for(conversation.tenant_id);
    v_found integer := 0;
    v_object record;
begin
    for v_object in
        select
            o.name,
            chat_private.object_size(o.metadata) as size_bytes,
            chat_private.object_mime_type(o.metadata) as mime_type
        from storage.objects as o
        where
            o.bucket_id = 'chat-attachments'
            and o.name = any (check_uploads.paths)
            and o.owner_id = auth.uid()::text
            and starts_with(o.name, v_folder)
        order by o.name
        for share
    loop
        v_found := v_found + 1;
        if chat_private.is_attached(v_object.name) then
            perform chat_private.raise_error('attachment_taken');
        end if;
        if v_object.size_bytes > v_settings.attachment_max_bytes then
            perform chat_private.raise_error('attachment_too_large');
        end if;
        if v_object.mime_type <> all (v_settings.attachment_mime_types) then
            perform chat_private.raise_error('attachment_type_not_allowed');
        end if;
        if v_object.size_bytes is null or v_object.mime_type is null then
            -- Not uploaded completely.
            perform chat_private.raise_error('attachment_not_found');
        end if;
    end loop;
    -- Fewer than asked for: of somebody else, elsewhere, or nowhere; or one was named twice.
    if v_found < cardinality(check_uploads.paths) then
        perform chat_private.raise_error('attachment_not_found');
    end if;
end;
$$;
revoke execute on function chat_private.check_uploads(chat.conversations, text [])
from public, anon, authenticated;

-- Security definer: inserts into tables its caller may only read. send_message checks that the
-- caller may send; here, that the files are the caller's own uploads to this conversation.
create function chat_private.send_attachments(
    conversation_id uuid,
    attachments jsonb,
    body text,
    id uuid,
    kind text,
    metadata jsonb,
    reply_to_seq bigint,
    thread_root_seq bigint,
    mentions uuid []
)
returns chat.messages
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_conversation chat.conversations;
    v_is_known boolean;
    v_paths text [];
    v_message chat.messages;
    v_attached jsonb;
begin
    perform chat_private.require_participant(send_attachments.conversation_id);
    v_conversation := chat_private.lock_conversation(send_attachments.conversation_id);
    v_is_known := exists (select from chat.messages as m where m.id = send_attachments.id);
    -- A retry gets the stored message, whatever has become of the uploads.
    if not v_is_known then
        if coalesce(jsonb_typeof(send_attachments.attachments), '') <> 'array'
            or jsonb_array_length(send_attachments.attachments) = 0
            or exists (
                select
                from jsonb_array_elements(send_attachments.attachments) as a (value)
                where jsonb_typeof(a.value -> 'path') is distinct from 'string'
            )
        then
            perform chat_private.raise_error('attachments_required');
        end if;
        if jsonb_array_length(send_attachments.attachments)
            > (chat_private.settings_for(v_conversation.tenant_id)).attachments_per_message
        then
            perform chat_private.raise_error('too_many_attachments');
        end if;
        v_paths := array(
            select a.value ->> 'path'
            from jsonb_array_elements(send_attachments.attachments) as a (value)
        );
        perform chat_private.check_uploads(v_conversation, v_paths);
    end if;

    v_message := chat_private.send_message(
        send_attachments.conversation_id,
        send_attachments.body,
        send_attachments.id,
        coalesce(
            send_attachments.kind,
            (
                -- What all files are; of different ones a message is of kind 'file'.
                select
                    case
                        when count(distinct u.kind) = 1
                            and min(u.kind) in ('image', 'audio', 'video')
                            then min(u.kind)
                        else 'file'
                    end
                from (
                    select
                        split_part(chat_private.object_mime_type(o.metadata), '/', 1) as kind
                    from storage.objects as o
                    where o.bucket_id = 'chat-attachments' and o.name = any (v_paths)
                ) as u
            )
        ),
        send_attachments.metadata,
        send_attachments.reply_to_seq,
        send_attachments.thread_root_seq,
        send_attachments.mentions
    );
    if v_is_known then
        return v_message;
    end if;

    with inserted as (
        insert into chat.attachments as a (
            conversation_id, message_seq, position, path, name, mime_type, size_bytes, sha256,
            width, height, duration_seconds
        )
        select
            v_message.conversation_id,
            v_message.seq,
            g.position,
            o.name,
            coalesce(g.name, storage.filename(o.name)),
            chat_private.object_mime_type(o.metadata),
            chat_private.object_size(o.metadata),
            g.sha256,
            g.width,
            g.height,
            g.duration_seconds
        from rows from (
            jsonb_to_recordset(send_attachments.attachments) as (
                path text,
                name text,
                sha256 text,
                width integer,
                height integer,
                duration_seconds numeric
            )
        ) with ordinality as g (path, name, sha256, width, height, duration_seconds, position)
        inner join storage.objects as o
            on g.path = o.name and o.bucket_id = 'chat-attachments'
        returning a.*
    )

    select jsonb_agg(to_jsonb(i) order by i.position) into v_attached
    from inserted as i;
    v_conversation := chat_private.touch_message(v_message.conversation_id, v_message.seq);
    perform chat_private.broadcast_change(
        v_conversation,
        'attachments_added',
        jsonb_build_object('seq', v_message.seq, 'attachments', v_attached)
    );
    select m.* into strict v_message
    from chat.messages as m
    where m.conversation_id = v_message.conversation_id and m.seq = v_message.seq;
    return v_message;
end;
$$;
revoke execute on function chat_private.send_attachments(
    uuid, jsonb, text, uuid, text, jsonb, bigint, bigint, uuid []
) from public, anon;
grant execute on function chat_private.send_attachments(
    uuid, jsonb, text, uuid, text, jsonb, bigint, bigint, uuid []
) to authenticated;

create function chat.send_attachments(
    conversation_id uuid,
    attachments jsonb,
    body text default null,
    id uuid default null,
    kind text default null,
    metadata jsonb default '{}',
    reply_to_seq bigint default null,
    thread_root_seq bigint default null,
    mentions uuid [] default '{}'
)
returns chat.messages
language sql
set search_path = ''
begin atomic
select
    chat_private.send_attachments(
        conversation_id,
        attachments,
        body,
        id,
        kind,
        metadata,
        reply_to_seq,
        thread_root_seq,
        mentions
    );
end;
comment on function chat.send_attachments(
    uuid, jsonb, text, uuid, text, jsonb, bigint, bigint, uuid []
) is
    'Sends a message with files the caller has uploaded: attachments is an array of {path, name, '
    'sha256, width, height, duration_seconds}, all but path optional. Without kind: image, audio '
    'or video when all files are, else file. With the id of a message already sent here by the '
    'caller it returns that one and changes nothing.';
revoke execute on function chat.send_attachments(
    uuid, jsonb, text, uuid, text, jsonb, bigint, bigint, uuid []
) from public, anon;
grant execute on function chat.send_attachments(
    uuid, jsonb, text, uuid, text, jsonb, bigint, bigint, uuid []
) to authenticated;

-- Policies -------------------------------------------------------------------------------------

-- Policies on chat.messages narrow the inner query to what the caller can read.
create policy "participants can read the attachments of messages"
on chat.attachments for select
to authenticated
using (
    exists (
        select
        from chat.messages as m
        where
            m.conversation_id = attachments.conversation_id
            and m.seq = attachments.message_seq
            and m.deleted_at is null
    )
);

-- Policies on chat.attachments narrow the inner query to files of messages the caller can read.
-- What is not sent yet, its uploader reads.
create policy "parley: readers of a message can read its files"
on storage.objects for select
to authenticated
using (
    bucket_id = 'chat-attachments'
    and (
        exists (select from chat.attachments as a where a.path = objects.name)
        or (
            owner_id = (select auth.uid())::text
            and not chat_private.is_attached(name)
        )
    )
);

create policy "parley: participants can upload to where they may write"
on storage.objects for insert
to authenticated
with check (
    bucket_id = 'chat-attachments'
    and owner_id = (select auth.uid())::text
    and chat_private.can_upload(name, metadata)
);

create policy "parley: uploaders can delete what they have not sent"
on storage.objects for delete
to authenticated
using (
    bucket_id = 'chat-attachments'
    and owner_id = (select auth.uid())::text
    and not chat_private.is_attached(name)
);

-- Private; types and sizes as in the defaults of chat.settings. A tenant that allows more needs
-- the bucket to, as well.
insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
values (
    'chat-attachments',
    'chat-attachments',
    false,
    10485760,
    '{image/jpeg,image/png,image/gif,image/webp}'
)
on conflict do nothing;
