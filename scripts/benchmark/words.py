"""Text that looks like language to an index: few words often, many words hardly ever."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

_VOCABULARY = 30_000
_BATCH = 20_000
# By rank. Of a million messages, a common word is in some 200,000 and a rare one in some 40.
COMMON_RANKS = range(3, 8)
RARE_RANKS = range(24_000, 24_020)


def vocabulary() -> list[str]:
    """Made-up words, the most frequent first and shorter. The same in every run."""
    draw = random.Random(1)  # noqa: S311 - text
    syllables = ["".join(pair) for pair in itertools.product("bdfgklmnprstvz", "aeiou")]
    words: dict[str, None] = {}
    while len(words) < _VOCABULARY:
        length = 1 + (len(words) > 60) + (len(words) > 1500) + draw.randrange(2)
        words["".join(draw.choices(syllables, k=length))] = None
    return list(words)


def sentences(draw: random.Random, words: list[str]) -> Iterator[str]:
    """For ever: 3 to 27 words each, by Zipf's law."""
    weights = list(itertools.accumulate(1 / (rank + 2.7) for rank in range(len(words))))
    while True:
        stream = draw.choices(words, cum_weights=weights, k=_BATCH)
        at = 0
        while at + 27 <= _BATCH:
            length = 3 + int(draw.random() * draw.random() * 50) % 25
            yield " ".join(stream[at : at + length])
            at += length
