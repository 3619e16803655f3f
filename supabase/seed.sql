-- Four people to try things with. Their password is `parley-demo`, below as bcrypt.
-- Written as the Auth server would write them, so that they can sign in.

with people (id, username, display_name) as (
    values
        ('a11ce000-0000-4000-8000-000000000001'::uuid, 'alice', 'Alice Liddell'),
        ('b0b00000-0000-4000-8000-000000000002'::uuid, 'bob', 'Bob Hatter'),
        ('c4a51e00-0000-4000-8000-000000000003'::uuid, 'charlie', 'Charlie March'),
        ('d1a4a000-0000-4000-8000-000000000004'::uuid, 'diana', 'Diana Dormouse')
),

users as (
    insert into auth.users (
        instance_id, id, aud, role, email, encrypted_password, email_confirmed_at,
        raw_app_meta_data, raw_user_meta_data, created_at, updated_at,
        confirmation_token, recovery_token, email_change, email_change_token_new
    )
    select
        '00000000-0000-0000-0000-000000000000',
        p.id,
        'authenticated',
        'authenticated',
        p.username || '@example.com',
        '$2a$06$bxKNjpooix8ArpgdhyLzuuKhs5n1.wjgqwXX/bmr.V2Bbyr3WdCPG',
        now(),
        '{"provider": "email", "providers": ["email"]}',
        jsonb_build_object('username', p.username, 'display_name', p.display_name),
        now(),
        now(),
        '',
        '',
        '',
        ''
    from people as p
    on conflict do nothing
    returning id, email
)

insert into auth.identities (
    provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at
)
select
    u.id::text,
    u.id,
    jsonb_build_object('sub', u.id::text, 'email', u.email, 'email_verified', true),
    'email',
    now(),
    now(),
    now()
from users as u;
