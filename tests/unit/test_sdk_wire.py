"""Requests and responses, without I/O."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from parley import InvalidRequestError, NotFoundError, ServerError
from parley import _wire as wire
from parley._models import Changes, Message, PollResults, SavedMessage

ROOM = UUID("0197d0a0-0000-7000-8000-000000000001")
AT = datetime(2026, 11, 21, 9, 0, 0, 123456, tzinfo=UTC)
MESSAGE = {
    "conversation_id": str(ROOM),
    "id": str(ROOM),
    "sender_id": None,
    "seq": 3,
    "rev": 4,
    "created_at": AT.isoformat(),
    "kind": "text",
    "body": "hello",
    "metadata": {"a": [1]},
    "a_later_column": True,
}
BY_SEQ = wire.Keyset(("seq",), (int,))
BY_TIME = wire.Keyset(("created_at", "id"), (datetime, UUID))


def test_what_was_not_given_is_not_sent() -> None:
    request = wire.call("send_message", {"conversation_id": ROOM, "body": "hi", "id": None})
    assert request.body == {"conversation_id": str(ROOM), "body": "hi"}
    row = {"note": None, "seq": wire.NOT_GIVEN}
    assert wire.update("saved_messages", row).body == {"note": None}


def test_arguments_are_written_as_postgresql_reads_them() -> None:
    arguments = {"at": AT, "ids": [ROOM], "window": timedelta(minutes=15), "of": {"x": ROOM}}
    assert wire.call("f", arguments).body == {
        "at": AT.isoformat(),
        "ids": [str(ROOM)],
        "window": "0 days 900.0 seconds",
        "of": {"x": str(ROOM)},
    }


def test_filters_tell_null_and_flags_from_values() -> None:
    assert wire.equals("left_at", None) == ("left_at", "is.null")
    assert wire.equals("is_pinned", False) == ("is_pinned", "is.false")
    assert wire.equals("seq", 3) == ("seq", "eq.3")


@pytest.mark.parametrize(
    "refused",
    [
        lambda: wire.read_page("messages", BY_SEQ, 0, None),
        lambda: wire.read_page("inbox", BY_TIME, 501, None),
        lambda: wire.read_page("inbox", BY_TIME, 30, "not a cursor"),
        lambda: wire.read_page("inbox", BY_TIME, 30, "WzEsMl0"),
        lambda: wire.read_page("inbox", BY_TIME, 30, "7"),
        lambda: wire.read_page("messages", BY_SEQ, 30, "x"),
        lambda: wire.update("profiles", {"username": wire.NOT_GIVEN}),
    ],
)
def test_nonsense_is_refused_before_the_network(refused: object) -> None:
    assert callable(refused)
    with pytest.raises(InvalidRequestError) as raised:
        refused()
    assert raised.value.hint


def test_a_page_asks_for_one_item_more_than_it_shows() -> None:
    assert ("limit", "51") in wire.read_page("messages", BY_SEQ, 50, None).params
    assert wire.cut_page((1, 2, 3), 2) == ((1, 2), 2)
    assert wire.cut_page((1, 2), 2) == ((1, 2), None)


def test_a_cursor_keeps_time_and_id_exactly() -> None:
    cursor = BY_TIME.cursor(Message.model_validate(MESSAGE))
    params = wire.read_page("messages", BY_TIME, 30, cursor).params
    at = "2026-11-21T09:00:00.123456+00:00"
    assert ("created_at", f"lte.{at}") in params
    assert ("or", f'(created_at.lt."{at}",id.lt."{ROOM}")') in params
    assert BY_SEQ.cursor(Message.model_validate(MESSAGE)) == "3"
    assert ("seq", "lt.3") in wire.read_page("messages", BY_SEQ, 30, "3").params


def test_a_key_of_three_columns_goes_on_where_it_was() -> None:
    by_saving = wire.Keyset(("saved_at", "conversation_id", "message_seq"), (datetime, UUID, int))
    about = {"conversation_id": ROOM, "message_seq": 3, "user_id": ROOM, "note": None}
    cursor = by_saving.cursor(SavedMessage.model_validate({**about, "saved_at": AT}))
    params = wire.read_page("saved_messages", by_saving, 30, cursor).params
    terms = (
        f'saved_at.lt."{AT.isoformat()}"',
        f'conversation_id.lt."{ROOM}"',
        f'and(conversation_id.eq."{ROOM}",message_seq.lt."3")',
    )
    assert ("or", f"({','.join(terms)})") in params


def test_unknown_fields_are_ignored_and_models_do_not_change() -> None:
    (message,) = wire.parse_rows(Message, json.dumps([MESSAGE]).encode())
    assert message.body == "hello"
    assert message.metadata == {"a": [1]}
    with pytest.raises(ValueError, match="frozen"):
        message.body = "other"  # type: ignore[misc]


@pytest.mark.parametrize("content", [b"", b"{}", b"<html>", b'{"seq": 1}'])
def test_an_unreadable_answer_is_a_server_error_without_its_content(content: bytes) -> None:
    for parse in (wire.parse_model, wire.parse_rows):
        with pytest.raises(ServerError) as raised:
            parse(Message, content)
        assert raised.value.__suppress_context__
    with pytest.raises(ServerError):
        wire.parse_value(PollResults, content)
    with pytest.raises(ServerError):
        wire.parse_model(Changes, content)


def test_no_row_is_not_found() -> None:
    with pytest.raises(NotFoundError) as raised:
        wire.only((), wire.conversation_not_found())
    assert raised.value.code == "conversation_not_found"


def test_the_storage_server_says_in_the_body_what_it_means() -> None:
    content = b'{"statusCode": "404", "error": "not_found", "message": "Object not found"}'
    error = wire.error_of_storage(400, content)
    assert isinstance(error, NotFoundError)
    assert (error.status, error.code) == (404, "not_found")
