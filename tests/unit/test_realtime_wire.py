"""Serializers of Realtime: what goes out can be read back, and no input breaks the reader."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Side
from websockets.protocol import Protocol as WebSocket

from parley_stack.realtime.broadcasts import EventBroadcast, ObjectBroadcast
from parley_stack.realtime.errors import MalformedFrameError
from parley_stack.realtime.inbound import Inbound, UserBroadcast, decode_binary, decode_text
from parley_stack.realtime.wire import Wire, ending, push, reply, to_json, wire_of

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
refs = st.none() | text | st.integers(0, 10**6)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(text, children, max_size=4),
    max_leaves=6,
)
objects = st.dictionaries(text, json_values, max_size=5)
wires = st.sampled_from(Wire)


def message_of(frame: bytes) -> tuple[Opcode, bytes]:
    """The only message in the bytes of a server's WebSocket frame."""
    client = WebSocket(Side.CLIENT, state=OPEN, max_size=None)
    client.receive_data(frame)
    [event] = client.events_received()
    assert isinstance(event, Frame)
    return event.opcode, bytes(event.data)


def read(wire: Wire, frame: bytes) -> list[Any]:
    """A text frame as ``[join_ref, ref, topic, event, payload]``."""
    opcode, data = message_of(frame)
    assert opcode is Opcode.TEXT
    value: Any = json.loads(data)
    if wire is Wire.V2:
        assert isinstance(value, list)
        assert len(value) == 5
        return value
    assert list(value) == ["topic", "event", "payload", "ref"]
    return [None, value["ref"], value["topic"], value["event"], value["payload"]]


def kind_3(join_ref: str, ref: str, topic: str, event: str, body: bytes, encoding: int) -> bytes:
    fields = [part.encode() for part in (join_ref, ref, topic, event, "")]
    return bytes([3, *map(len, fields), encoding]) + b"".join(fields) + body


@pytest.mark.parametrize(
    ("version", "wire"),
    [(None, Wire.V1), ("1.0.0", Wire.V1), ("1.0.7", Wire.V1), ("2.0.0", Wire.V2)]
    + [(version, None) for version in ("", "1.1.0", "2.1.0", "3.0.0", "2", "x")],
)
def test_version_selects_serializer(version: str | None, wire: Wire | None) -> None:
    assert wire_of(version) is wire


@given(join_ref=refs, ref=refs, topic=text, event=text, payload=objects)
def test_array_message_is_read_as_sent(
    join_ref: Any, ref: Any, topic: str, event: str, payload: dict[str, Any]
) -> None:
    data = json.dumps([join_ref, ref, topic, event, payload]).encode()
    assert decode_text(Wire.V2, data) == Inbound(join_ref, ref, topic, event, payload)


@given(ref=refs, topic=text, event=text, payload=objects)
def test_object_message_may_omit_join_ref(
    ref: Any, topic: str, event: str, payload: dict[str, Any]
) -> None:
    data = json.dumps({"topic": topic, "event": event, "payload": payload, "ref": ref}).encode()
    assert decode_text(Wire.V1, data) == Inbound(None, ref, topic, event, payload)


def test_captured_binary_push_is_read() -> None:
    data = bytes.fromhex("0301010f020001") + b'69realtime:room:1ev{"a":1}'
    expected = UserBroadcast("ev", b'{"a":1}', is_json=True)
    assert decode_binary(Wire.V2, data) == Inbound(
        "6", "9", "realtime:room:1", "broadcast", expected
    )


@given(topic=text, event=text, body=st.binary(max_size=200))
def test_opaque_push_is_read_as_sent(topic: str, event: str, body: bytes) -> None:
    message = decode_binary(Wire.V2, kind_3("1", "2", topic, event, body, 0))
    assert message == Inbound("1", "2", topic, "broadcast", UserBroadcast(event, body, False))


@given(wire=wires, data=st.binary(max_size=300))
def test_any_bytes_are_a_message_or_malformed(wire: Wire, data: bytes) -> None:
    for decode in (decode_text, decode_binary):
        try:
            message = decode(wire, data)
        except MalformedFrameError:
            continue
        assert isinstance(message, Inbound)


@given(wire=wires, value=json_values)
def test_any_json_is_a_message_or_malformed(wire: Wire, value: Any) -> None:
    try:
        message = decode_text(wire, to_json(value))
    except MalformedFrameError:
        return
    assert isinstance(message.payload, dict)


