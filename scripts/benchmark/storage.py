"""How long a large file takes to Storage and back."""

from __future__ import annotations

import os
import time

import httpx

from .laboratory import Laboratory
from .results import Results

PART = "storage"
_BYTES = 50_000_000
_ROUNDS = 5
_SECONDS = 60


def measure(lab: Laboratory, results: Results) -> None:
    """The same file, again and again."""
    key = lab.stack.secret_key
    data = os.urandom(_BYTES)
    up, down = [], []
    with httpx.Client(
        base_url=f"{lab.stack.api_url}/storage/v1",
        headers={"Authorization": f"Bearer {key}", "apikey": key},
        timeout=_SECONDS,
    ) as http:
        http.post("/bucket", json={"name": "bench"}).raise_for_status()
        for _ in range(_ROUNDS):
            began = time.perf_counter()
            http.post(
                "/object/bench/file",
                content=data,
                headers={"x-upsert": "true", "Content-Type": "application/octet-stream"},
            ).raise_for_status()
            up.append(time.perf_counter() - began)
            began, size = time.perf_counter(), 0
            with http.stream("GET", "/object/bench/file") as answer:
                for part in answer.iter_raw():
                    size += len(part)
            down.append(time.perf_counter() - began)
            assert size == _BYTES
    results.add(PART, "50 MB", "up", "s", up)
    results.add(PART, "50 MB", "down", "s", down)
