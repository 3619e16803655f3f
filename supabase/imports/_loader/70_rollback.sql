-- Takes away what the import made, and puts back what it changed.

-- Conversations of the import that something was said in since: it would be lost.
create function parley_import.written_since()
returns table (conversation_id uuid, number bigint)
language sql
stable
set search_path = ''
begin atomic
select
    m.conversation_id,
    count(*)
from chat.messages as m
inner join parley_import.targets as t on m.conversation_id = t.conversation_id
where
    not exists (
        select
        from parley_import.load as l
        where l.conversation_id = m.conversation_id and l.seq = m.seq and l.id = m.id
    )
    and not exists (
        select
        from parley_import.kept_conversations as k
        where k.id = m.conversation_id and m.seq <= k.last_seq
    )
group by m.conversation_id;
end;

-- Some conversations of a shard that were new, with all that is in them: those after that one. How
-- many, and the last.
create function parley_import.remove_some(
    after uuid, number integer, shard integer, shards integer
)
returns table (removed integer, last_id uuid)
language plpgsql
set search_path = ''
as $$
declare
    v_ids constant uuid [] := array(
        select t.conversation_id
        from parley_import.targets as t
        inner join chat.conversations as c on t.conversation_id = c.id
        where
            t.is_new
            and t.conversation_id > remove_some.after
            and parley_import.is_of_shard(c.id, remove_some.shard, remove_some.shards)
        order by t.conversation_id
        limit remove_some.number
    );
begin
    perform set_config('chat.importing', 'on', true);
    delete from chat.conversations as c where c.id = any (v_ids);
    delete from chat_private.orphaned_objects as o where o.conversation_id = any (v_ids);
    return query select cardinality(v_ids), v_ids[cardinality(v_ids)];
end;
$$;

-- The rest: conversations that were there before, people, tenants.
create function parley_import.restore_kept()
returns void
language plpgsql
set search_path = ''
as $$
begin
    perform set_config('chat.importing', 'on', true);
    perform
    from chat.conversations as c
    where c.id in (select k.id from parley_import.kept_conversations as k)
    order by c.id
    for no key update;
    -- With what was said after them, as was asked for: it may answer them.
    delete from chat.messages as m
    using parley_import.kept_conversations as k
    where m.conversation_id = k.id and m.seq > k.last_seq;
    delete from chat.receipts as r
    using parley_import.kept_conversations as k
    where r.conversation_id = k.id and r.rev > k.rev;
    delete from chat.participants as p
    using parley_import.kept_conversations as c
    where
        p.conversation_id = c.id
        and not exists (
            select
            from parley_import.kept_participants as k
            where k.conversation_id = p.conversation_id and k.user_id = p.user_id
        );
    update chat.participants as p
    set last_read_seq = k.last_read_seq,
        last_delivered_seq = k.last_delivered_seq,
        read_count = k.read_count,
        rev = k.rev
    from parley_import.kept_participants as k
    where p.conversation_id = k.conversation_id and p.user_id = k.user_id;
    update chat.conversations as c
    set last_seq = k.last_seq,
        message_count = k.message_count,
        participant_count = k.participant_count,
        rev = k.rev,
        last_activity_at = k.last_activity_at,
        expires_from = k.expires_from
    from parley_import.kept_conversations as k
    where c.id = k.id;
    delete from chat_private.orphaned_objects as o
    using parley_import.uploads as u
    where o.path = u.path;
    delete from chat.contacts as c
    using parley_import.made_contacts as m
    where (c.user_low_id, c.user_high_id) = (m.user_low_id, m.user_high_id);
    delete from chat.blocks as b
    using parley_import.made_blocks as m
    where (b.blocker_id, b.blocked_id) = (m.blocker_id, m.blocked_id);
    delete from chat.tenant_members as e
    using parley_import.made_members as m
    where (e.tenant_id, e.user_id) = (m.tenant_id, m.user_id);
    delete from auth.users as u
    using parley_import.users as g
    where u.id = g.user_id and g.is_ghost;
    delete from chat.tenants as t
    using parley_import.made_tenants as m
    where t.id = m.tenant_id and m.is_new;
end;
$$;
