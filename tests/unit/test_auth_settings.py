from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

from parley_stack.auth.durations import parse_duration
from parley_stack.auth.settings import AuthSettings


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("0", timedelta()),
        ("1s", timedelta(seconds=1)),
        ("1h30m", timedelta(minutes=90)),
        ("500ms", timedelta(milliseconds=500)),
        ("1.5h", timedelta(minutes=90)),
        ("876000h", timedelta(hours=876_000)),
    ],
)
def test_durations_are_read_as_go_writes_them(text: str, length: timedelta) -> None:
    assert parse_duration(text) == length


@pytest.mark.parametrize("text", ["", "5", "1d", "-1s", "1s ", "h", "none", "9999999999h", "1s2"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


def test_defaults_are_the_command_line_tool_s() -> None:
    settings = AuthSettings()
    assert settings.site_url == "http://127.0.0.1:3000"
    assert settings.jwt_expiry == 3600
    assert settings.enable_refresh_token_rotation
    assert settings.refresh_token_reuse_interval == 10
    assert settings.enable_signup
    assert not settings.enable_anonymous_sign_ins
    assert settings.minimum_password_length == 6
    assert not settings.email.enable_confirmations
    assert settings.email.max_frequency == timedelta(seconds=1)
    assert settings.sessions.timebox == timedelta()


@pytest.mark.parametrize(
    "section",
    [
        {"enable_singup": True},
        {"email": {"enable_signups": True}},
        {"hook": {"after_breakfast": {"enabled": True}}},
        {"external": {"apple": {"clientid": "x"}}},
    ],
)
def test_a_misspelt_key_is_an_error(section: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        AuthSettings.model_validate(section)


def test_keys_that_are_reserved_words_in_python_are_read() -> None:
    smtp = {"host": "mail.example.com", "port": 25, "pass": "hidden-1"}
    settings = AuthSettings.model_validate(
        {"email": {"smtp": smtp}, "sms": {"vonage": {"from": "me", "api_secret": "hidden-2"}}}
    )
    assert settings.email.smtp is not None
    assert settings.email.smtp.password == "hidden-1"
    assert settings.sms.vonage.sender == "me"


def test_no_secret_is_printed() -> None:
    settings = AuthSettings.model_validate(
        {
            "jwt_secret": "hidden",
            "secret_key": "hidden",
            "email": {"smtp": {"pass": "hidden"}},
            "sms": {"test_otp": {"4152127777": "hidden"}, "twilio": {"auth_token": "hidden"}},
            "external": {"apple": {"secret": "hidden"}},
            "hook": {"send_email": {"secrets": "hidden"}},
        }
    )
    assert "hidden" not in repr(settings)
