"""Where pg_cron is installed, it does what must be done regularly; where not, nothing is asked."""

from __future__ import annotations

import pytest

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
JOBS = {
    "scheduled_messages": ("parley-send-due-messages", "* * * * *"),
    "create_sweep": ("parley-sweep", "*/10 * * * *"),
}


@pytest.mark.parametrize("migration", JOBS)
def test_the_job_is_made_once_and_runs(database: Database, migration: str) -> None:
    text = next(path for path in MIGRATIONS if migration in path.name).read_text()
    job = text[text.index("\ndo $") :].encode()
    database.owner.execute(job)  # Without pg_cron, as here: nothing, and no error.
    database.owner.execute(CRON.encode())
    for _ in range(2):
        database.owner.execute(job)
    ((name, schedule, command),) = database.owner.execute(
        "select jobname, schedule, command from cron.job"
    ).fetchall()
    assert (name, schedule) == JOBS[migration]
    done = database.owner.execute(command.encode())
    assert not done.description or done.fetchall() == []
