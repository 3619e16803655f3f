-- Purpose: a person goes, and a record of what went stays.
-- Objects: table chat_private.erasures; function chat.erase_user.
-- Locks:   share on chat_private.deleted_messages while its index is built.
-- Breaking: no.

set lock_timeout = '5s';

-- Tables ---------------------------------------------------------------------------------------

create table chat_private.erasures (
    user_id uuid primary key references chat.profiles (id) on delete cascade,
    begun_at timestamptz not null default chat_private.now(),
    counts jsonb not null default '{}'
);
comment on table chat_private.erasures is 'Who is being erased, and what has gone so far.';
alter table chat_private.erasures enable row level security;

-- Indexes --------------------------------------------------------------------------------------

-- Serves: what somebody deleted of others.
-- squawk-ignore require-concurrent-index-creation
create index deleted_messages_deleted_by_idx on chat_private.deleted_messages (deleted_by)
where deleted_by is not null;

-- Functions ------------------------------------------------------------------------------------

-- Whether a hold keeps anything that a person wrote.
create function chat_private.is_person_held(user_id uuid)
returns boolean
language sql
stable
set search_path = ''
begin atomic
select exists (
    select
    from chat.tenant_members as m
    inner join chat.legal_holds as h on m.tenant_id = h.tenant_id
    where
        m.user_id = is_person_held.user_id
        and (h.user_id is null or h.user_id = m.user_id)
        and (h.conversation_id is null or exists (
            select
            from chat.messages as o
            where o.conversation_id = h.conversation_id and o.sender_id = m.user_id
        ))
);
end;
revoke execute on function chat_private.is_person_held(uuid) from public, anon, authenticated;

create function chat_private.add_counts(counts jsonb, more jsonb)
returns jsonb
language sql
immutable
set search_path = ''
begin atomic
select
    counts || coalesce(
        (
            select
                jsonb_object_agg(
                    m.key, coalesce((counts ->> m.key)::bigint, 0) + m.value::bigint
                )
            from jsonb_each_text(more) as m
            where m.value <> '0'
        ),
        '{}'
    );
end;
revoke execute on function chat_private.add_counts(jsonb, jsonb) from public, anon, authenticated;

-- What somebody wrote in the first of their conversations that is left, at most max_count messages:
-- tombstones without a text or a sender, and nothing to restore. Returns what went, {} when nothing is
-- left.
create function chat_private.erase_messages(user_id uuid, max_count integer)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
    v_conversation chat.conversations;
    v_conversation_ids uuid [];
    v_seqs bigint [];
    v_living_seqs bigint [];
    v_counts jsonb;
begin
    select p.conversation_id into v_conversation.id
    from chat.participants as p
    where
        p.user_id = erase_messages.user_id
        and exists (
            select
            from chat.messages as m
            where m.conversation_id = p.conversation_id and m.sender_id = p.user_id
        )
    order by p.conversation_id
    limit 1;
    if not found then
        return '{}'::jsonb;
    end if;
    v_conversation := chat_private.lock_conversation(v_conversation.id);
    v_seqs := array(
        select m.seq
        from chat.messages as m
        where m.conversation_id = v_conversation.id and m.sender_id = erase_messages.user_id
        limit erase_messages.max_count
    );
    v_conversation_ids := array_fill(v_conversation.id, array[cardinality(v_seqs)]);
    v_living_seqs := array(
        select m.seq
        from unnest(v_conversation_ids, v_seqs) as p (conversation_id, seq)
        inner join chat.messages as m on p.conversation_id = m.conversation_id and p.seq = m.seq
        where m.deleted_at is null
    );
    perform chat_private.remove_messages(
        array_fill(v_conversation.id, array[cardinality(v_living_seqs)]),
        v_living_seqs,
        is_expired => false
    );
    perform chat_private.keep_expires_from(array[v_conversation.id]);
    select e.counts into v_counts
    from chat_private.empty_messages(v_conversation_ids, v_seqs) as e;
    update chat.messages as m
    set sender_id = null
    from unnest(v_conversation_ids, v_seqs) as p (conversation_id, seq)
    where m.conversation_id = p.conversation_id and m.seq = p.seq;
    perform chat_private.drop_tombstones(v_conversation_ids, v_seqs);
    if not exists (
        select
        from chat.messages as m
        where m.conversation_id = v_conversation.id and m.sender_id = erase_messages.user_id
    ) then
        perform chat_private.announce_rewritten(v_conversation.id);
    end if;
    return coalesce(v_counts, '{}') || jsonb_build_object('messages', cardinality(v_seqs));
end;
$$;
revoke execute on function chat_private.erase_messages(uuid, integer)
from public, anon, authenticated;

-- Of the many rows that are somebody's, at most max_count from the first table that has some.
create function chat_private.erase_rows(user_id uuid, max_count integer)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
    v_table text;
    v_number integer;
begin
    foreach v_table in array array[
        'receipts', 'reactions', 'poll_votes', 'notifications', 'saved_messages', 'mentions'
    ]
    loop
        execute format(
            'delete from chat.%1$I where user_id = $1 and ctid = any (array('
            'select t.ctid from chat.%1$I as t where t.user_id = $1 limit $2))',
            v_table
        )
        using erase_rows.user_id, erase_rows.max_count;
        get diagnostics v_number = row_count;
        if v_number > 0 then
            return jsonb_build_object(v_table, v_number);
        end if;
    end loop;
    return '{}'::jsonb;
