"""Private channels: the policies on realtime.messages decide, as PostgreSQL reads them."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator

import httpx
import psycopg
import pytest

from support.realtime_sockets import (
    OK,
    Message,
    new_topic,
    private_channel_policies,
    realtime_socket,
    user_token,
)
from support.stacks import Stack

UNAUTHORIZED = "Unauthorized: You do not have permissions to read from this Channel topic: "


@pytest.fixture(scope="module", autouse=True)
def policies(stack: Stack) -> Iterator[None]:
    """Topics ``readable...`` can be joined, ``...writable...`` can be sent to."""
    with private_channel_policies(stack):
        yield


@pytest.fixture
def user(stack: Stack) -> str:
    """A signed-in user's token."""
    return user_token(stack)


@pytest.mark.parametrize("prefix", ["closed", "writable", "flagged", "broken"])
async def test_join_without_permission(stack: Stack, user: str, prefix: str) -> None:
    topic = new_topic(prefix)
    async with realtime_socket(stack) as socket:
        assert await socket.refused(f"realtime:{topic}", user, private=True) == UNAUTHORIZED + topic


@pytest.mark.parametrize("role", ["anon", "none", "no_such_role"])
async def test_role_without_a_policy_is_refused(stack: Stack, role: str) -> None:
    topic = new_topic("readable")
    token = user_token(stack, role=role)
    async with realtime_socket(stack) as socket:
        reason = await socket.refused(f"realtime:{topic}", token, private=True)
        assert reason == UNAUTHORIZED + topic


async def test_service_role_bypasses_policies(stack: Stack) -> None:
    async with realtime_socket(stack, key=stack.secret_key) as socket:
        await socket.join(f"realtime:{new_topic('closed')}", private=True)


async def test_claims_reach_the_policies(stack: Stack) -> None:
    user_id = str(uuid.uuid4())
    async with realtime_socket(stack) as socket:
        topic = f"realtime:user:{user_id}"
        await socket.join(topic, user_token(stack, sub=user_id), private=True)
        assert (await socket.refused(topic, user_token(stack), private=True)).startswith(
            UNAUTHORIZED
        )


async def test_public_channel_asks_no_policy(stack: Stack) -> None:
    async with realtime_socket(stack) as socket:
        await socket.join(f"realtime:{new_topic('broken')}")


async def test_denied_send_is_met_with_silence(stack: Stack, user: str) -> None:
    topic = f"realtime:{new_topic('readable')}"
    async with realtime_socket(stack) as sender, realtime_socket(stack) as other:
        await sender.join(topic, user, private=True, broadcast={"ack": True, "self": True})
        await other.join(topic, user, private=True)
        for _ in range(2):
            await sender.send("broadcast", {"event": "e"}, topic=topic)
        await sender.leave(topic)
        await other.is_quiet()


async def test_allowed_send_is_delivered(stack: Stack, user: str) -> None:
    topic = f"realtime:{new_topic('readable-writable')}"
    async with realtime_socket(stack) as sender, realtime_socket(stack) as other:
        await sender.join(topic, user, private=True, broadcast={"ack": True})
        await other.join(topic, user, private=True)
        for number in range(3):
            await sender.send("broadcast", {"event": "e", "n": number}, topic=topic, ref="4")
        for number in range(3):
            assert await sender.message() == Message("1", "4", topic, "phx_reply", OK)
            assert (await other.message()).payload == {"event": "e", "n": number}


async def test_leave_right_after_a_send_does_not_lose_it(stack: Stack, user: str) -> None:
    topic = f"realtime:{new_topic('readable-writable')}"
    async with realtime_socket(stack) as sender, realtime_socket(stack) as other:
        await other.join(topic, user, private=True)
        await sender.join(topic, user, private=True)
        await sender.send("broadcast", {"event": "e"}, topic=topic)
        await sender.leave(topic)
        assert (await other.message()).payload == {"event": "e"}


async def test_private_and_public_topics_never_meet(stack: Stack, user: str) -> None:
    topic = f"realtime:{new_topic('readable-writable')}"
    async with realtime_socket(stack) as public, realtime_socket(stack) as private:
        await public.join(topic, broadcast={"ack": True})
        await private.join(topic, user, private=True, broadcast={"ack": True})
        for sender, other in ((public, private), (private, public)):
            await sender.send("broadcast", {"event": "e"}, topic=topic)
            assert (await sender.message()).event == "phx_reply"
            await other.is_quiet()


async def test_channel_with_presence_alone_hears_no_broadcast(stack: Stack, user: str) -> None:
    topic = f"realtime:{new_topic('presence-writable')}"
    async with realtime_socket(stack) as socket, realtime_socket(stack) as sender:
        assert (await socket.refused(topic, user, private=True)).startswith(UNAUTHORIZED)
        await socket.join(topic, user, private=True, presence={"enabled": True})
        assert (await socket.message()).event == "presence_state"
        await sender.join(
            topic, private=True, token=stack.service_role_key, broadcast={"ack": True}
        )
        await sender.send("broadcast", {"event": "e"}, topic=topic)
        assert (await sender.message()).event == "phx_reply"
        await socket.is_quiet()


