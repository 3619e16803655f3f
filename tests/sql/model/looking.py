"""The functions with which the model test does a step and looks at what came of it, in one call."""

from __future__ import annotations

from collections.abc import Sequence

from .sight import KEYS, RARE_KEYS
from .state import FOREVER

_COLUMNS = {
    "inbox": """to_jsonb(x) || jsonb_build_object(
        'counterpart', x.counterpart -> 'id', 'last_message', x.last_message -> 'seq')""",
    "messages": """to_jsonb(x) || jsonb_build_object(
        'reaction_summary', chat.reaction_summary(x),
        'poll_results', chat.poll_results(x) - 'is_closed')""",
}


def _looking(parts: Sequence[str], where: str) -> str:
    """One query for all that somebody sees."""
    return ",\n".join(
        f"'{part}', (select coalesce(jsonb_agg({_COLUMNS.get(part, 'to_jsonb(x)')}), '[]')"
        f" from chat.{part} as x{where})"
        for part in parts
    )


SCHEMA = f"""
create schema model;
grant usage on schema model to authenticated, postgres;

create or replace function chat_private.now()
returns timestamptz language plpgsql stable parallel safe set search_path = ''
as $$ begin return to_timestamp(current_setting('model.now')::bigint); end $$;

insert into chat.tiers (name) values ('{FOREVER}');

create function model.become(user_id uuid) returns void language plpgsql as $$
begin
    perform
        set_config(
            'request.jwt.claims',
            jsonb_build_object('role', 'authenticated', 'sub', user_id)::text,
            true
        ),
        set_config(
            'role', case when user_id is null then 'postgres' else 'authenticated' end, true
        );
end $$;

create function model.see(user_id uuid, room_id uuid) returns jsonb language plpgsql as $$
declare
    v_sight jsonb;
begin
    perform model.become(user_id);
    if room_id is null then
        select jsonb_build_object({_looking([*KEYS, *RARE_KEYS], "")}) into v_sight;
    else
        select jsonb_build_object(
            {_looking(list(KEYS), " where x.conversation_id = room_id")}
        ) into v_sight;
    end if;
    perform set_config('role', 'none', true);
    return v_sight;
end $$;

create function model.sync(user_id uuid, cursor text, page_size integer)
returns jsonb language plpgsql as $$
declare
    v_page jsonb;
    v_pages jsonb := '[]';
    v_ids uuid[] := '{{}}';
    v_loaded jsonb;
begin
    perform model.become(user_id);
    loop
        v_page := chat.sync(cursor, null, page_size);
        v_pages := v_pages || v_page;
        v_ids := v_ids || array(
            select (c ->> 'conversation_id')::uuid
            from jsonb_array_elements(v_page -> 'conversations') as c
            where (c ->> 'resync')::boolean
        );
        exit when not (v_page ->> 'has_more')::boolean;
        if v_page ->> 'cursor' = cursor then
            raise 'sync goes on and on';
        end if;
        cursor := v_page ->> 'cursor';
    end loop;
    -- What a client loads itself.
    select jsonb_build_object(
        {_looking(["messages", "mentions", "pins"], " where x.conversation_id = any (v_ids)")}
    ) into v_loaded;
    perform set_config('role', 'none', true);
    return jsonb_build_object('pages', v_pages, 'loaded', v_loaded);
end $$;

create function model.step(
    user_id uuid,
    statement text,
    is_undone boolean,
    room_id uuid,
    viewers uuid[],
    syncing uuid,
    cursor text,
    page_size integer
)
returns jsonb language plpgsql as $$
declare
    v_answer jsonb;
    v_state text;
    v_code text;
    v_constraint text;
    v_told jsonb;
begin
    perform model.become(user_id);
    begin
        if statement like 'select%' then
            execute statement into v_answer;
        else
            execute statement;
        end if;
        perform set_config('role', 'none', true);
        if is_undone then
            raise 'undone' using errcode = 'UNDON';
        end if;
    exception when others then
        get stacked diagnostics
            v_state = returned_sqlstate,
            v_code = pg_exception_detail,
            v_constraint = constraint_name;
    end;
    perform set_config('role', 'none', true);
    with gone as (
        delete from realtime.messages as m returning m.topic, m.event, m.payload
    )
    select coalesce(jsonb_agg(to_jsonb(g)), '[]') into v_told from gone as g;
    return jsonb_build_object(
        'answer', v_answer,
        'refusal', case when v_state <> 'UNDON'
            then coalesce(nullif(v_constraint, ''), nullif(v_code, ''), v_state) end,
        'told', v_told,
        'drift', (select jsonb_agg(to_jsonb(c)) from chat.check_counters(room_id) as c),
        'sights', (
            select jsonb_object_agg(v.id, model.see(v.id, room_id)) from unnest(viewers) as v (id)
        ),
        'sync', model.sync(syncing, cursor, page_size)
    );
end $$;
"""
