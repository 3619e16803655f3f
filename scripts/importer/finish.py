"""The end of an import: what came since, a last comparison, and only then no way back."""

from __future__ import annotations

import psycopg
from psycopg import sql

from . import plan as plans
from . import staging
from .apply import catch_up
from .bucket import Bucket
from .plan import Plan
from .shards import dsn_of
from .source import read_source
from .verify import Report, verify


def finish(
    connection: psycopg.Connection, plan: Plan, bucket: Bucket | None = None
) -> tuple[int, Report]:
    """Catches up, verifies, and drops the record when nothing is missing.

    The last pass holds a lock that the old application's writers wait for, so that nothing comes
    after what is compared. It is the moment at which they should go over to Parley.
    """
    staging.lock(connection)
    source = read_source(plan["source"])
    options = plans.planned_options(plan)
    caught_up = 0
    if options.is_live:
        caught_up = catch_up(connection, plan, bucket)
    with psycopg.connect(dsn_of(connection)) as holder:
        if source.tables and not options.file:
            holder.execute("set lock_timeout = '30s'")
            holder.execute(
                sql.SQL("lock table {} in share mode").format(
                    sql.SQL(", ").join(
                        sql.Identifier(options.schema, table) for table in source.tables
                    )
                )
            )
        if options.is_live:
            caught_up += catch_up(connection, plan, bucket)
        report = verify(connection, plan)
        if not report.problems:
            connection.execute("drop schema parley_import cascade")
    return caught_up, report
