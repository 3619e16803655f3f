"""What every route works with."""

from __future__ import annotations

from dataclasses import dataclass, field

from parley_stack.config.sections import Storage
from parley_stack.keys import Keys

from .caller import Caller
from .database import Pool
from .files import FileStore


@dataclass(frozen=True)
class Server:
    """One Storage server. ``service`` acts for the server itself: past row security."""

    settings: Storage
    keys: Keys
    pool: Pool = field(repr=False)
    files: FileStore
    service: Caller = field(repr=False)
