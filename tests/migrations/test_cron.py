"""Where pg_cron is installed, scheduled messages are sent by it; where not, nothing is asked."""

from __future__ import annotations

from support.databases import MIGRATIONS, Database

# What of pg_cron the migrations use.
CRON = """
create schema cron;
create table cron.job (
    jobid bigint generated always as identity, jobname text unique, schedule text, command text
);
create function cron.schedule(job_name text, schedule text, command text) returns bigint
language sql as $$
    insert into cron.job (jobname, schedule, command) values (job_name, schedule, command)
    on conflict (jobname) do update set schedule = excluded.schedule, command = excluded.command
    returning jobid
$$;
"""
MIGRATION = next(path for path in MIGRATIONS if "scheduled_messages" in path.name).read_text()
JOB = MIGRATION[MIGRATION.index("\ndo $$") :]


def test_the_job_is_made_once_and_runs(database: Database) -> None:
    database.owner.execute(JOB.encode())  # Without pg_cron, as here: nothing, and no error.
    database.owner.execute(CRON.encode())
    for _ in range(2):
        database.owner.execute(JOB.encode())
    ((name, schedule, command),) = database.owner.execute(
        "select jobname, schedule, command from cron.job"
    ).fetchall()
    assert (name, schedule) == ("parley-send-due-messages", "* * * * *")
    assert database.owner.execute(command.encode()).fetchall() == []
