"""What the reference model is made of. Nothing is counted that can be computed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from math import inf
from typing import Any, NamedTuple

DAY = 86_400
FOREVER = "forever"
RETENTION = {"free": 30 * DAY, "privileged": 180 * DAY, FOREVER: None}
GRACE = 30 * DAY
RANKS = {"owner": 0, "admin": 1, "member": 2}
TENANT_RANKS = {"owner": 0, "admin": 1, "moderator": 2, "member": 3}


def _lasts(tier: str) -> float:
    retention = RETENTION[tier]
    return inf if retention is None else retention


@cache
def iso(seconds: int | None) -> str | None:
    """A time as PostgreSQL writes it in JSON."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


class Refused(Exception):  # noqa: N818 - it is an answer
    """The call is refused with this code, or by this constraint; by a policy it is ``42501``."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Event(NamedTuple):
    """One change of a conversation that its participants are told."""

    room: str
    rev: int
    name: str
    epoch: int
    on_topic: bool
    unread: frozenset[tuple[str, int]]  # of each inbox it reaches


class Notice(NamedTuple):
    """What one user alone is told."""

    user: str
    name: str


@dataclass
class Message:
    """A message. What it said is gone once it is deleted for everyone."""

    seq: int
    id: str
    sender: str | None
    kind: str
    body: str | None
    metadata: dict[str, Any]
    created_at: int
    expires_at: int | None
    rev: int
    reply_to: int | None = None
    thread_root: int | None = None
    is_changed: bool = False
    edited_at: int | None = None
    deleted_at: int | None = None
    pinned_by: str | None = None
    revisions: list[str | None] = field(default_factory=list)
    # Who, with what; when.
    reactions: dict[tuple[str, str], int] = field(default_factory=dict)
    votes: set[tuple[str, str]] = field(default_factory=set)
    mentions: set[str | None] = field(default_factory=set)


@dataclass
class Settings:
    """What is private to one participant."""

    muted_until: int | None = None
    is_pinned: bool = False
    is_archived: bool = False
    unread_from: int | None = None


class Receipt(NamedTuple):
    """A move of somebody's watermarks."""

    rev: int
    last_read: int
    last_delivered: int
    moved_at: int


@dataclass
class Participant:
    """Somebody who takes part, or did."""

    user: str
    role: str
    joined_at: int
    rev: int = 0
    party: str | None = None
    left_at: int | None = None
    visible_from: int = 1
    last_read: int = 0
    last_delivered: int = 0
    silenced_until: int | None = None
    last_sent_at: int | None = None
    settings: Settings | None = None
    hidden: set[int] = field(default_factory=set)
    saved: dict[int, str | None] = field(default_factory=dict)
    drafts: dict[int | None, str] = field(default_factory=dict)
    threads: dict[int, tuple[int, bool]] = field(default_factory=dict)  # read up to, is followed
    receipts: list[Receipt] = field(default_factory=list)

    @property
    def unread_after(self) -> int:
        """The last message that is not unread for them."""
        if self.settings and self.settings.unread_from is not None:
            return self.settings.unread_from - 1
        return self.last_read


@dataclass
class Room:
    """A conversation of any kind."""

    id: str
    tenant: str
    kind: str
    created_by: str | None
    last_activity: int
    status: str = "open"
    title: str | None = None
    pair: tuple[str | None, str | None] = (None, None)
    subject: tuple[str | None, str | None] = (None, None)
    slow_mode: int = 0
    rev: int = 0
    epoch: int = 1
    people: dict[str, Participant] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)

    @property
    def last_seq(self) -> int:
        """Number of the newest message."""
        return len(self.messages)

    def active(self) -> list[Participant]:
        """Those who take part now."""
        return [p for p in self.people.values() if p.left_at is None]

    def unread(self, person: Participant, now: int, *, in_public: bool = False) -> int:
        """Exactly what ``person`` has not read and can; ``in_public``, without private marks."""
        after = person.last_read if in_public else person.unread_after
        return sum(
            m.kind != "system"
            and m.sender != person.user
            and m.deleted_at is None
            and (in_public or m.seq not in person.hidden)
            and not (m.expires_at is not None and m.expires_at <= now)
            for m in self.messages[after:]
        )

    def thread_count(self, seq: int) -> int:
        """How many messages a thread has."""
        return sum(m.thread_root == seq and m.deleted_at is None for m in self.messages)


@dataclass
class Member:
    """Somebody of a tenant."""

    role: str = "member"
    # By which tier their messages live from when on; the last is the one they have.
    tiers: list[tuple[float, str]] = field(default_factory=lambda: [(-inf, "free")])
    is_removed: bool = False

    def set_tier(self, tier: str, now: int) -> None:
        """A higher one counts at once; a lower one after the grace, or when a lower one would."""
        if tier == self.tiers[-1][1]:
            return
        current = [change for change in self.tiers if change[0] <= now][-1]
        if _lasts(tier) >= _lasts(current[1]):
            self.tiers = [(-inf, tier)]
            return
        later = [change for change in self.tiers if change[0] > now]
        replaced = [change for change in later if _lasts(tier) >= _lasts(change[1])]
        self.tiers = [change for change in self.tiers if change not in replaced]
        self.tiers.append((min((c[0] for c in replaced), default=now + GRACE), tier))

    def expiry(self, created_at: int) -> int | None:
        """When what they sent then expires."""
        ends = [max(created_at + _lasts(tier), start) for start, tier in self.tiers]
        return None if min(ends) == inf else int(min(ends))


@dataclass
class Ban:
    """A ban that nobody has lifted."""

    banned_by: str | None
    was_member: bool
    expires_at: int | None


@dataclass
class Tenant:
    """A tenant with what it decided."""

    members: dict[str, Member] = field(default_factory=dict)
    bans: dict[str, Ban] = field(default_factory=dict)
    who_may_start: str = "members"
    who_may_open_subjects: str = "members"
    revisions_visible_to: str = "participants"
    edit_window: int | None = None
