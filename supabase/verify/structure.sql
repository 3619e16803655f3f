-- What Parley consists of, as rows (kind, name, definition): one query on the catalogue, run with
-- an empty search_path. structure.json is what it says of the migrations; `scripts/verify` compares.
-- The other columns are addresses in this database: where the catalogue has it, and the oid of what
-- it is a part of, 0 if of nothing.
with schemas as (
    select n.oid, n.nspname, n.nspacl, n.nspowner
    from pg_catalog.pg_namespace as n
    where n.nspname in ('chat', 'chat_private')
),

relations as (
    select c.*, s.nspname || '.' || c.relname as name
    from pg_catalog.pg_class as c
    inner join schemas as s on c.relnamespace = s.oid
    where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
),

functions as (
    select
        p.*,
        s.nspname || '.' || p.proname || '('
        || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')' as name
    from pg_catalog.pg_proc as p
    inner join schemas as s on p.pronamespace = s.oid
),

-- Grants to anybody but the owner, by what they are on.
grants as (
    select
        'schema ' || s.nspname as name,
        a.grantee,
        a.privilege_type,
        a.is_grantable,
        'pg_catalog.pg_namespace'::pg_catalog.regclass as catalogue,
        s.oid as object,
        0 as part
    from schemas as s
    cross join
        lateral pg_catalog.aclexplode(
            coalesce(s.nspacl, pg_catalog.acldefault('n', s.nspowner))
        ) as a
    where a.grantee <> s.nspowner
    union all
    select
        r.name, a.grantee, a.privilege_type, a.is_grantable,
        'pg_catalog.pg_class'::pg_catalog.regclass, r.oid, 0
    from relations as r
    cross join lateral pg_catalog.aclexplode(r.relacl) as a
    where a.grantee <> r.relowner
    union all
    select
        r.name || '.' || t.attname, a.grantee, a.privilege_type, a.is_grantable,
        'pg_catalog.pg_class'::pg_catalog.regclass, r.oid, t.attnum
    from relations as r
    inner join pg_catalog.pg_attribute as t on r.oid = t.attrelid
    cross join lateral pg_catalog.aclexplode(t.attacl) as a
    where a.grantee <> r.relowner
    union all
    select
        f.name, a.grantee, a.privilege_type, a.is_grantable,
        'pg_catalog.pg_proc'::pg_catalog.regclass, f.oid, 0
    from functions as f
    cross join
        lateral pg_catalog.aclexplode(
            coalesce(f.proacl, pg_catalog.acldefault('f', f.proowner))
        ) as a
    where a.grantee <> f.proowner
),

-- Whoever owns schema chat owns everything: functions act as their owner, and RLS is not for owners.
owners as (
    select 'pg_catalog.pg_class'::pg_catalog.regclass as catalogue, r.oid, r.name, r.relowner as owner
    from relations as r
    union all
    select 'pg_catalog.pg_proc'::pg_catalog.regclass, f.oid, f.name, f.proowner
    from functions as f
    union all
    select 'pg_catalog.pg_namespace'::pg_catalog.regclass, s.oid, 'schema ' || s.nspname, s.nspowner
    from schemas as s
),

-- Ours wherever they are; those of a host project's own on the same tables are its business.
policies as (
    select p.*, n.nspname || '.' || c.relname as relation
    from pg_catalog.pg_policy as p
    inner join pg_catalog.pg_class as c on p.polrelid = c.oid
    inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
    where n.nspname in ('chat', 'chat_private') or p.polname like 'parley: %'
),

triggers as (
    select t.*, n.nspname || '.' || c.relname as relation
    from pg_catalog.pg_trigger as t
    inner join pg_catalog.pg_class as c on t.tgrelid = c.oid
    inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
    left join functions as f on t.tgfoid = f.oid
    where
        not t.tgisinternal
        and (n.nspname in ('chat', 'chat_private') or f.oid is not null or t.tgname like 'parley\_%')
),

