"""Requests and responses, without I/O."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest

from parley import InboxEntry, InvalidRequestError, NotFoundError, ServerError, new_id
from parley import _wire as wire
from parley._models import Message

ROOM = UUID("0197d0a0-0000-7000-8000-000000000001")
MESSAGE = {
    "conversation_id": str(ROOM),
    "id": str(ROOM),
    "sender_id": None,
    "seq": 3,
    "rev": 4,
    "created_at": "2026-11-21T09:00:00.123456+00:00",
    "kind": "text",
    "body": "hello",
    "metadata": {"a": [1]},
    "a_later_column": True,
}
ENTRY = InboxEntry.model_validate(
    {
        "conversation_id": ROOM,
        "tenant_id": ROOM,
        "kind": "group",
        "title": "Tea",
        "participant_count": 2,
        "last_activity_at": datetime(2026, 11, 21, 9, 0, 0, 123456, tzinfo=UTC),
        "last_seq": 1,
        "rev": 2,
        "role": "owner",
        "joined_at": datetime(2026, 11, 21, tzinfo=UTC),
        "last_read_seq": 0,
        "unread_count": 1,
    }
)


def test_a_user_is_named_by_id_or_username() -> None:
    assert wire.start_direct("bob").body == {"username": "bob"}
    assert wire.start_direct(ROOM).body == {"user_id": str(ROOM)}
    assert wire.start_direct(str(ROOM)).body == {"user_id": str(ROOM)}
    assert wire.start_direct(ROOM.hex).body == {"username": ROOM.hex}


def test_what_was_not_given_is_not_sent() -> None:
    made = new_id()
    request = wire.send_message(ROOM, "hi", made, None, None)
    assert request.body == {"conversation_id": str(ROOM), "body": "hi", "id": str(made)}
    assert wire.mark_read(ROOM, None).body == {"conversation_id": str(ROOM)}


@pytest.mark.parametrize(
    "refused",
    [
        lambda: wire.start_direct(""),
        lambda: wire.start_group("", [], ROOM),
        lambda: wire.send_message(ROOM, "", ROOM, None, None),
        lambda: wire.send_message(ROOM, " \n\t", ROOM, None, None),
        lambda: wire.read_history(ROOM, 0, None),
        lambda: wire.read_inbox(501, None),
        lambda: wire.read_inbox(30, "not a cursor"),
        lambda: wire.read_inbox(30, "WzEsMl0"),
        lambda: wire.read_seq_cursor("x"),
        lambda: wire.read_seq_cursor(0),
    ],
)
def test_nonsense_is_refused_before_the_network(refused: object) -> None:
    assert callable(refused)
    with pytest.raises(InvalidRequestError) as raised:
        refused()
    assert raised.value.hint


def test_an_empty_body_has_the_code_the_database_would_give() -> None:
    with pytest.raises(InvalidRequestError) as raised:
        wire.send_message(ROOM, " ", ROOM, None, None)
    assert raised.value.code == "messages_body_check"


def test_a_page_asks_for_one_item_more_than_it_shows() -> None:
    assert ("limit", "51") in wire.read_history(ROOM, 50, None).params
    assert wire.cut_page((1, 2, 3), 2) == ((1, 2), 2)
    assert wire.cut_page((1, 2), 2) == ((1, 2), None)


def test_an_inbox_cursor_keeps_time_and_id_exactly() -> None:
    params = wire.read_inbox(30, wire.inbox_cursor(ENTRY)).params
    at = "2026-11-21T09:00:00.123456+00:00"
    assert ("last_activity_at", f"lte.{at}") in params
    assert ("or", f'(last_activity_at.lt."{at}",conversation_id.lt.{ROOM})') in params


def test_unknown_fields_are_ignored_and_models_do_not_change() -> None:
    (message,) = wire.parse_messages(json.dumps([MESSAGE]).encode())
    assert message.body == "hello"
    assert message.metadata == {"a": [1]}
    with pytest.raises(ValueError, match="frozen"):
        message.body = "other"  # type: ignore[misc]


@pytest.mark.parametrize("content", [b"", b"{}", b"<html>", b'{"seq": 1}'])
def test_an_unreadable_answer_is_a_server_error_without_its_content(content: bytes) -> None:
    with pytest.raises(ServerError) as raised:
        wire.parse_model(Message, content)
    assert raised.value.__suppress_context__


def test_no_row_is_not_found() -> None:
    with pytest.raises(NotFoundError) as raised:
        wire.parse_conversation(b"[]")
    assert raised.value.code == "conversation_not_found"