@given(
    kind=st.sampled_from([0, 3]),
    lengths=st.lists(st.integers(0, 255), min_size=6, max_size=6),
    rest=st.binary(max_size=600),
)
def test_any_lengths_are_a_message_or_malformed(kind: int, lengths: list[int], rest: bytes) -> None:
    try:
        message = decode_binary(Wire.V2, bytes([kind, *lengths]) + rest)
    except MalformedFrameError:
        return
    assert isinstance(message, Inbound)


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b'["1","1","t","e",NaN]',
        b'["1","1","t","e",{"a":1e999}]',
        b'["1","1","\\ud800","e",{}]',
        b'["1","1","t","e",[]]',
        b'["1","1",1,"e",{}]',
        b'[true,"1","t","e",{}]',
        b'["1","1","t","e",{},0]',
        b'{"topic":"t"}',
        b"\xff",
        b"9" * 5_000,
    ],
)
def test_text_that_is_no_message_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedFrameError):
        decode_text(Wire.V2, data)


def test_binary_push_with_broken_json_is_malformed() -> None:
    with pytest.raises(MalformedFrameError):
        decode_binary(Wire.V2, kind_3("1", "1", "t", "e", b'{"a":', 1))


def test_binary_frame_on_version_1_is_malformed() -> None:
    with pytest.raises(MalformedFrameError):
        decode_binary(Wire.V1, kind_3("1", "1", "t", "e", b"{}", 1))


@given(wire=wires, join_ref=refs, ref=refs, topic=text, response=objects)
def test_reply_echoes_references(
    wire: Wire, join_ref: Any, ref: Any, topic: str, response: dict[str, Any]
) -> None:
    message = read(wire, reply(wire, join_ref, ref, topic, "ok", response))
    expected_join_ref = join_ref if wire is Wire.V2 else None
    payload = {"status": "ok", "response": response}
    assert message == [expected_join_ref, ref, topic, "phx_reply", payload]


@pytest.mark.parametrize("wire", Wire)
def test_push_has_null_ref_and_ending_has_the_channels(wire: Wire) -> None:
    join_ref = "6" if wire is Wire.V2 else None
    assert read(wire, push(wire, "6", "t", "system", {})) == [join_ref, None, "t", "system", {}]
    assert read(wire, ending(wire, "6", "t", "phx_close")) == [join_ref, "6", "t", "phx_close", {}]


@given(wire=wires, topic=text, payload=objects)
def test_object_broadcast_is_relayed_verbatim(
    wire: Wire, topic: str, payload: dict[str, Any]
) -> None:
    frame = ObjectBroadcast(to_json(payload)).encode(wire, topic)
    assert read(wire, frame) == [None, None, f"realtime:{topic}", "broadcast", payload]


@given(topic=text, event=text, payload=json_values, meta=st.none() | objects)
def test_event_broadcast_is_an_object_for_version_1(
    topic: str, event: str, payload: Any, meta: dict[str, Any] | None
) -> None:
    body = to_json(payload)
    frame = EventBroadcast(event, body, True, to_json(meta) if meta else b"").encode(Wire.V1, topic)
    assert frame is not None
    expected = {"event": event, "type": "broadcast", "payload": payload}
    if meta:
        expected["meta"] = meta
    assert read(Wire.V1, frame) == [None, None, f"realtime:{topic}", "broadcast", expected]


@pytest.mark.parametrize("is_json", [True, False])
def test_event_broadcast_is_kind_4_for_version_2(is_json: bool) -> None:
    body = b'{"a":1}' if is_json else b"\x00\xff"
    frame = EventBroadcast("ev", body, is_json, b'{"id":"1"}').encode(Wire.V2, "room:1")
    assert frame is not None
    opcode, data = message_of(frame)
    assert opcode is Opcode.BINARY
    head = bytes([4, 15, 2, 10, int(is_json)])
    assert data == head + b'realtime:room:1ev{"id":"1"}' + body


def test_event_too_long_for_kind_4_is_sent_as_text() -> None:
    frame = EventBroadcast("é" * 128, b"{}", is_json=True).encode(Wire.V2, "t")
    assert frame is not None
    assert read(Wire.V2, frame)[4]["event"] == "é" * 128
    assert EventBroadcast("é" * 128, b"\x00", is_json=False).encode(Wire.V2, "t") is None


def test_opaque_bytes_have_no_form_in_version_1() -> None:
    assert EventBroadcast("ev", b"\x00", is_json=False).encode(Wire.V1, "t") is None


def test_half_a_surrogate_pair_survives_in_a_payload() -> None:
    message = decode_text(Wire.V2, b'["1","1","t","broadcast",{"a":"\\ud83d"}]')
    assert isinstance(message.payload, dict)
    assert json.loads(to_json(message.payload)) == {"a": "\ud83d"}
