"""The tables of ``supabase/config.toml`` for programs that the stack does not run.

They are checked, so that a misspelt key is found, and otherwise ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from .section import Count, OptionalPort, Port, Secret, Section, Switch


class MailUi(Section):
    """``[local_smtp]``, formerly ``[inbucket]``: the CLI's mail catcher."""

    enabled: bool = True
    port: Port = 54324
    smtp_port: OptionalPort = 0
    pop3_port: OptionalPort = 0
    admin_email: str = "admin@email.com"
    sender_name: str = "Admin"


class Studio(Section):
    """``[studio]``"""

    enabled: bool = True
    port: Port = 54323
    api_url: str = "http://127.0.0.1"
    openai_api_key: Secret = ""


class Analytics(Section):
    """``[analytics]``"""

    enabled: bool = True
    port: Port = 54327
    backend: Literal["postgres", "bigquery"] = "postgres"
    vector_port: OptionalPort = 0
    gcp_project_id: str = ""
    gcp_project_number: str = ""
    gcp_jwt_path: str = ""


class PgDelta(Section):
    """``[experimental.pgdelta]``"""

    enabled: bool = True
    declarative_schema_path: str = ""
    format_options: str = ""


class InspectRule(Section):
    """An element of ``[[experimental.inspect.rules]]``"""

    query: str = ""
    name: str = ""
    pass_text: str = Field(default="", alias="pass")
    fail: str = ""


class Inspect(Section):
    """``[experimental.inspect]``"""

    rules: tuple[InspectRule, ...] = ()


class Experimental(Section):
    """``[experimental]``"""

    compute: bool = False
    stack: bool = False
    orioledb_version: str = ""
    s3_host: str = ""
    s3_region: str = ""
    s3_access_key: Secret = ""
    s3_secret_key: Secret = ""
    webhooks: Switch = Switch()
    pgdelta: PgDelta = PgDelta()
    inspect: Inspect = Inspect()


class Compute(Section):
    """``[compute.<name>]``"""

    runtime: str = ""
    size: str = ""
    exposure: str = ""
    instances: Count = 1
    source: str = ""
    exclude: tuple[str, ...] = ()


class LocalService(Section):
    """``[local.services.<name>]``"""

    version: str = "bundled"


class Local(Section):
    """``[local]``: versions of the CLI's own containers."""

    services: Mapping[str, LocalService] = Field(default_factory=dict)
