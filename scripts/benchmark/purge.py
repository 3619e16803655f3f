"""How fast what has expired is removed, and what that does to those who send meanwhile."""

from __future__ import annotations

import json
import threading
import time

import psycopg

from .laboratory import Laboratory
from .pgbench import Load, pgbench
from .results import Results
from .scales import Scale
from .sends import hall_script

PART = "purge"
_CONNECTIONS = 8
_BATCH = 1000
_ALONE = 50_000
_MEANWHILE = 150_000
_SHARE = 0.2
"""Of all messages, at most."""


def measure(lab: Laboratory, results: Results) -> None:
    """Some messages with nothing else going on, then more while others send."""
    with lab.connect("supabase_admin") as admin:
        _expire(admin, lab.scale, _ALONE)
        results.add(PART, "expired messages marked", "alone", "/s", [_sweep(admin, "marked")])
        _forget_window(admin)
        results.add(PART, "messages purged", "alone", "/s", [_sweep(admin, "purged")])

        quiet = _send(lab)
        _expire(admin, lab.scale, _MEANWHILE)
        _sweep(admin, "marked")
        _forget_window(admin)
        sends: list[Load] = []
        sending = threading.Thread(target=lambda: sends.append(_send(lab)))
        sending.start()
        purged = _sweep(admin, "purged", sending)
        sending.join()
        results.add(PART, "messages purged", "beside sends", "/s", [purged], beside="alone")
        what = f"send, {_CONNECTIONS} connections"
        for how, load in (("alone", quiet), ("beside the purge", sends[0])):
            beside = None if how == "alone" else "alone"
            results.add(PART, f"{what}, rate", how, "/s", [load.rate], beside=beside)
            results.add(PART, f"{what}, latency", how, "ms", load.taken, beside=beside)


def _send(lab: Laboratory) -> Load:
    return pgbench(
        lab,
        hall_script(lab.town),
        connections=_CONNECTIONS,
        seconds=lab.scale.seconds,
        variables={"clients": _CONNECTIONS},
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
        " update chat.messages as m set expires_at = now() - interval '40 days',"
        " created_at = m.created_at - interval '70 days'"
        " from oldest where m.conversation_id = oldest.conversation_id and m.seq < oldest.until"
        " and m.deleted_at is null",
        (share,),
    )
    admin.execute("update chat.conversations set expires_from = now() - interval '40 days'")
    admin.execute("set session_replication_role = origin")
    admin.execute("vacuum (analyze) chat.messages, chat.conversations")


def _forget_window(admin: psycopg.Connection) -> None:
    """What was removed can be restored for a while; here that is over."""
    admin.execute(
        "update chat_private.deleted_messages"
        " set removed_at = removed_at - interval '1 year', due_at = now() where purged_at is null"
    )


def _sweep(admin: psycopg.Connection, what: str, sending: threading.Thread | None = None) -> float:
    """Messages a second that were ``marked`` or ``purged``, until none is left or sending ends."""
    done, spent, cursor = 0, 0.0, None
    while True:
        began = time.perf_counter()
        row = admin.execute(
            "select chat_private.sweep_messages(%s, %s)",
            (_BATCH, json.dumps(cursor) if cursor else None),
        ).fetchone()
        taken = time.perf_counter() - began
        assert row is not None
        answer = row[0]
        if answer[what]:
            done += answer[what]
            spent += taken
        cursor = answer["cursor"]
        if not answer["has_more"] or (sending and not sending.is_alive()):
            return done / (spent or 1e-9)
