from __future__ import annotations

import asyncio

import bcrypt
import pytest

from parley_stack.auth import passwords
from parley_stack.auth.errors import AuthError
from parley_stack.auth.settings import AuthSettings

LOWER_UPPER_DIGITS = AuthSettings(password_requirements="lower_upper_letters_digits")


@pytest.mark.parametrize(
    ("password", "requirements", "reasons"),
    [
        ("12345", "", ("length",)),
        ("123456", "", ()),
        ("abcdef", "letters_digits", ("characters",)),
        ("abcde1", "letters_digits", ()),
        ("abcdef1", "lower_upper_letters_digits", ("characters",)),
        ("Abcdef1", "lower_upper_letters_digits", ()),
        ("Abcdef1", "lower_upper_letters_digits_symbols", ("characters",)),
        ("Abcdef1`", "lower_upper_letters_digits_symbols", ()),
        ("Abcd", "lower_upper_letters_digits", ("length", "characters")),
    ],
)
def test_weakness_names_every_rule_that_is_broken(
    password: str, requirements: str, reasons: tuple[str, ...]
) -> None:
    settings = AuthSettings.model_validate({"password_requirements": requirements})
    weak = passwords.weakness(password, settings)
    assert (weak.reasons if weak else ()) == reasons


def test_messages_are_joined_with_a_space() -> None:
    weak = passwords.weakness("Abcd", LOWER_UPPER_DIGITS)
    assert weak is not None
    assert weak.message == (
        "Password should be at least 6 characters. Password should contain at least one "
        "character of each: abcdefghijklmnopqrstuvwxyz, ABCDEFGHIJKLMNOPQRSTUVWXYZ, 0123456789."
    )


def test_more_bytes_than_bcrypt_takes_are_refused_before_strength() -> None:
    with pytest.raises(AuthError) as refused:
        passwords.require_strength("é" * 37, LOWER_UPPER_DIGITS)
    assert (refused.value.status, refused.value.code) == (400, "validation_failed")
    assert refused.value.message == "Password cannot be longer than 72 characters"


def test_weak_password_is_422_with_reasons() -> None:
    with pytest.raises(AuthError) as refused:
        passwords.require_strength("short", AuthSettings())
    assert (refused.value.status, refused.value.code) == (422, "weak_password")
    assert refused.value.weak_password == ("length",)


async def test_a_hash_matches_its_password_only() -> None:
    stored = await passwords.hash_password("correct horse")
    assert stored.startswith(f"$2a${passwords.COST}$")
    assert await passwords.matches("correct horse", stored)
    assert not await passwords.matches("correct horsf", stored)


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
async def test_hashes_of_other_programs_are_accepted(prefix: str) -> None:
    stored = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    assert await passwords.matches("secret", prefix + stored[4:])


async def test_a_seeded_long_password_counts_to_byte_72() -> None:
    stored = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    assert await passwords.matches("x" * 80, stored)
    assert not await passwords.matches("x" * 71, stored)


@pytest.mark.parametrize("stored", ["", "secret", "$2a$10$short", "$argon2id$v=19$m=1,t=1,p=1$a$b"])
async def test_anything_that_is_no_bcrypt_hash_matches_nothing(stored: str) -> None:
    assert not await passwords.matches("secret", stored)
    assert not await passwords.matches("", stored)


async def test_the_event_loop_runs_while_a_password_is_hashed() -> None:
    hashing = asyncio.create_task(passwords.hash_password("secret"))
    turns = 0
    while not hashing.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 10
