"""What a message of 100 characters takes on disk, with all its indexes."""

from __future__ import annotations

import psycopg

from .laboratory import Laboratory, one
from .results import Results

PART = "size"
_CHARACTERS = 100
_COUNT = 200_000
# The messages of the town in the order they came, each text made as long as it should be. Indexes
# grow row by row, as in life; built at once they would be smaller.
_FILL = """
insert into public.bench_size
select m.conversation_id, gen_random_uuid(), m.sender_id, m.seq, m.rev, m.created_at, m.expires_at,
    m.kind, m.is_changed, rpad(m.body, %s, ' ' || m.body || ' '), m.metadata
from (select * from chat.messages where body is not null order by created_at limit %s) as m
"""


def measure(lab: Laboratory, results: Results) -> None:
    """A table like ``chat.messages``, and ``chat.messages`` as it was loaded."""
    with lab.connect("supabase_admin") as admin:
        admin.execute("create table public.bench_size (like chat.messages including all)")
        admin.execute(_FILL, (_CHARACTERS, _COUNT))
        sizes = {f"{_CHARACTERS} characters": _sizes(admin, "public.bench_size")}
        admin.execute("drop table public.bench_size")
        length = round(float(one(admin, "select avg(length(body)) from chat.messages")))
        sizes[f"as loaded, {length} characters on average"] = _sizes(admin, "chat.messages")
    for what, found in sizes.items():
        for name, size in found.items():
            results.add(PART, what, name, "bytes", [size])


def _sizes(admin: psycopg.Connection, table: str) -> dict[str, float]:
    """Bytes a message: of all, of the table, and of each index by its columns or purpose."""
    count = int(one(admin, f"select count(*) from {table}"))
    rows = admin.execute(
        "select regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING ', ''),"
        " pg_relation_size(i.indexrelid)"
        " from pg_index as i where i.indrelid = %s::regclass order by 2 desc",
        (table,),
    ).fetchall()
    indexes = {_short(name): size / count for name, size in rows}
    heap = int(one(admin, "select pg_table_size(%s)", (table,))) / count
    return {"all": heap + sum(indexes.values()), "table": heap, **indexes}


def _short(definition: str) -> str:
    """An index without its options and expressions' arguments."""
    if definition.startswith("gin"):
        return "index for search"
    if "expires_at" in definition:
        return "index of expiry"
    return "index " + definition.partition(" ")[2].partition(" WHERE ")[0]
