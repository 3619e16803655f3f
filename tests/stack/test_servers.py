"""Other PostgreSQL servers than the one that ships: ``PARLEY_PG_BIN``."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.people import sign_in
from support.stacks import ROOT, start_stack

INSTALLED = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))


@pytest.mark.skipif(not INSTALLED, reason="no other PostgreSQL is installed on this machine")
@pytest.mark.parametrize("server", INSTALLED, ids=lambda path: f"postgresql-{path.parts[4]}")
def test_alice_writes_to_bob_on_another_server(server):
    stack = start_stack(ROOT, "--ephemeral", env={"PARLEY_PG_BIN": str(server.parent)})
    try:
        alice, bob = (sign_in(stack, f"{name}@example.com") for name in ("alice", "bob"))
        with alice.http, bob.http:
            room = alice.call("start_direct", username="bob")
            alice.call("send_message", conversation_id=room["id"], body="hello")
            (entry,) = bob.rows("inbox", conversation_id=f"eq.{room['id']}")
            assert entry["last_message"]["body"] == "hello"
    finally:
        stack.stop()
