"""The parts of the benchmark, in the order they are measured."""

from __future__ import annotations

from collections.abc import Callable

from . import (
    cycles,
    database,
    delivery,
    growth,
    http,
    importing,
    purge,
    sends,
    size,
    starts,
    storage,
)
from .laboratory import Laboratory
from .results import Results

Part = Callable[[Laboratory, Results], None]
PARTS: dict[str, Part] = {
    database.PART: database.measure,
    size.PART: size.measure,
    sends.PART: sends.measure,
    http.PART: http.measure,
    delivery.PART: delivery.measure,
    storage.PART: storage.measure,
    growth.PART: growth.measure,
    purge.PART: purge.measure,
    cycles.PART: cycles.measure,
    importing.PART: importing.measure,
    starts.PART: starts.measure,
}
