"""The ordinary user that PostgreSQL runs as: it refuses to run as root."""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from .errors import StackError

_PR_SET_PDEATHSIG = 1
_SERVER_ACCOUNTS = ("postgres", "nobody")


class Identity(TypedDict, total=False):
    """The arguments of ``subprocess.Popen`` that change the user."""

    user: int
    group: int
    extra_groups: Sequence[int]


@dataclass(frozen=True)
class Account:
    """A system user by number; ``changes`` is false when it is who we already are."""

    uid: int
    gid: int
    changes: bool

    @classmethod
    def for_server(cls) -> Account:
        """Who runs the database server: ourselves, or an ordinary user when we are root."""
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid(), changes=False)
        for name in _SERVER_ACCOUNTS:
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(entry.pw_uid, entry.pw_gid, changes=True)
        raise StackError(
            "PostgreSQL does not run as root, and there is no ordinary user to run it as",
            hint="create one with `useradd --system postgres`, or start the stack as a user",
        )

    @classmethod
    def current(cls) -> Account:
        """Ourselves."""
        return cls(os.geteuid(), os.getegid(), changes=False)

    def identity(self) -> Identity:
        """Arguments for ``subprocess`` that make a child run as this user."""
        if not self.changes:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def can_enter(self, folder: Path) -> bool:
        """Whether this user may traverse every folder on the way to ``folder``, itself included."""
        if not self.changes:
            return True
        for part in (folder, *folder.parents):
            info = part.stat()
            if info.st_uid == self.uid:
                needed = 0o100
            elif info.st_gid == self.gid:
                needed = 0o010
            else:
                needed = 0o001
            if not info.st_mode & needed:
                return False
        return True

    def own(self, path: Path) -> None:
        """Hands ``path`` to this user."""
        if self.changes:
            os.chown(path, self.uid, self.gid)


def end_with_parent(end_signal: signal.Signals) -> Callable[[], None]:
    """A ``preexec_fn`` that has the kernel signal the child when its parent dies (Linux)."""
    if sys.platform != "linux":
        return lambda: None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def request_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, int(end_signal))

    return request_signal
