"""A whole ``supabase/config.toml``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from parley_stack.auth.settings import AuthSettings
from parley_stack.realtime.settings import RealtimeSettings

from .foreign import Analytics, Compute, Experimental, Local, MailUi, Studio
from .section import Section
from .sections import Api, Database, EdgeRuntime, Function, Storage


class ProjectTables(Section):
    """The tables that a project and each of its ``[remotes.<name>]`` may have."""

    project_id: str = ""
    analytics: Analytics = Analytics()
    api: Api = Api()
    auth: AuthSettings = AuthSettings()
    compute: Mapping[str, Compute] = Field(default_factory=dict)
    db: Database = Database()
    edge_runtime: EdgeRuntime = EdgeRuntime()
    experimental: Experimental = Experimental()
    functions: Mapping[str, Function] = Field(default_factory=dict)
    inbucket: MailUi | None = None
    local_smtp: MailUi = MailUi()
    realtime: RealtimeSettings = RealtimeSettings()
    storage: Storage = Storage()
    studio: Studio = Studio()


class ConfigFile(ProjectTables):
    """What may stand in the file."""

    local: Local = Local()
    remotes: Mapping[str, ProjectTables] = Field(default_factory=dict)


class Config(ConfigFile):
    """A project's configuration and the folder it was read from.

    ``project_id`` is the folder's name where the file has none.
    """

    workdir: Path

    @property
    def supabase_dir(self) -> Path:
        """The folder of ``config.toml``; the paths in it are relative to here."""
        return self.workdir / "supabase"

    def path(self, text: str) -> Path:
        """A path of the file, made absolute."""
        return (self.supabase_dir / text).resolve()

    def seed_files(self) -> list[Path]:
        """Files of ``[db.seed]``: in the order of the globs, sorted within each, without repeats.

        Empty when seeding is off. A glob that matches nothing adds nothing.
        """
        if not self.db.seed.enabled:
            return []
        found: dict[Path, None] = {}
        for pattern in self.db.seed.sql_paths:
            found.update(dict.fromkeys(sorted(self._matches(pattern))))
        return list(found)

    def entrypoint(self, slug: str) -> Path:
        """The main file of an edge function, ``functions/<slug>/index.ts`` if not configured."""
        function = self.functions.get(slug, Function())
        return self.path(function.entrypoint or f"functions/{slug}/index.ts")

    def _matches(self, pattern: str) -> list[Path]:
        path = Path(pattern)
        base = Path(path.anchor) if path.is_absolute() else self.supabase_dir
        relative = path.relative_to(base) if path.is_absolute() else path
        while relative.parts[:1] == ("..",):
            base, relative = base.parent, Path(*relative.parts[1:])
        return [found.resolve() for found in base.glob(str(relative)) if found.is_file()]
