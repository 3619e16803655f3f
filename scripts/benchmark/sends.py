"""How many messages a second the database takes, next to inserts into a bare table."""

from __future__ import annotations

from .laboratory import Laboratory, one
from .pgbench import ACT, Load, pgbench
from .processes import Meter
from .results import Results
from .town import HALL_MEMBERS, HALL_ROOMS, Town

PART = "sends"
_MIDDLE = 8
_CONNECTIONS = (1, _MIDDLE, 32)
_BARE = """
create table public.bench_bare (
    id bigint generated always as identity primary key,
    conversation_id uuid not null,
    sender_id uuid not null,
    body text not null,
    created_at timestamptz not null default now()
)
"""


def _id(mark: str, number: str) -> str:
    return f"('00000000-0000-4000-{mark}-' || lpad(to_hex(({number})::bigint), 12, '0'))"


def hall_script(town: Town) -> str:
    """Each connection is somebody of the hall, who sends to the ten rooms that they are in."""
    place = f":client_id::bigint * {HALL_ROOMS} / :clients"
    user = _id("9000", f"{town.scale.users - HALL_ROOMS + 1} + {place}")
    number = f"{town.hall[0].number} + ({place} + :back) % {HALL_ROOMS}"
    return (
        ACT.format(user=user)
        + f"\\set back random(0, {HALL_MEMBERS - 1})\n"
        + f"select chat.send_message({_id('a000', number)}::uuid, repeat('x', 100));\n"
    )


def _bare_script(town: Town) -> str:
    """The same ids and text, no index but the key, no trigger, no policy."""
    return (
        f"\\set room random({town.hall[0].number}, {town.hall[-1].number})\n"
        "insert into public.bench_bare (conversation_id, sender_id, body)"
        f" values ({_id('a000', ':room')}::uuid, {_id('9000', '1 + :client_id')}::uuid,"
        " repeat('x', 100)) returning *;\n"
    )


def one_room_script(town: Town, room: int) -> str:
    """Everybody in one conversation, where one writes at a time."""
    members = town.rooms[room - 1].members
    users = ", ".join(f"'{_id_text(number)}'" for number in members)
    user = f"(array[{users}])[1 + :client_id::integer % {len(members)}]"
    return (
        ACT.format(user=user)
        + f"select chat.send_message({_id('a000', str(room))}::uuid, repeat('x', 100));\n"
    )


def _id_text(number: int) -> str:
    return f"00000000-0000-4000-9000-{number:012x}"


def measure(lab: Laboratory, results: Results) -> None:
    """Bare inserts and sends in turn, at each number of connections."""
    with lab.connect() as owner:
        owner.execute(_BARE)
    bare, hall = _bare_script(lab.town), hall_script(lab.town)
    for connections in _CONNECTIONS:
        _compare(
            lab,
            results,
            f"200 rooms of 10, {connections} connections",
            {"bare insert": bare, "send": hall},
            connections,
        )
    _few_events(lab, results, hall)
    _compare(
        lab,
        results,
        f"a group of {lab.scale.big_group:,}, 8 connections",
        {"send": one_room_script(lab.town, lab.town.big_group.number)},
        _MIDDLE,
    )
    _compare(
        lab,
        results,
        "one conversation of 10, 8 connections",
        {"send": one_room_script(lab.town, 1)},
        _MIDDLE,
    )
    with lab.connect() as owner:
        owner.execute("drop table public.bench_bare")


def _few_events(lab: Laboratory, results: Results, hall: str) -> None:
    """What a send costs, and what it costs when no inbox is told of it."""
    with lab.connect() as owner:
        usual = one(owner, "select max(fan_out_limit) from chat.settings")
        for limit, what in ((usual, "events for all"), (1, "events for no inbox")):
            owner.execute("update chat.settings set fan_out_limit = %s", (limit,))
            meter = Meter(lab)
            load = pgbench(
                lab,
                hall,
                connections=_MIDDLE,
                seconds=lab.scale.seconds,
            )
            meter.add(results, PART, f"send, {what}", len(load.taken))
            results.add(PART, f"send, {what}, rate", f"{_MIDDLE} connections", "/s", [load.rate])
        owner.execute("update chat.settings set fan_out_limit = %s", (usual,))


def _compare(
    lab: Laboratory, results: Results, what: str, scripts: dict[str, str], connections: int
) -> None:
    loads: dict[str, list[Load]] = {how: [] for how in scripts}
    for _ in range(lab.scale.repeats):
        for how, script in scripts.items():
            loads[how].append(
                pgbench(
                    lab,
                    script,
                    connections=connections,
                    seconds=lab.scale.seconds,
                )
            )
    for how, made in loads.items():
        beside = "bare insert" if how == "send" and "bare insert" in scripts else None
        results.add(PART, f"{what}, rate", how, "/s", [load.rate for load in made], beside=beside)
        results.add(
            PART,
            f"{what}, latency",
            how,
            "ms",
            [taken for load in made for taken in load.taken],
            beside=beside,
        )