end;
$$;
revoke execute on function chat_private.erase_rows(uuid, integer)
from public, anon, authenticated;

-- The account, with all that hangs on it, counted by the manifest. Raises under_legal_hold through
-- foreign keys, had a hold come meanwhile.
create function chat_private.erase_account(user_id uuid)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
    v_counts jsonb := '{}'::jsonb;
    v_column record;
    v_number bigint;
begin
    for v_column in
        select
            d.table_name,
            d.column_name,
            split_part(d.table_name, '.', 2) as name
        from chat_private.personal_data as d
        where d.names_person and d.action = 'delete' and d.table_name <> 'chat_private.erasures'
        order by 1, 2
    loop
        execute format(
            'select count(*) from %s as t where t.%I = $1', v_column.table_name, v_column.column_name
        )
        into v_number
        using erase_account.user_id;
        v_counts := chat_private.add_counts(
            v_counts, jsonb_build_object(v_column.name, v_number)
        );
    end loop;
    update chat_private.deleted_messages as d
    set deleted_by = null
    where d.deleted_by = erase_account.user_id;
    -- What they uploaded and never sent.
    insert into chat_private.orphaned_objects (path, conversation_id, is_restorable)
    select
        o.name,
        split_part(o.name, '/', 2)::uuid,
        false
    from storage.objects as o
    where
        o.bucket_id = 'chat-attachments'
        and o.owner_id = erase_account.user_id::text
        and not chat_private.is_attached(o.name)
    on conflict do nothing;
    delete from auth.users as u where u.id = erase_account.user_id;
    return v_counts;
end;
$$;
revoke execute on function chat_private.erase_account(uuid) from public, anon, authenticated;

-- One batch, which is one transaction. First what they wrote, by conversation; then their other rows;
-- then the account. What was done stays done: call again after a failure.
-- Security definer: for the service role, which may write none of this itself.
create function chat_private.erase_user(user_id uuid, batch_size integer)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_erasure chat_private.erasures;
    v_tenant_ids uuid [];
    v_counts jsonb;
begin
    -- As in the sweep: a hold waits for this batch, and is seen by the next.
    lock table chat.legal_holds in share mode;
    if not exists (select from chat.profiles as p where p.id = erase_user.user_id) then
        perform chat_private.raise_error('user_not_found');
    end if;
    if chat_private.is_person_held(erase_user.user_id) then
        perform chat_private.raise_error('under_legal_hold');
    end if;
    insert into chat_private.erasures (user_id)
    values (erase_user.user_id)
    on conflict do nothing;
    v_counts := chat_private.erase_messages(erase_user.user_id, erase_user.batch_size);
    if v_counts = '{}' then
        v_counts := chat_private.erase_rows(erase_user.user_id, erase_user.batch_size);
    end if;
    update chat_private.erasures as e
    set counts = chat_private.add_counts(e.counts, v_counts)
    where e.user_id = erase_user.user_id
    returning e.* into v_erasure;
    if v_counts <> '{}' then
        return jsonb_build_object(
            'user_id', v_erasure.user_id, 'has_more', true, 'counts', v_erasure.counts
        );
    end if;

    v_tenant_ids := array(
        select m.tenant_id
        from chat.tenant_members as m
        where m.user_id = erase_user.user_id
        order by m.tenant_id
    );
    v_erasure.counts := chat_private.add_counts(
        v_erasure.counts, chat_private.erase_account(erase_user.user_id)
    );
    perform chat_private.record_audit(
        t.id,
        'user_erased',
        v_erasure.user_id,
        null,
        jsonb_build_object('begun_at', v_erasure.begun_at, 'counts', v_erasure.counts)
    )
    from unnest(v_tenant_ids) as t (id);
    return jsonb_build_object(
        'user_id', v_erasure.user_id,
        'has_more', false,
        'begun_at', v_erasure.begun_at,
        'erased_at', chat_private.now(),
        'counts', v_erasure.counts,
        'records', (
            select
                coalesce(
                    jsonb_agg(
                        jsonb_build_object(
                            'tenant_id', a.tenant_id,
                            'seq', a.last_seq,
                            'hash', encode(a.last_hash, 'hex')
                        )
                    ),
                    '[]'
                )
            from chat_private.audit_heads as a
            where a.tenant_id = any (v_tenant_ids)
        ),
        'retained', (
            select
                jsonb_agg(
                    jsonb_build_object(
                        'table', d.table_name, 'column', d.column_name, 'reason', d.reason
                    )
                    order by d.table_name, d.column_name
                )
            from chat_private.personal_data as d
            where d.action = 'retain'
        )
    );
end;
$$;
revoke execute on function chat_private.erase_user(uuid, integer) from public, anon, authenticated;
grant execute on function chat_private.erase_user(uuid, integer) to service_role;

create function chat.erase_user(user_id uuid, batch_size integer default 500)
returns jsonb
language sql
set search_path = ''
begin atomic
select chat_private.erase_user(user_id, batch_size);
end;
comment on function chat.erase_user(uuid, integer) is
    'One batch of erasing a person: what they wrote, their rows, their account. Call it again while '
    'has_more; the last answer is the certificate: what went, the entry of each tenant''s audit log '
    'that says so, and what is retained, and why. For the service role.';
revoke execute on function chat.erase_user(uuid, integer) from public, anon, authenticated;
grant execute on function chat.erase_user(uuid, integer) to service_role;
