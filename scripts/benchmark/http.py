"""Requests to bare PostgREST, through the gateway, with httpx and with the SDK."""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from parley import AsyncConversation, AsyncParley, new_id
from parley._async.messages import SELECT
from parley_stack.testing import Stack

from .laboratory import Laboratory
from .processes import Meter
from .requests import load, request
from .results import Results
from .town import HALL_MEMBERS, HALL_ROOMS, POWER_USER, hall_user, person

PART = "http"
_CONNECTIONS = 8
_SENDERS = (8, 32)
_WARM_UP = 10
_IMPORTS = 9

Work = Callable[[], Awaitable[object]]


def measure(lab: Laboratory, results: Results) -> None:
    """Rates of PostgREST and of the gateway in front of it; latencies of clients."""
    rest = lab.sockets() / "postgrest.sock"
    at = urlsplit(lab.stack.api_url)
    assert at.hostname is not None
    assert at.port is not None
    _reads(lab, results, {"PostgREST": rest, "gateway": (at.hostname, at.port)})
    _sends(lab, results, (at.hostname, at.port))
    asyncio.run(_clients(lab.stack, lab.scale.rounds, results))
    _imports(results)


def _reads(lab: Laboratory, results: Results, addresses: dict[str, Path | tuple[str, int]]) -> None:
    token = lab.token(person(POWER_USER))
    room = lab.town.rooms[0].id
    query = f"/messages?select=seq,body&conversation_id=eq.{room}&order=seq.desc&limit=10"
    rates: dict[str, list[float]] = {how: [] for how in addresses}
    taken: dict[str, list[float]] = {how: [] for how in addresses}
    for _ in range(lab.scale.repeats):
        for how, address in addresses.items():
            path = query if how == "PostgREST" else f"/rest/v1{query}"
            endless = functools.partial(_repeat, request(path, token))
            answers = load(address, endless, _CONNECTIONS, lab.scale.seconds)
            rates[how].append(len(answers) / lab.scale.seconds)
            taken[how] += answers
    what = f"10 messages, {_CONNECTIONS} connections"
    for how in addresses:
        beside = "PostgREST" if how == "gateway" else None
        results.add(PART, f"{what}, rate", how, "/s", rates[how], beside=beside)
        results.add(PART, f"{what}, latency", how, "ms", taken[how], beside=beside)


def _repeat(asked: bytes, _: int) -> Iterator[bytes]:
    return itertools.repeat(asked)


def _sends(lab: Laboratory, results: Results, gateway: tuple[str, int]) -> None:
    """Each sender over the ten rooms of the hall that they are in."""
    draw = random.Random(3)  # noqa: S311 - which room next

    def requests(senders: int) -> Callable[[int], Iterator[bytes]]:
        def of(number: int) -> Iterator[bytes]:
            place = number * HALL_ROOMS // senders
            token = lab.token(person(hall_user(lab.scale, place)))
            while True:
                room = lab.town.hall[(place + draw.randrange(HALL_MEMBERS)) % HALL_ROOMS]
                yield request(
                    "/rest/v1/rpc/send_message",
                    token,
                    {"conversation_id": room.id, "body": "x" * 100},
                )

        return of

    for senders in _SENDERS:
        rates, taken = [], []
        meter = Meter(lab)
        for _ in range(lab.scale.repeats):
            answers = load(gateway, requests(senders), senders, lab.scale.seconds)
            rates.append(len(answers) / lab.scale.seconds)
            taken += answers
        what = f"send, {senders} senders, {HALL_ROOMS} rooms of {HALL_MEMBERS}"
        results.add(PART, f"{what}, rate", "gateway", "/s", rates)
        results.add(PART, f"{what}, latency", "gateway", "ms", taken)
        meter.add(results, PART, what, len(taken))


async def _clients(stack: Stack, rounds: int, results: Results) -> None:
    """The SDK next to the same requests made with httpx, in turn."""
    async with AsyncParley(stack.api_url, stack.publishable_key) as alice:
        await alice.auth.sign_in_with_password(email="alice@example.com", password="parley-demo")  # noqa: S106
        room: AsyncConversation = await alice.conversations.start_direct("bob")
        for number in range(50):
            await room.send(f"message {number}")
        headers = {
            "apikey": stack.publishable_key,
            "Authorization": f"Bearer {alice.auth.access_token}",
            "Accept-Profile": "chat",
            "Content-Profile": "chat",
        }
        ours: tuple[Work, ...] = (lambda: room.send("hi"), alice.inbox.list, room.history)
        base_url = f"{stack.api_url}/rest/v1"
        async with httpx.AsyncClient(base_url=base_url, headers=headers) as raw:
            theirs = _raw_requests(raw, str(room.id))
            for name, mine, other in zip(
                ("send", "inbox", "history of 50"), ours, theirs, strict=True
            ):
                taken = await _in_turn({"SDK": mine, "httpx": other}, rounds)
                results.add(PART, name, "httpx", "ms", taken["httpx"])
                results.add(PART, name, "SDK", "ms", taken["SDK"], beside="httpx")


async def _in_turn(works: dict[str, Work], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of requests made in turn, so that a busy machine is busy for all."""
    taken: dict[str, list[float]] = {how: [] for how in works}
    for number in range(_WARM_UP + rounds):
        for how, work in works.items():
            began = time.perf_counter()
            await work()
            if number >= _WARM_UP:
                taken[how].append((time.perf_counter() - began) * 1000)
    return taken


def _raw_requests(raw: httpx.AsyncClient, room: str) -> Iterator[Work]:
    """What the SDK asks to send, for a page of the inbox, and for 50 messages."""

    async def send() -> object:
        body = {"conversation_id": room, "body": "hi", "id": str(new_id())}
        return (await raw.post("/rpc/send_message", json=body)).raise_for_status().json()

    async def read(path: str, **params: str) -> object:
        return json.loads((await raw.get(path, params=params)).raise_for_status().content)

    order = "last_activity_at.desc,conversation_id.desc"
    yield send
    yield lambda: read("/inbox", select="*", order=order, limit="31")
    yield lambda: read(
        "/messages", select=SELECT, conversation_id=f"eq.{room}", order="seq.desc", limit="51"
    )


def _imports(results: Results) -> None:
    """Processor time of a new Python that imports."""
    for how, code in (
        ("httpx", "import httpx, pydantic"),
        ("SDK", "from parley import AsyncParley"),
    ):
        run = f"import time; {code}; print(time.process_time() * 1000)"
        taken = [
            float(
                subprocess.run([sys.executable, "-c", run], capture_output=True, check=True).stdout
            )
            for _ in range(_IMPORTS)
        ]
        results.add(
            PART,
            "import",
            how,
            "ms",
            [statistics.median(taken)],
            beside="httpx" if how == "SDK" else None,
        )
