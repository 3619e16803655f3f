"""Texts of refusals, and the exceptions that carry them.

Clients compare these texts: a join reason is ``<Code>: <message>``, a system message is the
message alone. Source: Supabase Realtime protocol, sections 3 to 5.
"""

from __future__ import annotations

from enum import Enum


class Problem(Enum):
    """Why a join or a private send was refused: code and message."""

    TOPIC_NAME_REQUIRED = ("TopicNameRequired", "You must provide a topic name")
    TOPIC_NAME_TOO_LONG = ("TopicNameTooLong", "A topic has at most 255 bytes")
    CHANNEL_LIMIT = ("ChannelRateLimitReached", "Too many channels")
    JOIN_LIMIT = ("ClientJoinRateLimitReached", "Too many joins per second")
    DATABASE_UNREACHABLE = (
        "UnableToConnectToProject",
        "Realtime was unable to connect to the project database",
    )
    POOL_EXHAUSTED = ("IncreaseConnectionPool", "Please increase your connection pool size")
    QUERY_CANCELED = ("QueryCanceled", "Query was cancelled, please try again")
    MISSING_PARTITION = (
        "MissingPartition",
        "Realtime was unable to find the partition of realtime.messages for today",
    )
    REPLAY_PARAMETERS = ("UnableToReplayMessages", "Replay params are not valid")
    REPLAY_PUBLIC = ("UnableToReplayMessages", "Replay is not allowed for public channels")
    REPLAY_FAILED = ("UnableToReplayMessages", "Realtime was unable to replay messages")
    POLICY = ("Unauthorized", "A policy of realtime.messages failed")
    UNAUTHORIZED = ("Unauthorized", "You do not have permissions to read from this Channel topic")

    @property
    def message(self) -> str:
        """The text a system message carries."""
        return self.value[1]

    @property
    def reason(self) -> str:
        """The text a join error carries."""
        return f"{self.value[0]}: {self.value[1]}"


TRANSIENT = frozenset(
    {
        Problem.DATABASE_UNREACHABLE,
        Problem.POOL_EXHAUSTED,
        Problem.QUERY_CANCELED,
        Problem.MISSING_PARTITION,
    }
)
"""Problems that may be gone at the next try: the client should rejoin."""

UNKNOWN = "Unknown Error on Channel"
UNMATCHED_TOPIC = "unmatched topic"
SERVER_DISCONNECT = "Server requested disconnect"
TOO_MANY_MESSAGES = "Too many messages per second"
TOO_MANY_PRESENCE_MESSAGES = "Too many presence messages per second"
PRESENCE_RATE = "Client presence rate limit exceeded"
PRESENCE_NO_MAP = "Presence track payload must be a map"
TRACK_TOO_LARGE = "Track message size exceeded"
REPLICATION_READY = "Replication connection established"
REPLICATION_LATE = "Replication connection was not established in time"
PAYLOAD_TOO_LARGE = "payload_size_exceeded"
DISABLED = "Realtime was disabled for this tenant"


def cannot_read(topic: str) -> str:
    """Message for a channel that no policy opens; ``topic`` without its prefix."""
    return f"{Problem.UNAUTHORIZED.message}: {topic}"


def can_no_longer_read(topic: str) -> str:
    """Message for a channel that a new token closes; ``topic`` without its prefix."""
    return f"You no longer have permission to read from this Channel topic: {topic}"


class MalformedFrameError(Exception):
    """A client's frame that does not follow the protocol; it is dropped, the socket stays."""


class AuthorizationError(Exception):
    """PostgreSQL could not be asked, or its answer was an error."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class ConnectRefusedError(Exception):
    """A handshake that ends in an HTTP ``status`` and ``{"error": message}``."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
