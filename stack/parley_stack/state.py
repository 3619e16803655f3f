"""What a running stack tells others: its lock, its process, its addresses and keys."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from .errors import StackError

if TYPE_CHECKING:
    from .keys import Keys

_TRIES = 5
_PAUSE_SECONDS = 0.02

# The names `supabase status -o env` prints, in its order.
ENV_NAMES = (
    "API_URL",
    "DB_URL",
    "MAILPIT_URL",
    "PUBLISHABLE_KEY",
    "SECRET_KEY",
    "JWT_SECRET",
    "ANON_KEY",
    "SERVICE_ROLE_KEY",
)


class State(BaseModel):
    """A running stack. ``pid`` is the supervisor's; ``data`` its data folder."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    pid: int
    workdir: Path
    data: Path
    logs: Path
    api_port: int
    db_port: int
    api_url: str
    db_url: str
    mailpit_url: str
    publishable_key: str
    secret_key: str
    jwt_secret: str
    anon_key: str
    service_role_key: str

    @classmethod
    def of(
        cls,
        keys: Keys,
        *,
        workdir: Path,
        data: Path,
        logs: Path,
        api_port: int,
        db_port: int,
        mail_port: int,
    ) -> State:
        """That of this process."""
        return cls(
            pid=os.getpid(),
            workdir=workdir,
            data=data,
            logs=logs,
            api_port=api_port,
            db_port=db_port,
            api_url=f"http://127.0.0.1:{api_port}",
            db_url=f"postgresql://postgres:postgres@127.0.0.1:{db_port}/postgres",
            mailpit_url=f"http://127.0.0.1:{mail_port}",
            publishable_key=keys.publishable_key,
            secret_key=keys.secret_key,
            jwt_secret=keys.jwt_secret,
            anon_key=keys.anon_key,
            service_role_key=keys.service_role_key,
        )

    def env(self) -> dict[str, str]:
        """The values by the names of ``supabase status -o env``."""
        fields: dict[str, Any] = self.model_dump()
        return {name: str(fields[name.lower()]) for name in ENV_NAMES}

    def write(self, path: Path) -> None:
        """Replaces ``path`` at once, readable by its owner only."""
        partial = path.with_suffix(".partial")
        partial.touch(mode=0o600)
        partial.write_text(self.model_dump_json(indent=2))
        partial.replace(path)

    @classmethod
    def read(cls, path: Path) -> State | None:
        """None when there is no such file, or a half-known one."""
        try:
            return cls.model_validate(json.loads(path.read_text()))
        except (OSError, ValueError):
            return None


class Lock:
    """Held for as long as a stack runs; the kernel lets go of it when the process dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def take(self) -> None:
        """Raises StackError when another process holds it."""
        handle = self._path.open("a+")
        for _ in range(_TRIES):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                time.sleep(_PAUSE_SECONDS)  # perhaps only somebody looking (is_held)
            else:
                self._file = handle
                return
        handle.close()
        raise StackError(
            f"a stack is already starting or running for {self._path.parent.parent}",
            hint="`python -m parley_stack status` shows it, `stop` ends it",
        )

    def is_held(self) -> bool:
        """Whether some process holds it."""
        if not self._path.exists():
            return False
        with self._path.open("a+") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return True
        return False

    def release(self) -> None:
        """Lets go."""
        if self._file is not None:
            self._file.close()
            self._file = None
