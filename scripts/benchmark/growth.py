"""Each operation in the database with fewer messages: its cost must not grow with the table."""

from __future__ import annotations

from dataclasses import replace

from . import database
from .laboratory import Laboratory, laboratory
from .results import Results
from .scales import Scale

PART = "growth"
_MESSAGES_OF_A_CONVERSATION = 100


def measure(lab: Laboratory, results: Results) -> None:
    """Smaller towns, each on a stack of its own; then what was measured in the whole one."""
    sizes = (*lab.scale.growth, lab.scale.messages)
    for messages in lab.scale.growth:
        with laboratory(_smaller(lab.scale, messages)) as made:
            _keep(results, database.under_policies(made), messages, sizes[0])
    _keep(results, database.under_policies(lab), lab.scale.messages, sizes[0])


def _smaller(scale: Scale, messages: int) -> Scale:
    conversations = max(scale.own_conversations, messages // _MESSAGES_OF_A_CONVERSATION)
    return replace(
        scale,
        messages=messages,
        conversations=conversations,
        large_room=min(scale.large_room, messages // 3),
    )


def _keep(results: Results, samples: dict[str, list[float]], messages: int, smallest: int) -> None:
    for name, values in samples.items():
        beside = None if messages == smallest else how(smallest)
        results.add(PART, name, how(messages), "ms", values, beside=beside)


def how(messages: int) -> str:
    """The name of a size."""
    return f"{messages:,} messages"