async def test_token_that_may_not_read_ends_the_channel(stack: Stack, user: str) -> None:
    topic = new_topic("readable")
    async with realtime_socket(stack) as socket:
        await socket.join(f"realtime:{topic}", user, private=True)
        token = {"access_token": user_token(stack, role="anon")}
        await socket.send("access_token", token, topic=f"realtime:{topic}")
        system = await socket.message()
        assert system.payload["message"] == (
            f"You do not have permissions to read from this Channel topic: {topic}"
        )
        assert (await socket.message()).event == "phx_close"
        await socket.is_quiet()


async def test_revoked_policy_ends_the_channel_at_the_next_token(stack: Stack, user: str) -> None:
    topic = new_topic("readable-writable-revoked")
    policy = "on realtime.messages for select to authenticated using (extension = 'presence')"
    async with realtime_socket(stack) as socket:
        config = {"presence": {"enabled": True}, "broadcast": {"ack": True}}
        await socket.join(f"realtime:{topic}", user, private=True, **config)
        assert (await socket.message()).event == "presence_state"
        with psycopg.connect(stack.db_url, autocommit=True) as connection:
            connection.execute(f'create policy "test revoked" {policy}'.encode())
            rename = 'alter policy "test readable" on realtime.messages using ({})'
            connection.execute(rename.format("false").encode())
            try:
                # The token it has already changes nothing.
                await socket.send("access_token", {"access_token": user}, topic=f"realtime:{topic}")
                await socket.send("broadcast", {"event": "e"}, topic=f"realtime:{topic}")
                assert (await socket.message()).event == "phx_reply"
                token = {"access_token": user_token(stack)}
                await socket.send("access_token", token, topic=f"realtime:{topic}")
                system = await socket.message()
            finally:
                rule = "realtime.topic() like 'readable%'"
                connection.execute(rename.format(rule).encode())
                connection.execute('drop policy "test revoked" on realtime.messages')
        assert system.payload["message"] == (
            f"You no longer have permission to read from this Channel topic: {topic}"
        )
        assert (await socket.message()).event == "phx_close"


async def test_right_to_send_is_asked_again_for_a_new_token(stack: Stack, user: str) -> None:
    topic = f"realtime:{new_topic('writable')}"
    async with realtime_socket(stack) as socket:
        await socket.join(
            topic, stack.service_role_key, private=True, broadcast={"ack": True, "self": True}
        )
        await socket.send("broadcast", {"event": "e"}, topic=topic)
        assert (await socket.message()).event == "broadcast"
        assert (await socket.message()).event == "phx_reply"
        await socket.send("access_token", {"access_token": user}, topic=topic)
        await socket.send("broadcast", {"event": "e"}, topic=topic)
        assert (await socket.message()).event == "system"
        assert (await socket.message()).event == "phx_close"


async def test_probes_leave_no_rows(stack: Stack, user: str) -> None:
    topic = new_topic("readable-writable")
    async with realtime_socket(stack) as socket:
        await socket.join(f"realtime:{topic}", user, private=True, broadcast={"ack": True})
        await socket.send("broadcast", {"event": "e"}, topic=f"realtime:{topic}")
        assert (await socket.message()).event == "phx_reply"
    with psycopg.connect(stack.db_url) as connection:
        query = "select count(*) from realtime.messages where topic = %s"
        assert connection.execute(query, (topic,)).fetchone() == (0,)


async def test_many_joins_at_once(stack: Stack, user: str) -> None:
    async def join(number: int) -> None:
        async with realtime_socket(stack) as socket:
            await socket.join(f"realtime:readable:{number}", user, private=True)

    await asyncio.gather(*(join(number) for number in range(100)))


async def test_policies_see_the_request_headers(stack: Stack, user: str) -> None:
    topic = new_topic("headers")
    policy = (
        'create policy "test headers" on realtime.messages for insert to authenticated with check ('
        "current_setting('request.headers')::jsonb ->> 'x-forwarded-key' = 'yes'"
        " and realtime.topic() like 'headers%')"
    )
    url = f"{stack.api_url}/realtime/v1/api/broadcast/{topic}/events/e?private=true"
    headers = {"Authorization": f"Bearer {user}", "apikey": stack.publishable_key}
    with psycopg.connect(stack.db_url, autocommit=True) as connection:
        connection.execute(policy.encode())
        try:
            async with httpx.AsyncClient(headers=headers) as http:
                denied = await http.post(url, json={})
                allowed = await http.post(url, json={}, headers={"x-forwarded-key": "yes"})
        finally:
            connection.execute('drop policy "test headers" on realtime.messages')
    assert (denied.status_code, json.loads(denied.text)) == (403, {"message": "Unauthorized"})
    assert allowed.status_code == 202
