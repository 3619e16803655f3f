"""The parts of the benchmark, in the order they are measured."""

from __future__ import annotations

from collections.abc import Callable

from . import database, delivery, http, sends
from .laboratory import Laboratory
from .results import Results

Part = Callable[[Laboratory, Results], None]
PARTS: dict[str, Part] = {
    "database": database.measure,
    "sends": sends.measure,
    "http": http.measure,
    "delivery": delivery.measure,
}
