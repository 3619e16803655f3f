-- Purpose: the two schemas of Parley, its clock and its errors.
-- Objects: schemas chat and chat_private; chat_private.now, chat_private.raise_error,
--          chat_private.set_updated_at.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

create schema chat;
comment on schema chat is 'Parley: tables, views and functions for clients, through the API.';
grant usage on schema chat to authenticated, service_role;

create schema chat_private;
comment on schema chat_private is
    'Parley: helpers, triggers and logs. Not exposed; API roles have no usage of it.';

-- Functions ------------------------------------------------------------------------------------

-- Everything that depends on time asks here, so that a test can replace this one function.
create function chat_private.now()
returns timestamptz
language plpgsql
stable
parallel safe
set search_path = ''
as $$
begin
    return pg_catalog.now();
end;
$$;
comment on function chat_private.now() is 'The time of the current transaction. Tests replace it.';
revoke execute on function chat_private.now() from public, anon, authenticated;
grant execute on function chat_private.now() to authenticated, service_role;

-- Every refusal: what a client may rely on is the SQLSTATE and the code. PTnnn is how PostgREST is
-- told an HTTP status. Each migration adds its own rows; docs/reference/errors.md lists them all.
create table chat_private.errors (
    code text primary key,
    state text not null,
    message text not null,
    hint text not null,
    constraint errors_code_check check (code ~ '^[a-z_]+$'),
    constraint errors_state_check check (state ~ '^[0-9A-Z]{5}$')
);
comment on table chat_private.errors is 'What chat_private.raise_error raises.';
alter table chat_private.errors enable row level security;

insert into chat_private.errors (code, state, message, hint)
values
    (
        'sign_in_required', '42501',
        'Only a signed-in user can do this.',
        'Send the access token of a user, not an API key.'
    ),
    (
        'conversation_not_found', 'PT404',
        'There is no such conversation among yours.',
        'Check the id, and that you are still a participant.'
    ),
    (
        'user_not_found', 'PT404',
        'There is no such user in this tenant.',
        'Give the id or the exact username of a member of the tenant.'
    ),
    (
        'tenant_required', '22023',
        'You are a member of several tenants, or of none.',
        'Name the tenant with tenant_id.'
    ),
    (
        'not_a_tenant_member', '42501',
        'You are not a member of this tenant.',
        'Ask an owner or admin of the tenant to add you.'
    ),
    (
        'direct_with_self', '22023',
        'A direct conversation needs another user.',
        'Give the id or username of somebody else.'
    ),
    (
        'user_required', '22023',
        'Exactly one of user_id and username is needed.',
        'Give one of them.'
    ),
    (
        'too_many_participants', '22023',
        'A conversation takes at most 1000 participants.',
        'Start with fewer.'
    ),
    (
        'message_id_taken', 'PT409',
        'Another message already has this id.',
        'Choose a new random id for each message; repeat it only to retry the same one.'
    ),
    (
        'conversation_id_taken', 'PT409',
        'Another conversation already has this id.',
        'Choose a new random id for each group; repeat it only to retry the same one.'
    ),
    (
        'message_not_found', 'PT404',
        'There is no such message in this conversation.',
        'Check the seq, and that the message has not expired.'
    ),
    (
        'immutable_column', '42501',
        'This column is set once.',
        'Leave it out of the update.'
    );

-- Security definer: whoever is refused cannot read the table.
create function chat_private.raise_error(code text)
returns void
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
    v_error chat_private.errors;
begin
    select e.* into strict v_error
    from chat_private.errors as e
    where e.code = raise_error.code;
    raise exception using
        errcode = v_error.state,
        message = v_error.message,
        detail = v_error.code,
        hint = v_error.hint;
end;
$$;
comment on function chat_private.raise_error(text) is
    'Raises the documented error of this code: SQLSTATE, message, the code as detail, hint.';
revoke execute on function chat_private.raise_error(text) from public, anon, authenticated;

-- Security definer: whoever updates a row has no usage of the schema the clock is in.
create function chat_private.set_updated_at()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    new.updated_at := chat_private.now();
    return new;
end;
$$;
revoke execute on function chat_private.set_updated_at() from public, anon, authenticated;
