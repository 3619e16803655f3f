-- Everybody listens and speaks on every topic, as Realtime would ask for them: a row of the topic
-- is there, and is seen or not.
create function pg_temp.verify_realtime()
returns void
language plpgsql
as $$
declare
    v_attempt record;
begin
    for v_attempt in
        select t.name, t.topic, x.extension, p.name as actor, p.is_outsider
        from (
            select
                'topic of ' || k.name || e.suffix as name,
                'conversation:' || c.id || ':' || (c.epoch + e.step) || e.ending as topic
            from chat.conversations as c
            inner join pg_temp.verify_known as k on c.id::text = k.value
            cross join (
                values
                ('', 0, ''),
                (' typing', 0, ':typing'),
                (' before', -1, ''),
                (' after', 1, '')
            ) as e (suffix, step, ending)
            union all
            select 'inbox of ' || p.name, 'user:' || p.id
            from pg_temp.verify_people as p
            where p.name in ('owner', 'stranger')
            union all
            values ('topic of nothing', 'conversation:'), ('inbox of nobody', 'user:')
        ) as t (name, topic)
        cross join (values ('broadcast'), ('presence')) as x (extension)
        cross join pg_temp.verify_people as p
        where
            x.extension = 'broadcast'
            or t.name in ('topic of group', 'topic of group typing', 'inbox of owner')
        order by t.name, x.extension, p.position
    loop
        insert into realtime.messages (topic, extension, event, payload, private)
        values (v_attempt.topic, v_attempt.extension, 'verify', '{}', true);
        perform set_config('realtime.topic', v_attempt.topic, true);
        perform pg_temp.verify_try(
            v_attempt.actor,
            'hear',
            v_attempt.name,
            v_attempt.extension,
            format(
                'select jsonb_agg(''verify.secret.heard''::text) from realtime.messages as m'
                ' where m.topic = %L and m.event = ''verify''',
                v_attempt.topic
            )
        );
        perform pg_temp.verify_try(
            v_attempt.actor,
            'send',
            v_attempt.name,
            v_attempt.extension,
            format(
                'insert into realtime.messages (topic, extension, event, payload, private)'
                ' values (%L, %L, ''verify sent'', ''{}'', true)',
                v_attempt.topic,
                v_attempt.extension
            )
        );
        delete from realtime.messages as m
        where m.topic = v_attempt.topic and m.event = 'verify';
    end loop;
    perform set_config('realtime.topic', '', true);
    update pg_temp.verify_results as r
    set breach = case
        when r.actor in (select p.name from pg_temp.verify_people as p where p.is_outsider)
            and r.gain = 3
            and r.object ~ '^(topic of (group|direct|shunned|subject)|inbox of owner)'
            then r.verb || 's on a topic of the conversations here'
        end
    where r.verb in ('hear', 'send');
end;
$$;
