"""What the design aims at, as conditions on the figures of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .results import Figure, Results, short

Judge = Callable[[Results, Figure], bool]
Show = Callable[[Results, Figure], str]


@dataclass(frozen=True)
class Target:
    """One aim: what it says of figures found by ``part``, ``what`` and ``how``."""

    aim: str
    part: str
    what: str
    how: str
    is_met: Judge
    show: Show
    why: str = ""
    """What limits it where it is missed."""

    def figure(self, results: Results) -> Figure | None:
        """The figure it judges: the first whose work begins with ``what``."""
        for figure in results.figures.values():
            if (
                figure.part == self.part
                and figure.how == self.how
                and figure.what.startswith(self.what)
            ):
                return figure
        return None


def _p50(
    limit: float,
) -> tuple[Judge, Show]:
    return (
        lambda _, figure: figure.median < limit,
        lambda _, figure: f"p50 {short(figure.median)} {figure.unit}",
    )


def _p99(
    limit: float,
) -> tuple[Judge, Show]:
    return (
        lambda _, figure: figure.percentiles()[2] < limit,
        lambda _, figure: f"p99 {short(figure.percentiles()[2])} {figure.unit}",
    )


def _over(
    limit: float,
) -> tuple[Judge, Show]:
    return (
        lambda _, figure: figure.median > limit,
        lambda _, figure: f"{short(figure.median)}{figure.unit}",
    )


def _under(
    limit: float,
) -> tuple[Judge, Show]:
    return (
        lambda _, figure: figure.median < limit,
        lambda _, figure: f"{short(figure.median)} {figure.unit}",
    )


def _ratio(limit: float, *, at_least: bool = False) -> tuple[Judge, Show]:
    def is_met(results: Results, figure: Figure) -> bool:
        ratio = results.ratio(figure)
        return ratio is not None and (ratio >= limit if at_least else ratio <= limit)

    return is_met, lambda results, figure: f"{results.ratio(figure) or 0:.2f} of {figure.beside}"


def _added(
    limit: float,
) -> tuple[Judge, Show]:
    def added(results: Results, figure: Figure) -> float:
        base = results.baseline(figure)
        return figure.median - (base.median if base else 0)

    return (
        lambda results, figure: added(results, figure) < limit,
        lambda results, figure: f"{added(results, figure):.2f} ms more",
    )


_ALL_ROOMS = (
    "All 500 conversations are read before 30 of them are shown or one sum is: which are the"
    " caller's is in one table, how new and how long they are in another, and each is a look-up of"
    " three pages. Who is in 100 pays a fifth. Only copies of these columns in each participant's"
    " row would be faster, for which every send would write as many rows as there are members."
)
_SETS_OF_ROOMS = (
    "The policy asks once a statement which of 500 conversations the user may read: some tenths of"
    " a millisecond, whatever is read after. Who is in fewer pays less."
)
_SENDS = (
    "A bare insert is one row with one index entry. A send to ten people is 14 rows (the message,"
    " its conversation's and its sender's counters, an event for the topic and one for each inbox),"
    " after checks and under one lock. Under *Sends* is the processor time that this takes, by"
    " process, and what is left of it without events to inboxes (`fan_out_limit`): less in the"
    " session, a third in decoding the log and passing on. Two processors have two milliseconds in"
    " each."
)
_HTTP = (
    "Both processors are busy: under *Http* is the time a send takes of them, by process, most of"
    " it the send itself, to which the client's comes."
)
_BYTES = (
    "Under *Size* is what takes them: half is the row, of which 100 are text and 48 three uuids; a"
    " quarter the indexes of the key, the id and the sender, by which it is found; a sixth the one"
    " for search, without which it would be under 400."
)
_PURGE = (
    "More than half are foreign keys: 17 tables and columns refer to a message, and PostgreSQL"
    " asks each of them for each row that goes, as `explain analyze` of a delete shows, though what"
    " hangs on a batch is gone already. Fewer tables or no foreign keys would be faster."
)
_IMPORT = (
    "Two sessions are busy most of the time. What they do is a message's seven indexes, of which"
    " the words' costs as much as the others together, finding these words, and a look-up for each"
    " foreign key of it and of its read. An import switches none of this off. Meanwhile the session"
    " that Realtime reads the log by decodes all of it, on the same two processors."
)

TARGETS = (
    Target(
        "inbox of 30: p50 under 5 ms",
        "database",
        "inbox of 30",
        "policies",
        *_p50(5),
        _ALL_ROOMS,
    ),
    Target(
        "inbox of 30: at most 1.5 times the table owner's",
        "database",
        "inbox of 30",
        "policies",
        *_ratio(1.5),
    ),
    Target("newest 50: p50 under 2 ms", "database", "newest 50", "policies", *_p50(2)),
    Target(
        "newest 50: at most 1.5 times the table owner's",
        "database",
        "newest 50",
        "policies",
        *_ratio(1.5),
        _SETS_OF_ROOMS,
    ),
    Target(
        "newest 50 of a room of 20,000: p50 under 2 ms",
        "database",
        "newest 50 of the large room",
        "policies",
        *_p50(2),
    ),
    Target(
        "newest 50 of a room of 20,000: at most 1.5 times the table owner's",
        "database",
        "newest 50 of the large room",
        "policies",
        *_ratio(1.5),
        _SETS_OF_ROOMS,
    ),
    Target(
        "unread total: p50 under 3 ms",
        "database",
        "unread total",
        "policies",
        *_p50(3),
        _ALL_ROOMS,
    ),
    Target(
        "unread total: at most 1.5 times the table owner's",
        "database",
        "unread total",
        "policies",
        *_ratio(1.5),
    ),
    Target(
        "search for a rare word: p50 under 50 ms", "database", "search, rare", "policies", *_p50(50)
    ),
    Target(
        "search for a common word: p50 under 50 ms",
        "database",
        "search, common",
        "policies",
        *_p50(50),
    ),
    Target(
        "send, 8 connections: at least 40% of bare inserts",
        "sends",
        "200 rooms of 10, 8 connections, rate",
        "send",
        *_ratio(0.4, at_least=True),
        _SENDS,
    ),
    Target(
        "send, 8 connections: over 2,000/s",
        "sends",
        "200 rooms of 10, 8 connections, rate",
        "send",
        *_over(2000),
        _SENDS,
    ),
    Target(
        "send over HTTP, 8 senders: over 700/s",
        "http",
        "send, 8 senders, 200 rooms of 10, rate",
        "gateway",
        *_over(700),
        _HTTP,
    ),
    Target(
        "send over HTTP, 8 senders: p50 under 15 ms",
        "http",
        "send, 8 senders, 200 rooms of 10, latency",
        "gateway",
        *_p50(15),
        _HTTP,
    ),
    Target(
        "send over HTTP, 32 senders: over 700/s",
        "http",
        "send, 32 senders, 200 rooms of 10, rate",
        "gateway",
        *_over(700),
        _HTTP,
    ),
    Target(
        "send over HTTP, 32 senders: p50 under 50 ms",
        "http",
        "send, 32 senders, 200 rooms of 10, latency",
        "gateway",
        *_p50(50),
        _HTTP,
    ),
    Target(
        "send call to a member's event, 500 clients, 50 sends/s: p50 under 30 ms",
        "delivery",
        "send call to 10 inboxes",
        "broadcast",
        *_p50(30),
    ),
    Target(
        "send call to a member's event, 500 clients, 50 sends/s: p99 under 100 ms",
        "delivery",
        "send call to 10 inboxes",
        "broadcast",
        *_p99(100),
    ),
    Target(
        "database to 1,000 subscribers, 50 messages/s: p99 under 100 ms",
        "delivery",
        "database to 1,000",
        "broadcast",
        *_p99(100),
    ),
    Target(
        "bytes of a message of 100 characters with indexes: under 400",
        "size",
        "100 characters",
        "all",
        *_under(400),
        _BYTES,
    ),
    Target(
        "purge: over 10,000 messages/s",
        "purge",
        "messages purged",
        "two sweeps",
        *_over(10_000),
        _PURGE,
    ),
    Target(
        "purge: over 10,000 messages/s beside 50 sends/s",
        "purge",
        "messages purged",
        "beside 50 sends/s",
        *_over(10_000),
        _PURGE,
    ),
    Target(
        "purge: 50 sends/s at most 1.5 times slower meanwhile",
        "purge",
        "50 sends/s, latency",
        "beside the purge",
        *_ratio(1.5),
        _PURGE,
    ),
    Target(
        "import: at least 20,000 messages/s loaded",
        "import",
        "messages",
        "loaded",
        *_over(20_000),
        _IMPORT,
    ),
    Target(
        "import: memory flat, at most 1.1 times that of a tenth",
        "import",
        "memory of apply",
        "all messages",
        *_ratio(1.1),
    ),
    Target("stack, cold start: under 6 s", "starts", "start", "cold", *_under(6)),
    Target("stack, warm start: under 2 s", "starts", "start", "warm", *_under(2)),
    Target(
        "gateway: at least 80% of bare PostgREST's requests",
        "http",
        "10 messages, 8 connections, rate",
        "gateway",
        *_ratio(0.8, at_least=True),
    ),
    Target(
        "gateway: under 1 ms added at p50",
        "http",
        "10 messages, 8 connections, latency",
        "gateway",
        *_added(1),
    ),
    *(
        Target(f"SDK over raw HTTP, {name}: at most 15% more", "http", name, "SDK", *_ratio(1.15))
        for name in ("send", "inbox", "history of 50")
    ),
)


def judged(results: Results) -> Iterator[tuple[Target, str, bool]]:
    """Each aim that the run measured, what it measured, and whether it is met."""
    for target in TARGETS:
        figure = target.figure(results)
        if figure is not None:
            yield target, target.show(results, figure), target.is_met(results, figure)
