"""The tables of ``supabase/config.toml`` that the stack acts upon, but Auth and Realtime.

Field names are the file's keys and defaults are the Supabase CLI's (3.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from .section import Bytes, Count, OptionalPort, Port, Seconds, Secret, Section, Switch


class Tls(Section):
    """``[api.tls]``; the stack serves plain HTTP on the loopback address only."""

    enabled: bool = False
    cert_path: str = ""
    key_path: str = ""


class Api(Section):
    """``[api]``: the gateway and PostgREST."""

    enabled: bool = True
    port: Port = 54321
    schemas: tuple[str, ...] = ("public", "graphql_public")
    extra_search_path: tuple[str, ...] = ("public", "extensions")
    max_rows: Count = 1000
    auto_expose_new_tables: bool | None = None
    """Whether new tables in ``public`` are open to the API roles; None is the CLI's default."""
    external_url: str = ""
    tls: Tls = Tls()


class Pooler(Section):
    """``[db.pooler]``; the stack runs none."""

    enabled: bool = False
    port: Port = 54329
    pool_mode: Literal["transaction", "session"] = "transaction"
    default_pool_size: Count = 20
    max_client_conn: Count = 100


Severity = Literal["error", "warn", "off"]


class MigrationChecks(Section):
    """``[db.migrations.checks]``: the CLI's linter of migrations."""

    rls_disabled_in_public: Severity = "warn"
    rls_enabled_no_policy: Severity = "warn"
    policy_exists_rls_disabled: Severity = "warn"
    security_definer_view: Severity = "warn"
    rls_policy_always_true: Severity = "warn"
    sensitive_columns_exposed: Severity = "warn"
    auth_users_exposed: Severity = "warn"
    function_search_path_mutable: Severity = "warn"
    rls_references_user_metadata: Severity = "warn"
    exclude: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)


class Migrations(Section):
    """``[db.migrations]``"""

    enabled: bool = True
    schema_paths: tuple[str, ...] = ()
    checks: MigrationChecks = MigrationChecks()


class Seed(Section):
    """``[db.seed]``; ``sql_paths`` are globs below ``supabase/``, see ``Config.seed_files``."""

    enabled: bool = True
    sql_paths: tuple[str, ...] = ("./seed.sql",)


class DatabaseSettings(Section):
    """``[db.settings]``: parameters of ``postgresql.conf``; None leaves the server's default."""

    effective_cache_size: str | None = None
    logical_decoding_work_mem: str | None = None
    maintenance_work_mem: str | None = None
    max_connections: Count | None = None
    max_locks_per_transaction: Count | None = None
    max_parallel_maintenance_workers: Count | None = None
    max_parallel_workers: Count | None = None
    max_parallel_workers_per_gather: Count | None = None
    max_replication_slots: Count | None = None
    max_slot_wal_keep_size: str | None = None
    max_standby_archive_delay: str | None = None
    max_standby_streaming_delay: str | None = None
    max_wal_senders: Count | None = None
    max_wal_size: str | None = None
    max_worker_processes: Count | None = None
    session_replication_role: Literal["origin", "replica", "local"] | None = None
    shared_buffers: str | None = None
    statement_timeout: str | None = None
    track_activity_query_size: str | None = None
    track_commit_timestamp: bool | None = None
    wal_keep_size: str | None = None
    wal_sender_timeout: str | None = None
    work_mem: str | None = None


class NetworkRestrictions(Section):
    """``[db.network_restrictions]``; the stack listens on the loopback address only."""

    enabled: bool = False
    allowed_cidrs: tuple[str, ...] = ("0.0.0.0/0",)
    allowed_cidrs_v6: tuple[str, ...] = ("::/0",)


class Database(Section):
    """``[db]``"""

    port: Port = 54322
    shadow_port: Port = 54320
    health_timeout: Seconds = 120.0
    major_version: Annotated[int, Field(ge=13, le=18)] = 17
    orioledb_version: str = ""
    root_key: Secret = ""
    pooler: Pooler = Pooler()
    migrations: Migrations = Migrations()
    seed: Seed = Seed()
    settings: DatabaseSettings = DatabaseSettings()
    network_restrictions: NetworkRestrictions = NetworkRestrictions()
    ssl_enforcement: Switch = Switch()
    vault: Mapping[str, Secret] = Field(default_factory=dict, repr=False)


class Bucket(Section):
    """``[storage.buckets.<id>]``; ``file_size_limit`` None means the section's."""

    public: bool = False
    file_size_limit: Bytes | None = None
    allowed_mime_types: tuple[str, ...] = ()
    objects_path: str = ""


class AnalyticsBuckets(Section):
    """``[storage.analytics]``; not served."""

    enabled: bool = False
    max_namespaces: Count = 5
    max_tables: Count = 10
    max_catalogs: Count = 2
    buckets: Mapping[str, Section] = Field(default_factory=dict)


class VectorBuckets(Section):
    """``[storage.vector]``; not served."""

    enabled: bool = True
    max_buckets: Count = 10
    max_indexes: Count = 5
    buckets: Mapping[str, Section] = Field(default_factory=dict)


class Storage(Section):
    """``[storage]``"""

    enabled: bool = True
    file_size_limit: Bytes = 50 * 1024 * 1024
    buckets: Mapping[str, Bucket] = Field(default_factory=dict)
    s3_protocol: Switch = Switch(enabled=True)
    image_transformation: Switch = Switch()
    analytics: AnalyticsBuckets = AnalyticsBuckets()
    vector: VectorBuckets = VectorBuckets()


class EdgeRuntime(Section):
    """``[edge_runtime]``"""

    enabled: bool = True
    policy: Literal["oneshot", "per_worker"] = "per_worker"
    inspector_port: OptionalPort = 8083
    deno_version: Literal[1, 2] = 2
    secrets: Mapping[str, Secret] = Field(default_factory=dict, repr=False)


class Function(Section):
    """``[functions.<slug>]``; paths are relative to ``supabase/``, see ``Config.entrypoint``."""

    enabled: bool = True
    verify_jwt: bool = True
    import_map: str = ""
    entrypoint: str = ""
    static_files: tuple[str, ...] = ()
    env: Mapping[str, Secret] = Field(default_factory=dict, repr=False)
