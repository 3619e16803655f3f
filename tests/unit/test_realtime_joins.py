"""Join payloads, states and rates of Realtime."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley_stack.realtime.joins import JoinConfig, number_changes, read_join
from parley_stack.realtime.rates import RateMeter
from parley_stack.realtime.states import (
    ChannelState,
    IllegalTransitionError,
    SocketState,
    advance,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from(["config", "broadcast", "presence", "postgres_changes", "ack", "key"]),
            children,
            max_size=4,
        )
    ),
    max_leaves=6,
)


@pytest.mark.parametrize("payload", [{}, {"config": None}, {"config": {"broadcast": 1}}])
def test_missing_and_wrong_fields_are_defaults(payload: dict[str, Any]) -> None:
    assert read_join(payload) == JoinConfig()


@pytest.mark.parametrize("yes", [True, "true", "True"])
def test_booleans_may_be_strings(yes: object) -> None:
    broadcast = {"ack": yes, "self": yes, "replication_ready": yes}
    config = read_join(
        {"config": {"broadcast": broadcast, "presence": {"enabled": yes}, "private": yes}}
    )
    assert config.acknowledges
    assert config.echoes
    assert config.wants_replication_ready
    assert config.has_presence
    assert config.is_private


@given(st.dictionaries(st.sampled_from(["config", "access_token"]), json_values))
def test_any_payload_is_read(payload: dict[str, Any]) -> None:
    assert isinstance(read_join(payload), JoinConfig)


def test_user_token_wins() -> None:
    assert read_join({"access_token": "a", "user_token": "b"}).token == "b"
    assert read_join({"access_token": "a"}).token == "a"


def test_bindings_are_echoed_with_truthy_ids() -> None:
    first = {"event": "INSERT", "schema": "public", "table": "t", "filter": None}
    second = {"event": "*", "schema": "public"}
    config = read_join({"config": {"postgres_changes": [first, None, second, first]}})
    numbered = number_changes(config.changes)
    assert [{k: v for k, v in item.items() if k != "id"} for item in numbered] == [
        first,
        second,
        first,
    ]
    ids = [item["id"] for item in numbered]
    assert ids[0] == ids[2] != ids[1]
    assert all(ids)


def test_colliding_bindings_have_distinct_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parley_stack.realtime.joins.zlib.crc32", lambda _: 0)
    ids = [item["id"] for item in number_changes(({"table": "a"}, {"table": "b"}, {"table": "a"}))]
    assert ids[0] == ids[2] != ids[1]
    assert all(ids)


def test_illegal_transition_names_what_was_expected() -> None:
    assert advance(SocketState.HANDSHAKE, SocketState.OPEN) is SocketState.OPEN
    with pytest.raises(
        IllegalTransitionError, match="after JOINED expected CLOSED, but got JOINING"
    ):
        advance(ChannelState.JOINED, ChannelState.JOINING)


def test_rate_is_an_average_over_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("parley_stack.realtime.rates.time.monotonic", lambda: now)
    meter = RateMeter(limit=2)
    meter.add(120)
    assert meter.average() == 2
    assert not meter.is_exceeded()
    meter.add(1)
    assert meter.is_exceeded()
    now += 60
    assert meter.average() == 0
    assert not meter.is_exceeded()
