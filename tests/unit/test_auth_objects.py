from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from starlette.requests import Request

from parley_stack.auth.addresses import normal_email, normal_phone
from parley_stack.auth.errors import AuthError
from parley_stack.auth.objects import User, merged, time_text, user_json
from parley_stack.auth.pagination import Page, page_of
from parley_stack.auth.server import origin

SEEDED = User(
    id=uuid.UUID(int=1), aud="", role="", email="", phone="", encrypted_password="$2a$10$hash"
)


def test_a_user_without_anything_has_the_members_clients_demand_and_no_more() -> None:
    assert user_json(SEEDED, ()) == {
        "id": "00000000-0000-0000-0000-000000000001",
        "aud": "",
        "role": "",
        "email": "",
        "phone": "",
        "app_metadata": {},
        "user_metadata": {},
        "identities": [],
        "created_at": "0001-01-01T00:00:00Z",
        "updated_at": "0001-01-01T00:00:00Z",
        "is_anonymous": False,
    }


def test_times_are_utc() -> None:
    moment = datetime(2026, 1, 1, 12, 30, 0, 500, tzinfo=timezone(timedelta(hours=2)))
    assert time_text(moment) == "2026-01-01T10:30:00.000500Z"
    assert time_text(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00Z"


def test_merging_metadata_replaces_members_and_null_removes_them() -> None:
    old = {"kept": 1, "replaced": {"deep": True}, "removed": 3}
    new = {"replaced": {"other": True}, "removed": None, "added": 4}
    assert merged(old, new) == {"kept": 1, "replaced": {"other": True}, "added": 4}


@pytest.mark.parametrize(
    ("query", "page"),
    [
        ({}, Page(1, 50)),
        ({"page": "", "per_page": ""}, Page(1, 50)),
        ({"page": "3", "per_page": "7"}, Page(3, 7)),
    ],
)
def test_empty_page_parameters_mean_the_default(query: dict[str, str], page: Page) -> None:
    assert page_of(query) == page


@pytest.mark.parametrize("value", ["-1", "0", "1.5", "x", "\u0661", "9" * 30])
@pytest.mark.parametrize("name", ["page", "per_page"])
def test_other_page_parameters_are_refused(name: str, value: str) -> None:
    with pytest.raises(AuthError, match="Bad Pagination Parameters: ") as refused:
        page_of({name: value})
    assert (refused.value.status, refused.value.code) == (400, "validation_failed")


def test_links_begin_with_the_page_and_the_last_page_has_no_next() -> None:
    assert Page(1, 50).headers(421) == {
        "X-Total-Count": "421",
        "Link": '</admin/users?page=2&per_page=50>; rel="next", '
        '</admin/users?page=9&per_page=50>; rel="last"',
    }
    assert Page(9, 50).headers(421)["Link"] == '</admin/users?page=9&per_page=50>; rel="last"'


def test_email_is_stored_in_lower_case() -> None:
    assert normal_email("Owner@Example.COM") == "owner@example.com"


@pytest.mark.parametrize(
    ("email", "message"),
    [
        (" ", "An email address is required"),
        ("a" * 251 + "@x.io", "An email address is too long"),
        ("owner", "Unable to validate email address: invalid format"),
        ("owner@", "Unable to validate email address: invalid format"),
        ("owner@x.io\n", "Unable to validate email address: invalid format"),
        ("own er@x.io", "Unable to validate email address: invalid format"),
    ],
)
def test_email_that_is_refused(email: str, message: str) -> None:
    with pytest.raises(AuthError) as refused:
        normal_email(email)
    assert refused.value.message == message


def test_phone_is_stored_as_digits() -> None:
    assert normal_phone("+1 555 010 0000") == "15550100000"


@pytest.mark.parametrize("phone", ["+", "0123456", "12a", "1" * 16, "١٢٣"])
def test_phone_that_is_refused(phone: str) -> None:
    with pytest.raises(AuthError, match=r"E\.164 required"):
        normal_phone(phone)


@pytest.mark.parametrize(
    ("forwarded", "ip"),
    [("203.0.113.9, 10.0.0.1", "203.0.113.9"), ("unknown", "127.0.0.1"), ("fe80::1%e", "fe80::1")],
)
def test_origin_is_an_address_postgresql_can_store(forwarded: str, ip: str) -> None:
    headers = [(b"x-forwarded-for", forwarded.encode())]
    scope = {"type": "http", "headers": headers, "client": ("127.0.0.1", 1)}
    assert origin(Request(scope)).ip == ip
