-- The objects of pg_net 0.14 that applications use, in SQL. The local stack sends the requests
-- once their transaction has committed.
-- Source: pg_net's documentation.

create schema net;

create domain net.http_method as text
check (value ~* '^(get|post|delete)$');

create sequence net.http_request_queue_id_seq;
create unlogged table net.http_request_queue (
    id bigint not null default nextval('net.http_request_queue_id_seq'),
    method net.http_method not null,
    url text not null,
    headers jsonb,
    body bytea,
    timeout_milliseconds integer not null
);
create unlogged table net._http_response (
    id bigint,
    status_code integer,
    content_type text,
    headers jsonb,
    content text,
    timed_out boolean,
    error_msg text,
    created timestamptz not null default now()
);
create index _http_response_created_idx on net._http_response (created);
create index _http_response_id_idx on net._http_response (id);

create type net.request_status as enum ('PENDING', 'SUCCESS', 'ERROR');
create type net.http_response as (status_code integer, headers jsonb, body text);
create type net.http_response_result as (
    status net.request_status,
    message text,
    response net.http_response
);

create function net._tell_worker()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    perform pg_catalog.pg_notify('parley_stack_net', '');
    return null;
end;
$$;

create trigger tell_worker after insert on net.http_request_queue
for each statement execute function net._tell_worker();

create function net._urlencode_string(string varchar)
returns text
language sql
immutable
strict
set search_path = ''
as $$
    select coalesce(
        string_agg(
            case
                when b.byte between 48 and 57
                    or b.byte between 65 and 90
                    or b.byte between 97 and 122
                    or b.byte in (45, 46, 95, 126)
                    then chr(b.byte)
                else '%' || upper(lpad(to_hex(b.byte), 2, '0'))
            end,
            '' order by b.place
        ),
        ''
    )
    from (
        select
            g.place,
            get_byte(convert_to(_urlencode_string.string, 'UTF8'), g.place) as byte
        from generate_series(0, length(convert_to(_urlencode_string.string, 'UTF8')) - 1) as g (place)
    ) as b
$$;

create function net._with_params(url text, params jsonb)
returns text
language sql
immutable
set search_path = ''
as $$
    select _with_params.url || coalesce(
        case when strpos(_with_params.url, '?') > 0 then '&' else '?' end || string_agg(
            net._urlencode_string(p.key) || '=' || net._urlencode_string(p.value), '&'
        ),
        ''
    )
    from jsonb_each_text(coalesce(_with_params.params, '{}')) as p (key, value)
$$;

create function net.http_get(
    url text,
    params jsonb default '{}',
    headers jsonb default '{}',
    timeout_milliseconds integer default 5000
)
returns bigint
language sql
security definer
set search_path = ''
as $$
    insert into net.http_request_queue (method, url, headers, timeout_milliseconds)
    values (
        'GET',
        net._with_params(http_get.url, http_get.params),
        http_get.headers,
        http_get.timeout_milliseconds
    )
    returning id
$$;

create function net.http_post(
    url text,
    body jsonb default '{}',
    params jsonb default '{}',
    headers jsonb default '{"Content-Type": "application/json"}',
    timeout_milliseconds integer default 5000
)
returns bigint
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_type text;
    v_id bigint;
begin
    select h.value into v_type
    from jsonb_each_text(coalesce(http_post.headers, '{}')) as h (key, value)
    where lower(h.key) = 'content-type';
    if v_type is null then
        http_post.headers := coalesce(http_post.headers, '{}')
            || '{"Content-Type": "application/json"}';
    elsif v_type not like 'application/json%' then
        raise exception 'Content-Type header must be "application/json"';
    end if;
    insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
    values (
        'POST',
        net._with_params(http_post.url, http_post.params),
        http_post.headers,
        convert_to(http_post.body::text, 'UTF8'),
        http_post.timeout_milliseconds
    )
    returning id into v_id;
    return v_id;
end;
$$;

create function net.http_delete(
    url text,
    params jsonb default '{}',
    headers jsonb default '{}',
    timeout_milliseconds integer default 5000,
    body jsonb default null
)
returns bigint
language sql
security definer
set search_path = ''
as $$
    insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
    values (
        'DELETE',
        net._with_params(http_delete.url, http_delete.params),
        http_delete.headers,
        convert_to(http_delete.body::text, 'UTF8'),
        http_delete.timeout_milliseconds
    )
    returning id
$$;

create function net._http_collect_response(request_id bigint, async boolean default true)
returns net.http_response_result
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_found net._http_response;
begin
    loop
        select r.* into v_found
        from net._http_response as r
        where r.id = _http_collect_response.request_id;
        exit when found or _http_collect_response.async;
        perform pg_catalog.pg_sleep(0.05);
    end loop;
    if v_found.id is null then
        return ('PENDING', 'request is pending processing', null)::net.http_response_result;
    end if;
    if v_found.error_msg is not null then
        return ('ERROR', v_found.error_msg, null)::net.http_response_result;
    end if;
    return (
        'SUCCESS',
        'ok',
        (v_found.status_code, v_found.headers, v_found.content)::net.http_response
    )::net.http_response_result;
end;
$$;

-- As a hosted project: the API's roles may send; what came back is for postgres.
grant usage on schema net to postgres, anon, authenticated, service_role;
grant all on all tables in schema net to postgres;
revoke execute on all functions in schema net from public;
grant execute on function net.http_get(text, jsonb, jsonb, integer),
net.http_post(text, jsonb, jsonb, jsonb, integer),
net.http_delete(text, jsonb, jsonb, integer, jsonb)
to postgres, anon, authenticated, service_role;
grant execute on function net._http_collect_response(bigint, boolean) to postgres;
