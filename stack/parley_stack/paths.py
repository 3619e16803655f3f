"""Where a stack keeps its things.

Everything lies in ``<workdir>/.parley/`` (data, logs, lock, state), except sockets, whose paths
must be short, the data of an ephemeral stack, and data that the server's user could not reach: a
stack started by root in a private folder keeps it under ``/var/lib/parley_stack``.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .account import Account
from .errors import StackError

_ROOT_HOME = Path("/var/lib/parley_stack")


def _short_name(workdir: Path) -> str:
    return hashlib.sha256(str(workdir).encode()).hexdigest()[:12]


def ready_file(sockets: Path) -> Path:
    """Holds the process id of a serving process that is ready."""
    return sockets / "serving.pid"


@dataclass(frozen=True)
class Paths:
    """The folders and files of one stack."""

    workdir: Path
    home: Path
    data: Path
    sockets: Path

    @classmethod
    def of(
        cls, workdir: Path, account: Account, *, ephemeral: bool = False, detached: bool = True
    ) -> Paths:
        """Those of the project in ``workdir``.

        ``ephemeral``: data in a new temporary folder. One that is not ``detached`` has all its
        things there, so that many can run on one project; a detached one must be found again.
        """
        workdir = workdir.resolve()
        home = workdir / ".parley"
        if ephemeral:
            temporary = Path(tempfile.mkdtemp(prefix="parley-"))
            temporary.chmod(0o755)
            return cls(
                workdir,
                home if detached else temporary,
                temporary / "data",
                temporary / "run",
            )
        reachable = account.can_enter(workdir)
        data = home / "data" if reachable else _ROOT_HOME / _short_name(workdir) / "data"
        sockets = Path(tempfile.gettempdir()) / f"parley-{_short_name(workdir)}"
        return cls(workdir, home, data, sockets)

    @property
    def project(self) -> Path:
        """The folder of the Supabase project."""
        return self.workdir / "supabase"

    @property
    def files(self) -> Path:
        """Those of Storage, beside the database that knows their names."""
        return self.data.parent / "files"

    @property
    def logs(self) -> Path:
        """One file per service."""
        return self.home / "logs"

    @property
    def lock(self) -> Path:
        """Held by the running stack."""
        return self.home / "lock"

    @property
    def state(self) -> Path:
        """What `status` prints, as JSON."""
        return self.home / "state.json"

    def make(self, account: Account) -> None:
        """Makes the folders. Raises StackError where that is not possible or not safe."""
        try:
            for folder in (self.home, self.logs, self.data.parent):
                folder.mkdir(parents=True, exist_ok=True)
            (self.home / ".gitignore").write_text("*\n")
            self.sockets.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StackError(
                f"cannot write {error.filename}: {error.strerror}",
                hint="choose a folder you may write to with --workdir",
            ) from error
        if self.sockets.is_symlink() or self.sockets.stat().st_uid not in (
            account.uid,
            Account.current().uid,
        ):
            raise StackError(
                f"{self.sockets} belongs to another user",
                hint="remove it, or set TMPDIR to a folder of your own",
            )
        self.sockets.chmod(0o700)
        account.own(self.sockets)
