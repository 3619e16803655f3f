-- Purpose: the sweep every ten minutes, where pg_cron is.
-- Objects: none of its own: a job of pg_cron.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

-- Jobs -----------------------------------------------------------------------------------------

-- Each batch in a transaction of its own. Elsewhere: ./scripts/sweep, docs/how-to/retention.md.
do $migration$
begin
    if to_regprocedure('cron.schedule(text, text, text)') is not null then
        perform cron.schedule(
            'parley-sweep',
            '*/10 * * * *',
            $job$
do $sweep$
declare
    v_done jsonb;
begin
    loop
        v_done := chat_private.sweep(500, v_done -> 'cursor');
        exit when not (v_done ->> 'has_more')::boolean;
        commit;
    end loop;
end;
$sweep$
$job$
        );
    end if;
end;
$migration$;
