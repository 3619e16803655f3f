"""kill -9 of each part while rows are written: it comes back, and nothing acknowledged is lost."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import httpx
import pytest

from parley_stack.ports import free_port
from support.stacks import child_pid, eventually, start_stack

PARTS = {"postgres": "/postgres -D", "postgrest": "/postgrest", "services": " _serve "}


@pytest.mark.parametrize("part", PARTS)
def test_killed_part_comes_back(project, part):
    stack = start_stack(project, "--api-port", str(free_port()), "--db-port", str(free_port()))
    acknowledged: list[str] = []
    stopping = threading.Event()

    def write() -> None:
        number = 0
        with httpx.Client(
            base_url=stack.api_url, headers={"apikey": stack.publishable_key}, timeout=5
        ) as http:
            while not stopping.is_set():
                number += 1
                try:
                    sent = http.post("/rest/v1/notes", json={"body": f"note {number}"})
                except httpx.TransportError:
                    stopping.wait(0.02)  # leaves the processor to the one that is starting
                    continue
                if sent.status_code == 201:
                    acknowledged.append(f"note {number}")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(2):
            before = len(acknowledged)
            eventually(lambda b=before: len(acknowledged) > b + 20)
            pid = child_pid(stack.process.pid, PARTS[part])
            os.kill(pid, signal.SIGKILL)
            # Past the rows that were under way when it died.
            eventually(
                lambda p=pid: not Path(f"/proc/{p}").exists(), what="the killed process is gone"
            )
            after = len(acknowledged)
            eventually(
                lambda a=after: len(acknowledged) > a + 20,
                seconds=20,
                what="writing goes on after the part was killed",
            )
    finally:
        stopping.set()
        writer.join()
        try:
            rows = httpx.get(
                f"{stack.api_url}/rest/v1/notes",
                params={"select": "body", "limit": "100000"},
                headers={"apikey": stack.secret_key, "Range": "0-99999"},
                timeout=20,
            )
            total = httpx.head(
                f"{stack.api_url}/rest/v1/notes",
                headers={"apikey": stack.secret_key, "Prefer": "count=exact"},
            ).headers["content-range"]
        finally:
            stack.stop()
    stored = {row["body"] for row in rows.json()}
    if len(stored) < 1000:  # [api] max_rows
        assert set(acknowledged) <= stored
    assert int(total.split("/")[1]) >= len(acknowledged) + 1
