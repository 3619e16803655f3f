"""Who hears what: joins judged by the database, and silence from the moment somebody leaves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid

import pytest
import websockets


class Socket:
    """One Realtime connection in the JSON object form, with the frames it has received."""

    def __init__(self, connection, token):
        self.connection = connection
        self.token = token
        self.frames = []
        self.reader = asyncio.create_task(self.read())

    async def read(self):
        with contextlib.suppress(websockets.ConnectionClosed):
            async for text in self.connection:
                self.frames.append(json.loads(text))

    async def expect(self, matches, seconds=10):
        """The first frame that matches, waited for."""
        async with asyncio.timeout(seconds):
            while True:
                for frame in self.frames:
                    if matches(frame):
                        return frame
                await asyncio.sleep(0.01)

    async def push(self, topic, event, payload):
        """Sends a frame and returns the reply."""
        ref = uuid.uuid4().hex
        await self.connection.send(
            json.dumps(
                {"topic": topic, "event": event, "payload": payload, "ref": ref, "join_ref": ref}
            )
        )
        frame = await self.expect(lambda f: f["event"] == "phx_reply" and f["ref"] == ref)
        return frame["payload"]

    async def join(self, topic):
        """The status of joining a private channel."""
        reply = await self.push(
            f"realtime:{topic}",
            "phx_join",
            {
                "config": {"private": True, "broadcast": {"ack": True}},
                "access_token": self.token,
            },
        )
        return reply["status"]

    def events(self, name):
        """Payloads of the broadcasts of this name."""
        return [
            frame["payload"]["payload"]
            for frame in self.frames
            if frame["event"] == "broadcast" and frame["payload"]["event"] == name
        ]


@contextlib.asynccontextmanager
async def socket_of(stack, person):
    url = stack.api_url.replace("http", "ws") + "/realtime/v1/websocket"
    async with websockets.connect(f"{url}?apikey={stack.publishable_key}&vsn=1.0.0") as connection:
        socket = Socket(connection, person.token or stack.publishable_key)
        try:
            yield socket
        finally:
            socket.reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await socket.reader


@pytest.mark.parametrize(
    ("person", "status"),
    [
        ("owner", "ok"),
        ("member", "ok"),
        ("former_member", "error"),
        ("stranger", "error"),
        ("other_tenant", "error"),
        ("anon", "error"),
    ],
)
async def test_who_may_join_a_conversation_s_topic(stack, story, person, status):
    (epoch,) = story.db.execute(
        "select epoch from chat.conversations where id = %s", (story.conversation_id,)
    ).fetchone()
    async with socket_of(stack, getattr(story.people, person)) as socket:
        for topic in (
            f"conversation:{story.conversation_id}:{epoch}",
            f"conversation:{story.conversation_id}:{epoch}:typing",
        ):
            assert await socket.join(topic) == status


@pytest.mark.parametrize(
    "topic",
    [
        "conversation:{id}:1",
        "conversation:{id}:99",
        "conversation:{id}",
        "conversation:{id}:2:messages",
        "conversation:{id}:02",
        "conversation:not-a-uuid:2",
        "user:{other}",
        "user:",
        "anything",
    ],
)
async def test_other_topics_are_nobody_s(stack, story, topic):
    # The story's conversation is at epoch 2: somebody has left it.
    name = topic.format(id=story.conversation_id, other=story.people.owner.id)
    async with socket_of(stack, story.people.member) as socket:
        assert await socket.join(name) == "error"


async def test_everybody_hears_their_own_inbox_and_only_participants_the_conversation(stack, story):
    owner, member = story.people.owner, story.people.member
    async with socket_of(stack, member) as socket:
        assert await socket.join(f"conversation:{story.conversation_id}:2") == "ok"
        assert await socket.join(f"user:{member.id}") == "ok"

        sent = owner.call("send_message", conversation_id=story.conversation_id, body="live")

        def is_sent(topic):
            return lambda f: (
                f["topic"] == topic
                and f["event"] == "broadcast"
                and f["payload"]["payload"].get("message", {}).get("id") == sent["id"]
            )

        heard = await socket.expect(is_sent(f"realtime:conversation:{story.conversation_id}:2"))
        payload = heard["payload"]["payload"]
        assert payload["message"]["body"] == "live"
        assert payload["rev"] == sent["rev"]
        assert "unread_count" not in payload
        inbox = await socket.expect(is_sent(f"realtime:user:{member.id}"))
        assert inbox["payload"]["payload"]["unread_count"] == 2


async def test_clients_cannot_speak_where_the_database_does(stack, story):
    member = story.people.member
    topic = f"conversation:{story.conversation_id}:2"
    async with (
        socket_of(stack, story.people.owner) as victim,
        socket_of(stack, member) as attacker,
    ):
        assert await victim.join(topic) == "ok"
        assert await victim.join(f"{topic}:typing") == "ok"
        assert await attacker.join(topic) == "ok"
        assert await attacker.join(f"{topic}:typing") == "ok"
        forged = {"type": "broadcast", "event": "message_created", "payload": {"seq": 99}}
        for name in (topic, f"user:{story.people.owner.id}"):
            await attacker.connection.send(
                json.dumps(
                    {
                        "topic": f"realtime:{name}",
                        "event": "broadcast",
                        "payload": forged,
                        "ref": "1",
                        "join_ref": "1",
                    }
                )
            )
        # Typing is theirs to send, and comes after what was forged.
        typing = {"type": "broadcast", "event": "typing", "payload": {}}
        reply = await attacker.push(f"realtime:{topic}:typing", "broadcast", typing)
        assert reply["status"] == "ok"
        await victim.expect(lambda f: f["topic"] == f"realtime:{topic}:typing")
        assert victim.events("message_created") == []


async def test_from_the_moment_of_leaving_an_open_socket_hears_nothing_more(stack, story):
    owner, member = story.people.owner, story.people.member
    old, new = (f"conversation:{story.conversation_id}:{epoch}" for epoch in (2, 3))
    async with socket_of(stack, member) as removed, socket_of(stack, owner) as stays:
        assert await removed.join(old) == "ok"
        assert await removed.join(f"user:{member.id}") == "ok"
        assert await stays.join(f"user:{owner.id}") == "ok"

        story.db.execute(
            "update chat.participants set left_at = now() "
            "where conversation_id = %s and user_id = %s",
            (story.conversation_id, member.id),
        )
        owner.call("send_message", conversation_id=story.conversation_id, body="about them")

        # Who stays is told where the conversation goes on.
        def is_left(frame):
            return (
                frame["event"] == "broadcast"
                and frame["payload"]["event"] == "participant_left"
                and frame["payload"]["payload"]["user_id"] == member.id
            )

        moved = await stays.expect(is_left)
        assert moved["payload"]["payload"]["epoch"] == 3
        assert await stays.join(new) == "ok"
        # Who left is told so, and that is all: later news of theirs has come, this has not.
        await removed.expect(is_left)
        room = story.people.stranger.call("start_direct", user_id=member.id)
        await removed.expect(
            lambda f: (
                f["event"] == "broadcast"
                and f["payload"]["payload"].get("conversation_id") == room["id"]
            )
        )
        heard = [event["message"]["body"] for event in removed.events("message_created")]
        assert "about them" not in heard
        assert await removed.join(new) == "error"
        assert await removed.join(old) == "error"
