"""Starts the parts of a stack in the right order, keeps them running, ends them."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .account import Account
from .binaries import Binaries
from .config import Config
from .database import Migrations, install_platform
from .extensions.install import create_pg_cron
from .keys import Keys
from .paths import Paths, ready_file
from .postgres import Postgres
from .postgrest import answers, environment
from .redaction import Redactor
from .service import Service, ServiceLog
from .state import State
from .storage.seeding import seed_buckets


@dataclass
class Supervisor:
    """One stack. ``tell`` hears a line for each step."""

    config: Config
    keys: Keys
    paths: Paths
    binaries: Binaries
    account: Account
    api_port: int
    db_port: int
    mail_port: int
    ephemeral: bool
    tell: Callable[[str], None]
    _services: list[Service] = field(default_factory=list)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, on_ready: Callable[[State], None]) -> None:
        """Starts everything, calls ``on_ready``, returns after a signal ended it.

        Raises StackError when the start fails; nothing is left running then.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._stopping.set)
        state = State.of(
            self.keys,
            workdir=self.paths.workdir,
            data=self.paths.data,
            logs=self.paths.logs,
            api_port=self.api_port,
            db_port=self.db_port,
            mail_port=self.mail_port,
        )
        starting = asyncio.create_task(self._start())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                state.write(self.paths.state)
                on_ready(state)
                await stopping
                self.tell("Stopping")
        finally:
            starting.cancel()
            stopping.cancel()
            await asyncio.gather(starting, stopping, return_exceptions=True)
            await self._stop()

    async def _start(self) -> None:
        postgres = Postgres.of(
            self.paths,
            self.binaries,
            self.account,
            port=self.db_port,
            ephemeral=self.ephemeral,
        )
        server, serving, rest = (
            self._postgres_service(postgres),
            self._serving_service(),
            self._postgrest_service(postgres),
        )
        # It waits for the database by itself: its start-up overlaps with initdb.
        await self._launch(serving)
        is_new = not postgres.is_initialised
        if is_new:
            self.tell(f"Creating the database (PostgreSQL {postgres.version[1]})")
            await asyncio.to_thread(postgres.initialise)
        else:
            self.tell(f"Starting PostgreSQL {postgres.version[1]}")
        postgres.check_version()
        await self._launch(server)
        await server.wait_ready()
        await asyncio.to_thread(self._lay_database, postgres)
        self.tell("Starting PostgREST, Auth, Realtime and Storage")
        await self._launch(rest)
        await asyncio.gather(rest.wait_ready(), serving.wait_ready())
        # Not before Storage looked through its folder: it deletes files that have no row yet.
        await asyncio.to_thread(
            seed_buckets, self.config, postgres.conninfo(), self.paths.files, self.tell
        )
        for service in self._services:
            service.keep()

    def _lay_database(self, postgres: Postgres) -> None:
        conninfo = postgres.conninfo()
        added = install_platform(
            conninfo, jwt_secret=self.keys.jwt_secret, jwt_expiry=self.config.auth.jwt_expiry
        )
        create_pg_cron(conninfo)
        if added:
            self.tell("Laid down roles and schemas of a Supabase project")
        migrations = Migrations(
            self.paths.workdir, self.paths.home, self.binaries.supabase, self.db_port
        )
        seeded = self.paths.data / "parley_seeded"
        pending = migrations.pending(conninfo)
        seed = self.config.db.seed.enabled and not seeded.exists()
        if pending or seed:
            migrations.apply(seed=seed, tell=self.tell)
        seeded.touch()

    async def _launch(self, service: Service) -> None:
        self._services.append(service)
        await service.start()

    async def _stop(self) -> None:
        # Those who use the database before the database.
        by_name = {service.name: service for service in self._services}
        server = by_name.pop("postgres", None)
        await asyncio.gather(*(service.stop() for service in by_name.values()))
        if server is not None:
            await server.stop()
        self.paths.state.unlink(missing_ok=True)
        shutil.rmtree(self.paths.sockets, ignore_errors=True)
        if self.ephemeral:
            shutil.rmtree(self.paths.data.parent, ignore_errors=True)

    def _log(self, name: str) -> ServiceLog:
        secrets = (self.keys.jwt_secret, self.keys.secret_key, self.keys.service_role_key)
        return ServiceLog(self.paths.logs / f"{name}.log", Redactor(secrets))

    def _postgres_service(self, postgres: Postgres) -> Service:
        return Service(
            name="postgres",
            argv=postgres.argv(),
            log=self._log("postgres"),
            is_ready=postgres.is_ready,
            env={"PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8"},
            account=self.account,
            stop_signal=signal.SIGINT,
            before_start=postgres.prepare,
        )

    def _postgrest_service(self, postgres: Postgres) -> Service:
        socket_path = self.paths.sockets / "postgrest.sock"
        api = self.config.api
        return Service(
            name="postgrest",
            argv=[str(self.binaries.postgrest)],
            log=self._log("postgrest"),
            # No such function: answered from the schema cache, with a 5xx until that is loaded.
            is_ready=lambda: answers(socket_path, "/rpc/parley_stack_ready"),
            env=environment(
                conninfo=postgres.conninfo("authenticator"),
                socket_path=socket_path,
                jwks=self.keys.verifier_jwks(),
                schemas=api.schemas,
                extra_search_path=api.extra_search_path,
                max_rows=api.max_rows,
            ),
        )

    def _serving_service(self) -> Service:
        ready = ready_file(self.paths.sockets)

        def is_ready() -> bool:
            try:
                return int(ready.read_text()) == service.pid
            except (OSError, ValueError):
                return False

        service = Service(
            name="services",
            argv=[
                sys.executable,
                "-m",
                "parley_stack",
                "_serve",
                f"--workdir={self.paths.workdir}",
                f"--sockets={self.paths.sockets}",
                f"--files={self.paths.files}",
                f"--api-port={self.api_port}",
                f"--db-port={self.db_port}",
                f"--mail-port={self.mail_port}",
            ],
            log=self._log("services"),
            is_ready=is_ready,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(_import_path())},
        )
        return service


def _import_path() -> list[str]:
    """Where this package was found, for a child that starts in another folder."""
    package = str(Path(__file__).resolve().parent.parent)
    return [package, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
