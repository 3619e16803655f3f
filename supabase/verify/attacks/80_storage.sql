-- Everybody reads, replaces, removes and uploads files; some would have the bucket.
create function pg_temp.verify_storage()
returns void
language plpgsql
as $$
declare
    v_attempt record;
begin
    for v_attempt in
        select
            s.verb,
            s.variant,
            u.name as upload,
            p.name as actor,
            format(s.statement, o.path, p.id) as statement
        from pg_temp.verify_people as p
        cross join (values ('owner'), ('member'), ('admin'), ('new'), ('misplaced')) as u (name)
        cross join
            lateral (
                select format(
                    '%s/%s/%s/verify.png',
                    pg_temp.verify_id('tenant'),
                    pg_temp.verify_id(case u.name when 'misplaced' then 'elsewhere' else 'group' end),
                    pg_temp.verify_id('upload of ' || u.name)
                )
            ) as o (path)
        cross join (
            values
            (
                'select',
                null,
                'select jsonb_agg(jsonb_build_object(''id'', %2$L, ''is'', ''verify.secret.file''))'
                ' from storage.objects where name = %1$L'
            ),
            ('update', null, 'update storage.objects set metadata = ''{}'' where name = %1$L'),
            ('delete', null, 'delete from storage.objects where name = %1$L'),
            (
                'insert',
                null,
                'insert into storage.objects (bucket_id, name, owner_id, metadata) values'
                ' (''chat-attachments'', %1$L, %2$L, ''{"size": 1, "mimetype": "image/png"}'')'
            ),
            (
                'insert',
                'forged',
                'insert into storage.objects (bucket_id, name, owner_id, metadata) values'
                ' (''chat-attachments'', %1$L, null, ''{"size": 1, "mimetype": "image/png"}'')'
            ),
            (
                'insert',
                'oversized',
                'insert into storage.objects (bucket_id, name, owner_id, metadata) values'
                ' (''chat-attachments'', %1$L, %2$L,'
                ' ''{"size": 1000000000000, "mimetype": "image/png"}'')'
            )
        ) as s (verb, variant, statement)
        where (u.name in ('new', 'misplaced')) = (s.verb = 'insert')
        order by s.verb, s.variant, u.name, p.position
    loop
        perform set_config('storage.allow_delete_query', 'true', true);
        perform pg_temp.verify_try(
            v_attempt.actor,
            v_attempt.verb,
            'storage.objects',
            concat_ws(' ', v_attempt.variant, v_attempt.upload),
            v_attempt.statement
        );
    end loop;
    for v_attempt in
        select
            p.name as actor,
            s.verb,
            s.statement
        from pg_temp.verify_people as p
        cross join (
            values
            ('update', 'update storage.buckets set public = true where id = ''chat-attachments'''),
            ('delete', 'delete from storage.buckets where id = ''chat-attachments''')
        ) as s (verb, statement)
        where p.name in ('owner', 'stranger', 'anon')
        order by s.verb, p.position
    loop
        perform pg_temp.verify_try(
            v_attempt.actor, v_attempt.verb, 'storage.buckets', null, v_attempt.statement
        );
    end loop;
end;
$$;
