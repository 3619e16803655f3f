-- The mail that Auth sends: kept here, in the transaction that made its token, and read by the
-- local mail sink. A hosted project has nothing like it.
-- Runs once as superuser, after schema auth; schema parley_stack is the stack's own.

create table parley_stack.mails (
    id uuid not null default gen_random_uuid() primary key,
    number bigint not null generated always as identity unique,
    sent_at timestamptz not null default clock_timestamp(),
    kind text not null,
    recipient text not null,
    subject text not null,
    html text not null,
    token text not null,
    token_hash text not null,
    link text not null,
    redirect_to text not null,
    is_read boolean not null default false
);
comment on table parley_stack.mails is 'Mail of this stack, which sends none anywhere.';
comment on column parley_stack.mails.token is 'The code of digits in the mail.';
comment on column parley_stack.mails.token_hash is 'What the link carries.';

grant usage on schema parley_stack to supabase_auth_admin;
grant select, insert, update, delete on parley_stack.mails to supabase_auth_admin;
