"""The arithmetic: what is there after so many months, and what was written to get there. No I/O.

A message lives as long as its sender's tier says, then for the restore window as a tombstone with
its text aside, and is gone. A month has 30.4375 days.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

DAYS_OF_MONTH = 30.4375
SECONDS_OF_DAY = 86400


@dataclass(frozen=True)
class Bytes:
    """What one of something takes: rows, their indexes, and the WAL that writes it."""

    table: float = 0.0
    index: float = 0.0
    wal: float = 0.0

    def __add__(self, other: Bytes) -> Bytes:
        return Bytes(self.table + other.table, self.index + other.index, self.wal + other.wal)

    def __mul__(self, times: float) -> Bytes:
        return Bytes(self.table * times, self.index * times, self.wal * times)


@dataclass(frozen=True)
class Calibration:
    """Bytes of each thing. ``message`` without its text; ``letter`` for each character of it.

    event: What a send leaves in Realtime's table, for three days.
    aside: The text of an expired message kept for restoring, without its letters.
    marked, purged: Only their WAL counts: they write, and nothing stays.
    """

    person: Bytes
    conversation: Bytes
    message: Bytes
    letter: Bytes
    receipt: Bytes
    reaction: Bytes
    event: Bytes
    aside: Bytes
    marked: Bytes
    purged: Bytes
    about: str = ""

    def sent(self, letters: float) -> Bytes:
        """A message with so many characters."""
        return self.message + self.letter * letters


# The document's own: 9.1 million messages a year in 1.8 GB, a quarter more for indexes, no more.
DOCUMENT = Calibration(
    **dict.fromkeys(
        ("person", "conversation", "receipt", "reaction", "event", "aside", "marked", "purged"),
        Bytes(),
    ),
    message=Bytes(table=97.0, index=49.25),
    letter=Bytes(table=1.0),
    about="as the BookConnect document counts",
)


@dataclass(frozen=True)
class Plan:
    """What is to be planned for.

    users: At the beginning. growth: Of users in a month, 0.05 for 5 percent.
    messages_a_day: Of each user. tiers: The share of messages by tier.
    retention_days: Of each tier; None keeps for ever.
    receipts, reactions: Of each message.
    conversations: Of each user.
    headroom: Space that updates leave and vacuum gives back, of what is in use.
    peak: How much more is sent in the busiest second than on average.
    """

    users: float = 500
    messages_a_day: float = 50
    growth: float = 0.0
    tiers: Mapping[str, float] = field(
        default_factory=lambda: {"free": 0.7, "privileged": 0.2, "privileged_plus": 0.1}
    )
    retention_days: Mapping[str, float | None] = field(
        default_factory=lambda: {"free": 30, "privileged": 180, "privileged_plus": 365}
    )
    letters: float = 100
    receipts: float = 0.5
    reactions: float = 0.1
    conversations: float = 10
    restore_days: float = 30
    event_days: float = 3
    headroom: float = 0.2
    peak: float = 4.0
    months: int = 24

    def users_after(self, months: float) -> float:
        """How many there are then."""
        return self.users * float((1 + self.growth) ** months)

    def sent_between(self, start: float, end: float) -> float:
        """Messages sent between two times in days; there were none before day 0."""
        start, end = max(start, 0.0), max(end, 0.0)
        daily = self.users * self.messages_a_day
        if self.growth == 0:
            return daily * (end - start)
        return daily * _integral(lambda day: (1 + self.growth) ** (day / DAYS_OF_MONTH), start, end)


def _integral(height: Callable[[float], float], start: float, end: float) -> float:
    """Simpson's rule: growth is smooth, and steps of days exact enough."""
    if end <= start:
        return 0.0
    steps = 2 * max(1, round((end - start) / 10))
    width = (end - start) / steps
    total = height(start) + height(end)
    for i in range(1, steps):
        total += height(start + i * width) * (4 if i % 2 else 2)
    return total * width / 3


@dataclass(frozen=True)
class Month:
    """The end of a month, and what was written in it.

    live, waiting: Messages to be read, and tombstones whose text can be restored.
    parts: Bytes on disk by what takes them, headroom included as one of them.
    """

    number: int
    users: float
    sent: float
    live: float
    waiting: float
    parts: Mapping[str, float]
    table_bytes: float
    index_bytes: float
    wal_bytes: float
    sends_a_second: float

    @property
    def total_bytes(self) -> float:
        """On disk, with headroom."""
        return sum(self.parts.values())


