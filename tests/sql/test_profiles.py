"""Profiles: who one is to others."""

from __future__ import annotations

import psycopg
import pytest


@pytest.fixture
def alice(database):
    """alice, in a session of her own; bob is there too."""
    database.user("bob")
    with database.acting(database.user("alice")) as connection:
        yield connection


def rename(connection, username):
    """alice takes another name; the name she has then."""
    connection.execute("update chat.profiles set username = %s", (username,))
    return connection.execute("select username from chat.profiles").fetchone()[0]


@pytest.mark.parametrize("username", ["abc", "Alice_2", "a" * 50])
def test_what_a_username_is(alice, username):
    assert rename(alice, username) == username


@pytest.mark.parametrize("username", ["ab", "a" * 51, "alice smith", "älice", "al-ice", ""])
def test_what_a_username_is_not(alice, username):
    with pytest.raises(psycopg.errors.CheckViolation, match="profiles_username_check"):
        rename(alice, username)


@pytest.mark.parametrize("username", ["bob", "BOB"])
def test_a_username_is_somebody_s_once_whatever_its_case(alice, username):
    with pytest.raises(psycopg.errors.UniqueViolation, match="profiles_username_key"):
        rename(alice, username)


def test_status_is_set_by_oneself(alice, database):
    alice.execute("select chat.set_status('away')")
    assert database.owner.execute(
        "select username, status::text from chat.profiles order by username"
    ).fetchall() == [("alice", "away"), ("bob", "offline")]
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        alice.execute("select chat.set_status('invisible')")


def test_a_change_has_its_time(alice):
    changed = "select updated_at > %s from chat.profiles"
    (before,) = alice.execute("select updated_at from chat.profiles").fetchone()
    rename(alice, "alice_2")
    assert alice.execute(changed, (before,)).fetchone() == (True,)
