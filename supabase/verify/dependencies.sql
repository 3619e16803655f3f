-- What must be there before what, among the things that structure.sql lists, as rows of two
-- addresses (catalogue, object, part), the dependent first: pg_depend, where a default is its
-- column, a view's query the view, a constraint's index the constraint, and a row type its table.
with named (catalogue, object, part, as_catalogue, as_object, as_part) as (
    select 'pg_catalog.pg_attrdef'::pg_catalog.regclass, d.oid, 0,
        'pg_catalog.pg_class'::pg_catalog.regclass, d.adrelid, d.adnum::integer
    from pg_catalog.pg_attrdef as d
    union all
    select 'pg_catalog.pg_rewrite'::pg_catalog.regclass, w.oid, 0,
        'pg_catalog.pg_class'::pg_catalog.regclass, w.ev_class, 0
    from pg_catalog.pg_rewrite as w
    where w.rulename = '_RETURN'
    union all
    select 'pg_catalog.pg_class'::pg_catalog.regclass, k.conindid, 0,
        'pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid, 0
    from pg_catalog.pg_constraint as k
    where k.contype in ('p', 'u', 'x')
    union all
    -- Columns of views, types and indexes are not made alone.
    select
        'pg_catalog.pg_class'::pg_catalog.regclass,
        a.attrelid,
        a.attnum::integer,
        case c.relkind
            when 'c' then 'pg_catalog.pg_type'::pg_catalog.regclass
            else 'pg_catalog.pg_class'::pg_catalog.regclass
        end,
        case c.relkind when 'c' then c.reltype else a.attrelid end,
        0
    from pg_catalog.pg_attribute as a
    inner join pg_catalog.pg_class as c on a.attrelid = c.oid
    where c.relkind <> 'r' and a.attnum > 0
    union all
    select 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid, 0,
        'pg_catalog.pg_class'::pg_catalog.regclass, t.typrelid, 0
    from pg_catalog.pg_type as t
    inner join pg_catalog.pg_class as c on t.typrelid = c.oid
    where c.relkind <> 'c'
    union all
    select 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid, 0,
        case when c.relkind <> 'c' then 'pg_catalog.pg_class'::pg_catalog.regclass
            else 'pg_catalog.pg_type'::pg_catalog.regclass end,
        case when c.relkind <> 'c' then c.oid else e.oid end,
        0
    from pg_catalog.pg_type as t
    inner join pg_catalog.pg_type as e on t.typelem = e.oid and e.typarray = t.oid
    left join pg_catalog.pg_class as c on e.typrelid = c.oid
    where e.typnamespace in (
        pg_catalog.to_regnamespace('chat'), pg_catalog.to_regnamespace('chat_private')
    )
)

select distinct
    coalesce(n.as_catalogue, d.classid)::pg_catalog.oid,
    coalesce(n.as_object, d.objid),
    coalesce(n.as_part, d.objsubid),
    coalesce(m.as_catalogue, d.refclassid)::pg_catalog.oid,
    coalesce(m.as_object, d.refobjid),
    coalesce(m.as_part, d.refobjsubid)
from pg_catalog.pg_depend as d
left join named as n on (d.classid, d.objid, d.objsubid) = (n.catalogue, n.object, n.part)
left join named as m on (d.refclassid, d.refobjid, d.refobjsubid) = (m.catalogue, m.object, m.part)
union all
-- A column after its table.
select
    'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid, a.attrelid, a.attnum::integer,
    'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid, a.attrelid, 0
from pg_catalog.pg_attribute as a
inner join pg_catalog.pg_class as c on a.attrelid = c.oid
where
    a.attnum > 0
    and c.relkind = 'r'
    and c.relnamespace in (
        pg_catalog.to_regnamespace('chat'), pg_catalog.to_regnamespace('chat_private')
    );
