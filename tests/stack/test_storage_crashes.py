"""kill -9 of the serving process while files are written: nothing acknowledged is lost, nothing
stays that no object has."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from parley_stack.ports import free_port
from support.stacks import Stack, eventually, stack_command, start_stack
from support.storage import files_of, storage_client

SIZE = 200_000


def ports() -> list[str]:
    return ["--api-port", str(free_port()), "--db-port", str(free_port())]


@pytest.fixture
def own_stack(project: Path) -> Iterator[Stack]:
    stack = start_stack(project, *ports())
    yield stack
    stack.stop()


def serving_pid(stack: Stack) -> int | None:
    pid = stack.process.pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            if " _serve " in Path(f"/proc/{child}/cmdline").read_text().replace("\0", " "):
                return int(child)
        except OSError:
            continue
    return None


class Writer:
    """Uploads, overwrites and removes until told to stop, and remembers what it was told."""

    def __init__(self, stack: Stack, number: int) -> None:
        self.http = storage_client(stack, stack.secret_key)
        self.number = number
        self.stopping = threading.Event()
        self.stored: dict[str, bytes] = {}
        self.in_doubt: set[str] = set()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        with self.http:
            self.write()

    def write(self) -> None:
        for turn in itertools.count():
            if self.stopping.is_set():
                return
            name, content = f"{self.number}/{uuid.uuid4().hex}", os.urandom(SIZE)
            self.put(name, content)
            if turn % 3 == 0:
                self.put(name, os.urandom(SIZE))
            if turn % 4 == 0:
                self.remove(name)

    def put(self, name: str, content: bytes) -> None:
        self.in_doubt.add(name)
        if self.ask("PUT", f"/object/crash/{name}", content):
            self.stored[name] = content
            self.in_doubt.discard(name)

    def remove(self, name: str) -> None:
        if name in self.stored:
            self.in_doubt.add(name)
            if self.ask("DELETE", f"/object/crash/{name}", None):
                del self.stored[name]
                self.in_doubt.discard(name)

    def ask(self, method: str, path: str, content: bytes | None) -> bool:
        try:
            return self.http.request(method, path, content=content).status_code == 200
        except httpx.TransportError:
            self.stopping.wait(0.05)  # leaves the processor to the one that is starting
            return False


def test_kill(project: Path, own_stack: Stack) -> None:
    with storage_client(own_stack, own_stack.secret_key) as http:
        http.post("/bucket", json={"name": "crash"})
        writers = [Writer(own_stack, number) for number in range(3)]
        try:
            for _ in range(3):
                before = sum(len(writer.stored) for writer in writers)
                eventually(
                    lambda b=before: sum(len(w.stored) for w in writers) > b + 10,
                    seconds=60,
                    what="writing goes on",
                )
                pid = serving_pid(own_stack)
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
        finally:
            for writer in writers:
                writer.stopping.set()
            for writer in writers:
                writer.thread.join()
        eventually(lambda: _answers(http), seconds=60, what="the server is back")
        for writer in writers:
            for name, content in writer.stored.items():
                if name not in writer.in_doubt:
                    assert http.get(f"/object/crash/{name}").content == content
        # One more start, after which files and rows are the same.
        pid = serving_pid(own_stack)
        assert pid is not None
        stray = project / ".parley" / "files" / "objects" / "00" / "00-stray"
        stray.parent.mkdir(exist_ok=True)
        stray.write_bytes(b"x")
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not stray.exists(), seconds=60, what="the stray file is deleted")
        with psycopg.connect(own_stack.db_url) as db:
            rows = db.execute("select name from storage.objects").fetchall()
        assert len(files_of(project / ".parley" / "files")) == len(rows)
        eventually(lambda: _answers(http), seconds=60, what="the server is back")
        for (name,) in rows:
            assert len(http.get(f"/object/crash/{name}").content) == SIZE


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/bucket/crash").status_code == 200
    except httpx.TransportError:
        return False


def test_files_outlive_a_stop_and_go_with_a_reset(project: Path) -> None:
    stack = start_stack(project, *ports())
    with storage_client(stack, stack.secret_key) as http:
        http.post("/bucket", json={"name": "kept"})
        http.post("/object/kept/a", content=b"a")
        tus = {"Tus-Resumable": "1.0.0"}
        metadata = "bucketName a2VwdA==,objectName Yg=="
        made = http.post(
            "/upload/resumable", headers={**tus, "Upload-Length": "2", "Upload-Metadata": metadata}
        )
        location = made.headers["location"].partition("/storage/v1")[2]
        kind = {"Content-Type": "application/offset+octet-stream"}
        http.patch(location, content=b"b", headers={**tus, **kind, "Upload-Offset": "0"})
    stack.stop()
    stack = start_stack(project, *ports())
    with storage_client(stack, stack.secret_key) as http:
        assert http.get("/object/kept/a").content == b"a"
        # An upload goes on where it was.
        http.patch(location, content=b"c", headers={**tus, **kind, "Upload-Offset": "1"})
        assert http.get("/object/kept/b").content == b"bc"
    stack.stop()
    subprocess.run(stack_command("reset", "--workdir", str(project)), check=True)
    assert not (project / ".parley" / "files").exists()
