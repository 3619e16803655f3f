"""Ids made and checked by the SDK."""

from __future__ import annotations

import time
from uuid import UUID

import pytest

from parley import InvalidRequestError, new_id
from parley._ids import checked_id, is_uuid_text


def test_new_ids_are_of_version_7_and_carry_the_time() -> None:
    before = time.time_ns() // 1_000_000
    made = new_id()
    after = time.time_ns() // 1_000_000
    assert made.version == 7
    assert made.variant == UUID(int=0x8 << 60).variant
    assert before <= made.int >> 80 <= after


def test_new_ids_are_distinct_and_in_order_of_time() -> None:
    ids = []
    for _ in range(200):
        ids.append(new_id())
        moment = time.time_ns()
        while time.time_ns() < moment + 1_000:
            pass
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("wrong", ["", "alice", "0", 7, None])
def test_no_id_is_refused_by_name(wrong: str) -> None:
    with pytest.raises(InvalidRequestError, match="reply"):
        checked_id(wrong, "reply")


def test_ids_are_taken_as_uuid_or_text() -> None:
    made = new_id()
    assert checked_id(made, "id") == checked_id(str(made), "id") == made


def test_a_username_of_hex_digits_is_no_uuid() -> None:
    assert is_uuid_text(str(new_id()))
    assert not is_uuid_text(new_id().hex)
