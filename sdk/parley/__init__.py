"""Drop-in messaging for Supabase: the Python SDK.

async with AsyncParley(url, key) as parley:
    await parley.auth.sign_in_with_password("alice@example.com", "...")
    room = await parley.conversations.start_direct("bob")
    await room.send("hello")
    async for event in room.events():
        print(event)
"""

from __future__ import annotations

from ._async.auth import AsyncAuth
from ._async.client import AsyncParley
from ._async.conversation import AsyncConversation
from ._async.conversations import AsyncConversations
from ._async.page import AsyncPage
from ._errors import (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    ConnectionFailedError,
    InvalidRequestError,
    NotFoundError,
    ParleyError,
    PermissionDeniedError,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
)
from ._events import (
    ConversationEvent,
    JoinedParticipant,
    MessageCreated,
    ParticipantJoined,
    ParticipantLeft,
    ReceiptMoved,
)
from ._ids import new_id
from ._live.stream import EventStream
from ._models import InboxEntry, Message, Participant, Profile, User
from ._version import __version__

__all__ = [
    "AsyncAuth",
    "AsyncConversation",
    "AsyncConversations",
    "AsyncPage",
    "AsyncParley",
    "AuthenticationError",
    "ConfigurationError",
    "ConflictError",
    "ConnectionFailedError",
    "ConversationEvent",
    "EventStream",
    "InboxEntry",
    "InvalidRequestError",
    "JoinedParticipant",
    "Message",
    "MessageCreated",
    "NotFoundError",
    "ParleyError",
    "Participant",
    "ParticipantJoined",
    "ParticipantLeft",
    "PermissionDeniedError",
    "Profile",
    "RateLimitedError",
    "ReceiptMoved",
    "RequestTimeoutError",
    "ServerError",
    "User",
    "__version__",
    "new_id",
]
