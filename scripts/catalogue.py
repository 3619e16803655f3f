"""What a database consists of, to compare before and after."""

from __future__ import annotations

import psycopg

# Everything that the catalogue tells apart, by name: oids differ.
_QUERY = """
select 'schema', nspname, coalesce(nspacl::text, '') from pg_namespace
where nspname !~ '^pg_(toast_)?temp'
union all
select 'relation', c.oid::regclass::text, concat_ws(
    ' ',
    c.relkind,
    c.relrowsecurity,
    -- In no order of their own.
    case when c.relacl is not null then array(select unnest(c.relacl)::text order by 1)::text end,
    c.reloptions::text,
    c.relpersistence
)
from pg_class as c where c.relnamespace <> 'pg_toast'::regnamespace
union all
select 'column', a.attrelid::regclass || '.' || a.attname, concat_ws(
    ' ',
    format_type(a.atttypid, a.atttypmod),
    a.attnotnull,
    case when a.attacl is not null then array(select unnest(a.attacl)::text order by 1)::text end,
    pg_get_expr(d.adbin, d.adrelid)
)
from pg_attribute as a
inner join pg_class as c on a.attrelid = c.oid and c.relnamespace <> 'pg_toast'::regnamespace
left join pg_attrdef as d on a.attrelid = d.adrelid and a.attnum = d.adnum
where a.attnum > 0 and not a.attisdropped
union all
select 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
from pg_constraint where conrelid <> 0
union all
select 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid) from pg_index
where indexrelid::regclass::text not like 'pg_toast.%'
union all
select 'policy', polrelid::regclass || '.' || polname, concat_ws(
    ' ', polcmd, polroles::text, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)
)
from pg_policy
union all
select 'trigger', tgrelid::regclass || '.' || tgname, pg_get_triggerdef(oid)
from pg_trigger where not tgisinternal
union all
select 'function', oid::regprocedure::text, concat_ws(
    ' ', md5(coalesce(prosrc, '') || coalesce(pg_get_function_sqlbody(oid), '')),
    case when proacl is not null then array(select unnest(proacl)::text order by 1)::text end
)
from pg_proc
union all
select 'type', oid::regtype::text, typtype::text from pg_type
where typnamespace <> 'pg_toast'::regnamespace
union all
select 'publication', p.pubname, concat_ws(' ', p.puballtables, t.tables)
from pg_publication as p
left join lateral (
    select string_agg(schemaname || '.' || tablename, ', ' order by schemaname, tablename) as tables
    from pg_publication_tables where pubname = p.pubname
) as t on true
union all
select
    'default grants',
    defaclrole::regrole || ' ' || defaclnamespace::regnamespace || ' ' || defaclobjtype::text,
    defaclacl::text
from pg_default_acl
union all
select 'event trigger', evtname, evtfoid::regprocedure::text from pg_event_trigger
union all
select 'extension', extname, extversion from pg_extension
union all
select 'role', rolname, concat_ws(
    ' ', rolsuper, rolbypassrls, rolcanlogin, rolcreaterole, rolconfig::text
)
from pg_roles
union all
select 'member', roleid::regrole || ' of ' || member::regrole, '' from pg_auth_members
union all
select 'bucket', id, concat_ws(' ', name, public) from storage.buckets
union all
select 'setting', coalesce(setdatabase::text, '') || setrole, setconfig::text
from pg_db_role_setting
order by 1, 2, 3
"""


def read_catalogue(connection: psycopg.Connection) -> set[tuple[str, str, str]]:
    """Every object as (kind, name, definition)."""
    with connection.transaction():
        connection.execute("set local search_path = ''")
        return set(connection.execute(_QUERY).fetchall())
