"""Broadcasts, as events."""

from __future__ import annotations

import re
from uuid import uuid4

from parley import HistoryChanged
from parley._events.parsing import _IN_CONVERSATIONS, parse_event
from support.stacks import ROOT


def test_every_event_of_the_reference_is_known() -> None:
    text = (ROOT / "docs/reference/realtime.md").read_text()
    table = text.split("## Events")[1].split("\n\n")[2]
    cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == set(
        _IN_CONVERSATIONS
    )


def test_that_lifetimes_changed_says_to_read_again() -> None:
    payload = {"conversation_id": str(uuid4()), "epoch": 1, "rev": 7}
    event = parse_event("retention_changed", payload)
    assert isinstance(event, HistoryChanged)
    assert event.rev == 7
