"""Devices: registered in a session, gone with it; a push token belongs to one user."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

SUBSCRIPTION = json.dumps({"endpoint": "https://push.example.com/x", "keys": {"auth": "a"}})


@pytest.fixture
def users(database):
    return database, [database.user(name) for name in ("alice", "bob")]


def session_of(database, user):
    """A new session of the Auth server."""
    session_id = str(uuid.uuid4())
    database.owner.execute(
        "insert into auth.sessions (id, user_id, created_at, updated_at) "
        "values (%s, %s, now(), now())",
        (session_id, user),
    )
    return session_id


def signed_in(database, user, session_id=None):
    connection = database.connect(user)
    claims = {"role": "authenticated", "sub": user, "session_id": session_id}
    connection.execute("select set_config('request.jwt.claims', %s, false)", (json.dumps(claims),))
    return connection


def register(connection, device_id=None, provider=None, token=None, name=None):
    device_id = device_id or str(uuid.uuid4())
    connection.execute(
        "select chat.register_device(%s, %s, %s, %s)", (device_id, provider, token, name)
    )
    return device_id


def devices(database, user):
    with database.acting(user) as connection:
        rows = connection.execute("select id, name from chat.devices order by last_seen_at, id")
        return [(str(row[0]), row[1]) for row in rows]


def tokens(database):
    """Whose each token is."""
    rows = database.owner.execute("select token, user_id, device_id from chat_private.push_tokens")
    return {row[0]: (str(row[1]), str(row[2])) for row in rows}


def refused(function, *arguments, **more):
    with pytest.raises(psycopg.Error) as error:
        function(*arguments, **more)
    return error.value.diag.constraint_name or error.value.diag.message_detail


def test_registering_again_changes_the_token(users):
    database, (alice, _) = users
    with database.acting(alice) as connection:
        phone = register(connection, None, "fcm", "one", "Phone")
        register(connection, phone, "apns", "two")
        assert devices(database, alice) == [(phone, "Phone")]
        assert tokens(database) == {"two": (alice, phone)}
        register(connection, phone)
    assert devices(database, alice) == [(phone, "Phone")]
    assert tokens(database) == {}


def test_a_token_belongs_to_who_registered_it_last(users):
    """Two people use one phone, and the first did not sign out."""
    database, (alice, bob) = users
    with database.acting(alice) as connection:
        phone = register(connection, None, "fcm", "the phone")
    with database.acting(bob) as connection:
        register(connection, phone, "fcm", "the phone")
    assert tokens(database) == {"the phone": (bob, phone)}
    assert devices(database, alice) == devices(database, bob) == [(phone, None)]


def test_a_new_token_replaces_nobody_else_s(users):
    """Both use the installation, as whose each has a token."""
    database, (alice, bob) = users
    phone = str(uuid.uuid4())
    for user, token in ((alice, "one"), (bob, "two"), (alice, "three")):
        with database.acting(user) as connection:
            register(connection, phone, "fcm", token)
    assert tokens(database) == {"two": (bob, phone), "three": (alice, phone)}


def test_many_at_once_for_one_token(users):
    database, people = users
    phone = str(uuid.uuid4())

    def start(number):
        with database.acting(people[number % 2]) as connection:
            register(connection, phone, "fcm", "the phone")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(start, range(24)))
    ((token, (owner, device)),) = tokens(database).items()
    assert (token, device) == ("the phone", phone)
    assert owner in people


def test_signing_out_takes_the_device_along(users):
    database, (alice, _) = users
    sessions = [session_of(database, alice) for _ in range(2)]
    made = []
    for number, session_id in enumerate(sessions):
        with signed_in(database, alice, session_id) as connection:
            made.append(register(connection, None, "fcm", f"token {number}"))
    # As the Auth server does.
    database.owner.execute("delete from auth.sessions where id = %s", (sessions[0],))
    assert devices(database, alice) == [(made[1], None)]
    assert tokens(database) == {"token 1": (alice, made[1])}


def test_an_access_token_that_outlives_its_session_registers_nothing(users):
    database, (alice, bob) = users
    ended, of_bob = str(uuid.uuid4()), session_of(database, bob)
    for session_id in (ended, of_bob):
        with signed_in(database, alice, session_id) as connection:
            assert refused(register, connection, None, "fcm", "x") == "session_ended"
    assert tokens(database) == {}
    assert devices(database, alice) == []


def test_revoking_ends_the_session_of_that_device_alone(users):
    database, (alice, _) = users
    sessions = [session_of(database, alice) for _ in range(2)]
    with signed_in(database, alice, sessions[0]) as connection:
        lost = register(connection, None, "fcm", "lost")
    with signed_in(database, alice, sessions[1]) as connection:
        kept = register(connection, None, "fcm", "kept")
        connection.execute("select chat.revoke_device(%s)", (lost,))
    assert devices(database, alice) == [(kept, None)]
    assert list(tokens(database)) == ["kept"]
    rows = database.owner.execute("select id::text from auth.sessions").fetchall()
    assert rows == [(sessions[1],)]


def test_revoking_one_without_a_session(users):
    database, (alice, bob) = users
    with database.acting(alice) as connection:
        phone = register(connection)
        with database.acting(bob) as other:
            register(other, phone)
        connection.execute("select chat.revoke_device(%s)", (phone,))
    assert devices(database, alice) == []
    assert devices(database, bob) == [(phone, None)]


def test_one_revokes_and_drops_no_device_of_others(users):
    database, (alice, bob) = users
    session_id = session_of(database, alice)
    with signed_in(database, alice, session_id) as connection:
        phone = register(connection, None, "fcm", "alice's")
    before = database.owner.execute("select * from chat.devices").fetchall()
    with database.acting(bob) as connection:
        assert (
            refused(connection.execute, "select chat.revoke_device(%s)", (phone,))
            == "device_not_found"
        )
        assert connection.execute("delete from chat.devices").rowcount == 0
        assert connection.execute("update chat.devices set name = 'x'").rowcount == 0
        assert connection.execute("select * from chat.devices").fetchall() == []
    assert database.owner.execute("select * from chat.devices").fetchall() == before
    assert database.owner.execute("select count(*) from auth.sessions").fetchone() == (1,)


def test_dropping_one_drops_its_token(users):
    database, (alice, _) = users
    with database.acting(alice) as connection:
        phone = register(connection, None, "fcm", "x")
        connection.execute("update chat.devices set name = 'Old phone'")
        assert devices(database, alice) == [(phone, "Old phone")]
        connection.execute("delete from chat.devices where id = %s", (phone,))
    assert tokens(database) == {}


def test_the_longest_unseen_give_way(users):
    database, (alice, bob) = users
    with database.acting(alice) as connection:
        made = [register(connection, None, "fcm", f"token {number}") for number in range(20)]
    with database.acting(bob) as connection:
        # On the installation that is alice's longest unseen.
        others = register(connection, made[1])
    with database.acting(alice) as connection:
        # Seen again, so it stays.
        register(connection, made[0], "fcm", "token 0")
        newest = register(connection, None, "fcm", "newest")
    assert {device for device, _ in devices(database, alice)} == {made[0], *made[2:], newest}
    assert len(tokens(database)) == 20
    assert devices(database, bob) == [(others, None)]
    # Twenty each, whatever others have seen since.
    with database.acting(bob) as connection:
        another = register(connection)
    assert devices(database, bob) == [(others, None), (another, None)]


@pytest.mark.parametrize(
    ("provider", "token", "reason"),
    [
        ("fcm", None, "token_and_provider_required"),
        (None, "x", "token_and_provider_required"),
        ("fcm", "", "push_tokens_token_check"),
        ("fcm", "x" * 2001, "push_tokens_token_check"),
        ("mail", "x", "push_tokens_provider_check"),
        ("webpush", json.dumps({"keys": {}}), "push_tokens_token_check"),
        ("webpush", json.dumps({"endpoint": "http://localhost/"}), "push_tokens_token_check"),
    ],
)
def test_tokens_that_cannot_be_pushed_to(users, provider, token, reason):
    database, (alice, _) = users
    with database.acting(alice) as connection:
        assert refused(register, connection, None, provider, token) == reason
    assert devices(database, alice) == []


def test_a_subscription_of_a_browser(users):
    database, (alice, _) = users
    with database.acting(alice) as connection:
        register(connection, None, "webpush", SUBSCRIPTION)
    assert list(tokens(database)) == [SUBSCRIPTION]
