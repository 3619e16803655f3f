"""How fast the messages of another system come in, and go again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .laboratory import ROOT, Laboratory
from .results import Results

PART = "import"
_COUNT = 1_000_000
# One table, a pair of users a message: what most applications begin with.
_SOURCE = """
create schema bench_legacy;
create table bench_legacy.users (id integer primary key, email text, username text);
create table bench_legacy.direct_messages (
    id integer primary key, sender_id integer not null, recipient_id integer not null,
    content text, type text default 'text', is_read boolean default false,
    is_deleted boolean default false, is_deleted_by_sender boolean default false,
    is_deleted_by_recipient boolean default false, reply_to_id integer, file_url text,
    file_name text, file_size integer, file_type text, created_at timestamp,
    updated_at timestamp, read_at timestamp, deleted_at timestamp
);
insert into bench_legacy.users
select n, 'person_' || n || '@example.com', 'person_' || n from generate_series(1, %(people)s) as n;
insert into bench_legacy.direct_messages (
    id, sender_id, recipient_id, content, is_read, created_at, updated_at
)
select n, 1 + n %% %(people)s, 1 + (n + 1 + (n / %(people)s) %% %(each)s) %% %(people)s,
    'message ' || n || ' says something that is worth keeping, in words ' || md5(n::text),
    n %% 5 <> 0, at, at
from generate_series(1, %(count)s) as n
cross join lateral (
    select now()::timestamp - interval '20 days' + n * interval '1 second' as at
) as t;
update auth.users set email_confirmed_at = now() where email like 'person\\_%%';
analyze bench_legacy.users, bench_legacy.direct_messages;
"""


@dataclass(frozen=True)
class _Shape:
    """How many messages, of how many people, each of whom writes to how many of the others."""

    messages: int
    people: int
    each: int


def measure(lab: Laboratory, results: Results) -> None:
    """Every step of ``scripts/import`` but the last, which forgets how to go back."""
    count = min(_COUNT, lab.scale.messages // 5)
    _, few = _import(lab, _Shape(count // 10, 200, 1))
    rates, many = _import(lab, _Shape(count, 200, 1))
    for done, rate in rates.items():
        results.add(PART, "messages", done, "/s", [rate])
    # Of the importer itself: what it holds must not grow with what it brings.
    results.add(PART, "memory of apply", "a tenth", "MB", [few])
    results.add(PART, "memory of apply", "all messages", "MB", [many], beside="a tenth")
    # A conversation of its own for each message: what is done once a conversation.
    rates, _ = _import(lab, _Shape(count // 10, 1000, 499))
    for done, rate in rates.items():
        results.add(PART, "conversations of one message", done, "/s", [rate])


def _import(lab: Laboratory, shape: _Shape) -> tuple[dict[str, float], float]:
    """Messages a second of each step, and the megabytes that apply held at most."""
    count = shape.messages
    rates = {}
    with lab.connect("supabase_admin") as admin:
        for statement in _SOURCE.strip().split(";\n"):
            values = (
                {"count": count, "people": shape.people, "each": shape.each}
                if "%(" in statement
                else None
            )
            text = statement if values else statement.replace("%%", "%")
            admin.execute(text.encode(), values)
        admin.execute("grant usage on schema bench_legacy to postgres")
        admin.execute("grant select on all tables in schema bench_legacy to postgres")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "plan.json"
            choices = ("--schema=bench_legacy", "--on=existing=append")
            planned = _step(lab, path, "plan", *choices)
            rates["planned"] = count / planned.seconds
            approved = re.search(r"--approve (\S+)", planned.said)
            assert approved is not None, planned.said
            applied = _step(lab, path, "apply", f"--approve={approved[1]}")
            rates["loaded"] = count / applied.seconds
            for step, done in (("verify", "verified"), ("rollback", "rolled back")):
                rates[done] = count / _step(lab, path, step).seconds
        admin.execute("drop schema bench_legacy cascade")
    return rates, applied.megabytes


@dataclass(frozen=True)
class _Step:
    """What a step took, what it held at most, and what it said."""

    seconds: float
    megabytes: float
    said: str


def _step(lab: Laboratory, plan: Path, step: str, *arguments: str) -> _Step:
    """A run of the command."""
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "importer", "--from=direct_messages"),
                *(f"--db-url={lab.stack.db_url}", f"--plan={plan}", *arguments, step),
            ],
            stdout=said,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")},
        )
        megabytes = 0.0
        while process.poll() is None:
            megabytes = max(megabytes, _peak(process.pid))
            time.sleep(0.02)
        seconds = time.perf_counter() - began
        said.seek(0)
        text = said.read()
    if process.returncode != 0:
        raise AssertionError(text)
    return _Step(seconds, megabytes, text)


def _peak(pid: int) -> float:
    """The most memory that a process has held, in megabytes; 0 when it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0
