create function pg_temp.verify_all()
returns void
language plpgsql
as $$
begin
    perform
        pg_temp.verify_reads(''),
        pg_temp.verify_inserts(''),
        pg_temp.verify_updates(''),
        pg_temp.verify_deletes(''),
        pg_temp.verify_privileges(''),
        pg_temp.verify_calls(''),
        pg_temp.verify_private_calls(''),
        pg_temp.verify_realtime();
    if to_regclass('storage.objects') is not null then
        perform pg_temp.verify_storage();
    end if;
end;
$$;
