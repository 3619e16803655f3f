"""Email addresses and telephone numbers: what is accepted, and its stored form."""

from __future__ import annotations

import re

from .errors import invalid

MAX_EMAIL_CHARACTERS = 255

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_EMAIL = re.compile(rf"[a-zA-Z0-9.!#$%&'*+/=?^_`{{|}}~-]+@{_LABEL}(?:\.{_LABEL})*")
"""As HTML's ``<input type=email>``."""
_PHONE = re.compile(r"[1-9][0-9]{1,14}")
"""E.164 without its plus sign."""


def normal_email(email: str) -> str:
    """The address in lower case. Raises ``validation_failed``."""
    if not email.strip():
        raise invalid("An email address is required")
    if len(email) > MAX_EMAIL_CHARACTERS:
        raise invalid("An email address is too long")
    if not _EMAIL.fullmatch(email):
        raise invalid("Unable to validate email address: invalid format")
    return email.lower()


def bare_phone(phone: str) -> str:
    """The number without plus signs and spaces."""
    return phone.replace("+", "").replace(" ", "")


def normal_phone(phone: str) -> str:
    """The number's digits. Raises ``validation_failed``."""
    digits = bare_phone(phone)
    if not _PHONE.fullmatch(digits):
        raise invalid("Invalid phone number format (E.164 required)")
    return digits