def simulate(plan: Plan, bytes_of: Calibration) -> list[Month]:
    """Each month of a plan."""
    return [_month(plan, bytes_of, number) for number in range(1, plan.months + 1)]


def _month(plan: Plan, bytes_of: Calibration, number: int) -> Month:
    end = number * DAYS_OF_MONTH
    start = end - DAYS_OF_MONTH
    live = waiting = marked = purged = 0.0
    for tier, share in plan.tiers.items():
        days = plan.retention_days[tier]
        if days is None:
            live += share * plan.sent_between(0, end)
            continue
        over, gone = end - days, end - days - plan.restore_days
        live += share * plan.sent_between(over, end)
        waiting += share * plan.sent_between(gone, over)
        marked += share * plan.sent_between(over - DAYS_OF_MONTH, over)
        purged += share * plan.sent_between(gone - DAYS_OF_MONTH, gone)
    sent = plan.sent_between(start, end)
    users = plan.users_after(number)
    message = bytes_of.sent(plan.letters)
    with_it = bytes_of.receipt * plan.receipts + bytes_of.reaction * plan.reactions
    people = bytes_of.person + bytes_of.conversation * (plan.conversations / 2)
    aside = bytes_of.aside + Bytes(table=bytes_of.letter.table * plan.letters)
    # A tombstone keeps its row without the text, and the entries of its indexes but for the words.
    tombstone = bytes_of.message + aside
    event = bytes_of.event
    held = {
        "messages": message * live,
        "receipts and reactions": with_it * (live + waiting),
        "expired, to be restored": tombstone * waiting,
        "events of three days": event * plan.sent_between(end - plan.event_days, end),
        "people and conversations": people * users,
    }
    table = sum(each.table for each in held.values())
    index = sum(each.index for each in held.values())
    parts = {name: each.table + each.index for name, each in held.items()}
    parts["headroom"] = plan.headroom * (table + index)
    wal = (
        sent * (message + with_it + event).wal
        + marked * bytes_of.marked.wal
        + purged * bytes_of.purged.wal
        + (users - plan.users_after(number - 1)) * people.wal
    )
    return Month(
        number=number,
        users=users,
        sent=sent,
        live=live,
        waiting=waiting,
        parts=parts,
        table_bytes=table,
        index_bytes=index,
        wal_bytes=wal,
        sends_a_second=users * plan.messages_a_day / SECONDS_OF_DAY * plan.peak,
    )


@dataclass(frozen=True)
class Limit:
    """Something that gives out. need: At the plan's end, in the same unit as ``most``."""

    name: str
    need: float
    most: float
    unit: str

    @property
    def share(self) -> float:
        """Of what there is; above 1 it has given out."""
        return self.need / self.most


# Of PostgreSQL: 2^32 pages of 8 KiB in a table, and 2^31 transactions between freezes, of which
# autovacuum begins to freeze at 200 million.
LARGEST_TABLE = 2**32 * 8192
FREEZE_AFTER = 200e6


def limits(
    plan: Plan,
    month: Month,
    bytes_of: Calibration,
    *,
    sends_a_second: float,
    connected: float,
    clients: float,
    memory_bytes: float,
) -> list[Limit]:
    """What one primary and one cluster of Realtime can do, and what the plan asks of them.

    sends_a_second: Of the primary. connected: Share of the users with a socket open. clients:
        Sockets that the cluster of Realtime holds. memory_bytes: Of the primary.
    """
    messages = (bytes_of.sent(plan.letters).table * month.live) + (
        bytes_of.message.table * month.waiting
    )
    # Inserts go to the end of each conversation: what is sent in a day is what is warm.
    warm = bytes_of.sent(plan.letters) * (month.users * plan.messages_a_day)
    average = month.sends_a_second / plan.peak
    writes = average * (1 + plan.receipts + plan.reactions)
    return [
        Limit("sends in the busiest second", month.sends_a_second, sends_a_second, "/s"),
        Limit("sockets open", month.users * connected, clients, ""),
        Limit("index of messages in memory", _index_of(bytes_of, plan, month), memory_bytes, "B"),
        Limit("a day's messages in memory", warm.table + warm.index, memory_bytes, "B"),
        Limit("table of messages", messages * (1 + plan.headroom), LARGEST_TABLE, "B"),
        Limit("transactions before a freeze, a day", writes * SECONDS_OF_DAY, FREEZE_AFTER, ""),
    ]


def _index_of(bytes_of: Calibration, plan: Plan, month: Month) -> float:
    return bytes_of.sent(plan.letters).index * month.live + bytes_of.message.index * month.waiting
