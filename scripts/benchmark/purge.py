"""How fast what has expired is removed, and what that does to those who send meanwhile."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psycopg

from .laboratory import Laboratory
from .pgbench import Load, pgbench
from .results import Results
from .scales import Scale
from .sends import hall_script

PART = "purge"
_CONNECTIONS = 8
_SENDS_PER_SECOND = 50
"""What the design's other aims have: a thousand people at once."""
_BATCH = 1000
_ALONE = 50_000
_MEANWHILE = 150_000
_SHARE = 0.2
"""Of all messages, at most."""


def measure(lab: Laboratory, results: Results) -> None:
    """By one sweep and by two, with nothing else going on; then by two while others send."""
    with lab.connect("supabase_admin") as admin:
        for sweeps, how in ((1, "one sweep"), (2, "two sweeps")):
            _expire(admin, lab.scale, _ALONE)
            for what, done in (
                ("expired messages marked", "marked"),
                ("messages purged", "purged"),
            ):
                before = _rows_read(admin)
                swept = _sweep(lab, done, sweeps)
                results.add(PART, what, how, "/s", [swept.count / swept.seconds])
                for rows, old, new in zip(
                    ("in scans of tables", "by indexes"), before, _rows_read(admin), strict=True
                ):
                    read = (new - old) / swept.count
                    results.add(PART, f"rows read a message {done}, {rows}", how, "rows", [read])
                if done == "marked":
                    _forget_window(admin)
        for rate in (_SENDS_PER_SECOND, None):
            _beside_sends(lab, admin, results, rate)


def _beside_sends(
    lab: Laboratory, admin: psycopg.Connection, results: Results, rate: int | None
) -> None:
    """Two sweeps, while others send so much a second, or as much as they can."""
    quiet = _send(lab, rate)
    _expire(admin, lab.scale, _MEANWHILE)
    _sweep(lab, "marked", 2)
    _forget_window(admin)
    sends: list[Load] = []
    sending = threading.Thread(target=lambda: sends.append(_send(lab, rate)))
    sending.start()
    purged = _sweep(lab, "purged", 2, sending)
    sending.join()
    what = f"{rate} sends/s" if rate else f"sends of {_CONNECTIONS} connections"
    results.add(
        PART,
        "messages purged",
        f"beside {what}",
        "/s",
        [purged.count / purged.seconds],
        beside="two sweeps",
    )
    for how, load in (("alone", quiet), ("beside the purge", sends[0])):
        beside = None if how == "alone" else "alone"
        results.add(PART, f"{what}, rate", how, "/s", [load.rate], beside=beside)
        results.add(PART, f"{what}, latency", how, "ms", load.taken, beside=beside)


def _send(lab: Laboratory, rate: int | None) -> Load:
    return pgbench(
        lab,
        hall_script(lab.town),
        connections=_CONNECTIONS,
        seconds=lab.scale.seconds,
        rate=rate,
    )


def _expire(admin: psycopg.Connection, scale: Scale, count: int) -> None:
    """Lets so many of the oldest messages of all conversations have expired long ago."""
    share = min(_SHARE, count / scale.messages)
    admin.execute("set session_replication_role = replica")
    admin.execute(
        "with oldest as ("
        "select m.conversation_id, min(m.seq) + c.last_seq * %s::float8 as until"
        " from chat.messages as m inner join chat.conversations as c on m.conversation_id = c.id"
        " where m.deleted_at is null group by m.conversation_id, c.last_seq)"
        " update chat.messages as m set expires_at = m.expires_at - interval '70 days',"
        " created_at = m.created_at - interval '70 days'"
        " from oldest where m.conversation_id = oldest.conversation_id and m.seq < oldest.until"
        " and m.deleted_at is null",
        (share,),
    )
    admin.execute("update chat.conversations set expires_from = now() - interval '40 days'")
    admin.execute("set session_replication_role = origin")
    admin.execute("vacuum (analyze, index_cleanup off) chat.messages, chat.conversations")


def _forget_window(admin: psycopg.Connection) -> None:
    """What was removed can be restored for a while; here that is over."""
    admin.execute(
        "update chat_private.deleted_messages"
        " set removed_at = removed_at - interval '1 year', due_at = now() where purged_at is null"
    )


@dataclass(frozen=True)
class _Swept:
    """How many messages in how long."""

    count: int
    seconds: float


def _sweep(
    lab: Laboratory, what: str, sweeps: int, sending: threading.Thread | None = None
) -> _Swept:
    """What so many sweeps ``marked`` or ``purged``, while there was anything."""

    def sweep(_: int) -> _Swept:
        done, spent, cursor = 0, 0.0, None
        with lab.connect("supabase_admin") as admin:
            while True:
                began = time.perf_counter()
                row = admin.execute(
                    "select chat_private.sweep_messages(%s, %s)",
                    (_BATCH, json.dumps(cursor) if cursor else None),
                ).fetchone()
                assert row is not None
                answer = row[0]
                if answer[what]:
                    done += answer[what]
                    spent += time.perf_counter() - began
                cursor = answer["cursor"]
                if not answer["has_more"] or (sending and not sending.is_alive()):
                    admin.execute("select pg_stat_force_next_flush()")
                    return _Swept(done, spent)

    with ThreadPoolExecutor(sweeps) as pool:
        swept = list(pool.map(sweep, range(sweeps)))
    return _Swept(sum(each.count for each in swept), max(each.seconds for each in swept) or 1e-9)


def _rows_read(admin: psycopg.Connection) -> tuple[int, int]:
    """By everybody so far, of Parley's tables: in scans of whole tables, and by indexes."""
    # What this session read itself belongs to what was before.
    admin.execute("select pg_stat_force_next_flush()")
    row = admin.execute(
        "select sum(t.seq_tup_read)::bigint, sum(t.idx_tup_fetch)::bigint"
        " from pg_stat_user_tables as t where t.schemaname in ('chat', 'chat_private')"
    ).fetchone()
    assert row is not None
    return row
