"""A small Supabase project that is not Parley's: the stack serves any."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from parley_stack.testing import Stack
from support.auth_servers import Serve, auth_servers
from support.stacks import start_stack
from support.storage import storage_client, temporary_bucket

CONFIG = """\
project_id = "notes"

[api]
port = 54391
schemas = ["public"]

[db]
port = 54392
major_version = 17
"""

MIGRATION = """\
create table public.notes (
    id bigint generated always as identity primary key,
    body text not null
);
alter table public.notes enable row level security;
create policy "anybody can read notes" on public.notes for select to anon, authenticated
using (true);
create policy "anybody can write notes" on public.notes for insert to anon, authenticated
with check (true);
"""


@contextmanager
def _project() -> Iterator[Path]:
    """Not under pytest's temporary folder: that is private to root when root runs the tests, and
    the database server, which does not run as root, could not enter it.
    """
    folder = Path(tempfile.mkdtemp(prefix="parley-project-"))
    folder.chmod(0o755)
    migrations = folder / "supabase" / "migrations"
    migrations.mkdir(parents=True)
    (folder / "supabase" / "config.toml").write_text(CONFIG)
    (migrations / "20260101000000_create_notes.sql").write_text(MIGRATION)
    (folder / "supabase" / "seed.sql").write_text(
        "insert into public.notes (body) values ('seeded');\n"
    )
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def project() -> Iterator[Path]:
    """The folder of a project with one migration and a seed."""
    with _project() as folder:
        yield folder


@pytest.fixture(scope="module")
def notes() -> Iterator[Stack]:
    """Such a project, running for the tests of one file."""
    with _project() as folder:
        running = start_stack(folder, "--ephemeral")
        yield running
        running.stop()


@pytest.fixture
async def serve(stack: Stack, tmp_path: Path) -> AsyncIterator[Serve]:
    """Starts Auth servers; their project folder is ``tmp_path``."""
    async with auth_servers(stack, tmp_path) as start:
        yield start


@pytest.fixture
def storage(stack: Stack) -> Iterator[httpx.Client]:
    """The Storage API with the secret key."""
    with storage_client(stack, stack.secret_key) as client:
        yield client


@pytest.fixture
def bucket(stack: Stack) -> Iterator[str]:
    """A private bucket without policies, gone at the end."""
    with temporary_bucket(stack) as name:
        yield name