described (kind, name, catalogue, object, part, part_of, definition) as (
    select
        'table', r.name, 'pg_catalog.pg_class'::pg_catalog.regclass, r.oid, 0,
        0::pg_catalog.oid, pg_catalog.concat_ws(
        ', ',
        case r.relkind
            when 'r' then 'table'
            when 'p' then 'partitioned table'
            when 'v' then 'view'
            when 'm' then 'materialized view'
            when 'S' then 'sequence'
            else 'foreign table'
        end,
        case when r.relkind in ('r', 'p') then
            'row level security ' || case when r.relrowsecurity then 'on' else 'off' end
        end,
        case when r.relforcerowsecurity then 'forced' end,
        case when r.relpersistence = 'u' then 'unlogged' end,
        pg_catalog.array_to_string(r.reloptions, ', '),
        case when r.relkind in ('v', 'm') then
            'query ' || pg_catalog.md5(
                -- Of a single relation PostgreSQL 15 names columns with its alias, later ones
                -- without. In subqueries all of them do, where every alias is another.
                coalesce(
                    pg_catalog.regexp_replace(
                        v.query,
                        '\m' || pg_catalog.substring(v.query, '\n   FROM [\w.]+(?:\(\))? (\w+)[(\n;]') || '\.',
                        '',
                        'g'
                    ),
                    v.query
                )
            )
        end
    )
    from relations as r
    cross join lateral pg_catalog.pg_get_viewdef(r.oid) as v (query)
    union all
    select
        'column', r.name || '.' || t.attname, 'pg_catalog.pg_class'::pg_catalog.regclass, r.oid,
        t.attnum, r.oid, pg_catalog.concat_ws(
        ' ',
        pg_catalog.format_type(t.atttypid, t.atttypmod),
        case when t.attnotnull then 'not null' end,
        case t.attidentity when 'a' then 'identity always' when 'd' then 'identity' end,
        case t.attgenerated when 's' then 'generated' when 'v' then 'generated virtual' end,
        'default ' || pg_catalog.pg_get_expr(d.adbin, d.adrelid)
    )
    from relations as r
    inner join pg_catalog.pg_attribute as t on r.oid = t.attrelid
    left join pg_catalog.pg_attrdef as d on t.attrelid = d.adrelid and t.attnum = d.adnum
    where t.attnum > 0 and not t.attisdropped and r.relkind <> 'S'
    union all
    select
        case k.contype
            when 'p' then 'primary key'
            when 'u' then 'unique constraint'
            when 'f' then 'foreign key'
            when 'c' then 'check'
            when 'x' then 'exclusion'
            else 'constraint'
        end,
        coalesce(r.name, pg_catalog.format_type(k.contypid, null)) || ' ' || k.conname,
        'pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid, 0, k.conrelid,
        pg_catalog.pg_get_constraintdef(k.oid)
    from pg_catalog.pg_constraint as k
    inner join schemas as s on k.connamespace = s.oid
    left join relations as r on k.conrelid = r.oid
    -- Not-null constraints have rows from PostgreSQL 18 on; columns say it in all versions.
    where k.contype in ('p', 'u', 'f', 'c', 'x')
    union all
    select
        'index', i.indexrelid::pg_catalog.regclass::text,
        'pg_catalog.pg_class'::pg_catalog.regclass, i.indexrelid, 0, coalesce(k.oid, i.indrelid),
        pg_catalog.pg_get_indexdef(i.indexrelid)
        || case when i.indisvalid then '' else ' (not valid)' end
    from pg_catalog.pg_index as i
    inner join relations as r on i.indrelid = r.oid
    left join pg_catalog.pg_constraint as k
        on i.indexrelid = k.conindid and i.indrelid = k.conrelid and k.contype in ('p', 'u', 'x')
    union all
    select
        'policy', p.relation || ' "' || p.polname || '"',
        'pg_catalog.pg_policy'::pg_catalog.regclass, p.oid, 0, p.polrelid, pg_catalog.concat_ws(
        ' ',
        case when p.polpermissive then 'permissive' else 'restrictive' end,
        'for',
        case p.polcmd
            when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update'
            when 'd' then 'delete' else 'all'
        end,
        'to',
        (
            select pg_catalog.string_agg(
                case u.id when 0 then 'public' else pg_catalog.pg_get_userbyid(u.id) end,
                ', ' order by pg_catalog.pg_get_userbyid(u.id)
            )
            from pg_catalog.unnest(p.polroles) as u (id)
        ),
        'using (' || pg_catalog.pg_get_expr(p.polqual, p.polrelid) || ')',
        'with check (' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) || ')'
    )
    from policies as p
    union all
    select
        'trigger', t.relation || ' ' || t.tgname,
        'pg_catalog.pg_trigger'::pg_catalog.regclass, t.oid, 0, t.tgrelid,
        pg_catalog.pg_get_triggerdef(t.oid)
        || case t.tgenabled
            when 'O' then '' when 'D' then ' (disabled)' when 'A' then ' (always)'
            else ' (for replicas)'
        end
    from triggers as t
    union all
    select 'rule', r.name || ' ' || w.rulename,
        'pg_catalog.pg_rewrite'::pg_catalog.regclass, w.oid, 0, r.oid,
        pg_catalog.pg_get_ruledef(w.oid)
    from pg_catalog.pg_rewrite as w
    inner join relations as r on w.ev_class = r.oid
    where w.rulename <> '_RETURN'
    union all
    select
        'function', f.name, 'pg_catalog.pg_proc'::pg_catalog.regclass, f.oid, 0, 0,
        pg_catalog.concat_ws(
        ', ',
        'returns ' || pg_catalog.pg_get_function_result(f.oid),
        (select l.lanname from pg_catalog.pg_language as l where l.oid = f.prolang),
        case when f.prosecdef then 'security definer' else 'security invoker' end,
        case f.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
        case f.proparallel when 's' then 'parallel safe' end,
        case when f.proisstrict then 'strict' end,
        case when f.proleakproof then 'leakproof' end,
        coalesce(pg_catalog.array_to_string(f.proconfig, ', '), 'no search_path'),
        'arguments ' || pg_catalog.md5(pg_catalog.pg_get_function_arguments(f.oid)),
        'body ' || pg_catalog.md5(
            coalesce(pg_catalog.pg_get_function_sqlbody(f.oid), f.prosrc)
        )
    )
    from functions as f
    union all
    select
        'type', s.nspname || '.' || t.typname, 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid, 0,
        0, case t.typtype
            when 'e' then (
                select 'enum ' || pg_catalog.string_agg(e.enumlabel, ', ' order by e.enumsortorder)
                from pg_catalog.pg_enum as e
                where e.enumtypid = t.oid
            )
            when 'c' then (
                select
                    'row of ' || pg_catalog.string_agg(
                        a.attname || ' ' || pg_catalog.format_type(a.atttypid, a.atttypmod),
                        ', ' order by a.attnum
                    )
                from pg_catalog.pg_attribute as a
                where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
            )
        end
    from pg_catalog.pg_type as t
    inner join schemas as s on t.typnamespace = s.oid
    left join pg_catalog.pg_class as c on t.typrelid = c.oid
    where t.typtype in ('e', 'd') or c.relkind = 'c'
    union all
    select
        'grant',
        g.name || ' to '
        || case g.grantee when 0 then 'public' else pg_catalog.pg_get_userbyid(g.grantee) end,
        g.catalogue, g.object, g.part,
        case when g.catalogue <> 'pg_catalog.pg_namespace'::pg_catalog.regclass then g.object else 0 end,
        pg_catalog.string_agg(
            pg_catalog.lower(g.privilege_type)
            || case when g.is_grantable then ' with grant option' else '' end,
            ', ' order by g.privilege_type
        )
    from grants as g
    group by g.name, g.grantee, g.catalogue, g.object, g.part
    union all
    select 'owner', o.name, o.catalogue, o.oid, 0, o.oid, pg_catalog.pg_get_userbyid(o.owner)
    from owners as o
    where o.owner <> (select s.nspowner from schemas as s where s.nspname = 'chat')
    union all
    select
        'publication', p.pubname || ' ' || n.nspname || '.' || c.relname,
        'pg_catalog.pg_publication_rel'::pg_catalog.regclass, m.oid, 0, c.oid, pg_catalog.concat_ws(
            ' ',
            'published',
            'columns ' || m.prattrs::text,
            'where ' || pg_catalog.pg_get_expr(m.prqual, m.prrelid)
        )
    from pg_catalog.pg_publication_rel as m
    inner join pg_catalog.pg_publication as p on m.prpubid = p.oid
    inner join pg_catalog.pg_class as c on m.prrelid = c.oid
    inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
    where n.nspname in ('chat', 'chat_private')
    union all
    -- Row security stops neither these.
    select
        'role', r.rolname, 'pg_catalog.pg_authid'::pg_catalog.regclass, r.oid, 0, 0,
        pg_catalog.concat_ws(
        ', ',
        case when r.rolsuper then 'superuser' end,
        case when r.rolbypassrls then 'bypasses row level security' else 'obeys row level security' end
    )
    from pg_catalog.pg_roles as r
    where r.rolname in ('anon', 'authenticated')
)

select
    d.kind,
    d.name,
    coalesce(d.definition, '') as definition,
    d.catalogue::pg_catalog.oid,
    d.object,
    d.part,
    d.part_of
from described as d
order by d.kind collate "C", d.name collate "C";
