"""Settings other than the shared stack's: an Auth server per test, on the stack's database."""

from __future__ import annotations

import json
import logging
import uuid
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Any

import httpx
import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from parley_stack.keys import Keys
from support.auth_servers import URL, Serve

REFRESH = "/token?grant_type=refresh_token"


@pytest.fixture
def email() -> str:
    return f"{uuid.uuid4().hex}@example.com"


async def sign_up(auth: httpx.AsyncClient, **body: Any) -> httpx.Response:
    return await auth.post("/signup", json={"password": "secret-1", **body})


def execute(stack: Any, query: str, *values: Any) -> None:
    with psycopg.connect(stack.db_url, autocommit=True) as connection:
        connection.execute(query, values)


def bearer(session: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {session['access_token']}"}


class TestConfirmations:
    """``auth.email.enable_confirmations``"""

    @pytest.fixture
    async def auth(self, serve: Serve) -> httpx.AsyncClient:
        return await serve(email={"enable_confirmations": True, "max_frequency": "0s"})

    async def test_a_new_user_comes_bare(self, auth: httpx.AsyncClient, email: str) -> None:
        answer = await sign_up(auth, email=email)
        assert answer.status_code == 200
        user = answer.json()
        assert "access_token" not in user
        assert "email_confirmed_at" not in user
        assert user["user_metadata"]["email_verified"] is False
        assert len(user["identities"]) == 1

    async def test_a_known_address_gives_a_made_up_user_that_is_not_stored(
        self, serve: Serve, auth: httpx.AsyncClient, email: str, stack: Any
    ) -> None:
        real = (await sign_up(await serve(), email=email)).json()["user"]
        answer = await sign_up(auth, email=email, data={"name": "Stranger"})
        assert answer.status_code == 200
        user = answer.json()
        assert user["identities"] == []
        assert user["id"] != real["id"]
        assert (user["role"], user["user_metadata"]) == ("", {"name": "Stranger"})
        assert user["confirmation_sent_at"] == user["created_at"]
        with psycopg.connect(stack.db_url) as connection:
            count = connection.execute(
                "select count(*) from auth.users where id = %s", (user["id"],)
            ).fetchone()
        assert count == (0,)

    async def test_signing_up_again_changes_neither_password_nor_metadata(
        self, auth: httpx.AsyncClient, email: str
    ) -> None:
        first = (await sign_up(auth, email=email, data={"name": "Owner"})).json()
        second = (await sign_up(auth, email=email, password="secret-2", data={"x": 1})).json()
        assert second["id"] == first["id"]
        assert second["user_metadata"] == first["user_metadata"]
        body = {"email": email, "password": "secret-2"}
        answer = await auth.post("/token?grant_type=password", json=body)
        assert answer.json()["code"] == "invalid_credentials"


class TestAnonymous:
    async def test_off(self, serve: Serve) -> None:
        answer = await (await serve()).post("/signup", json={"data": {}})
        assert answer.status_code == 422
        assert answer.json() == {
            "code": "anonymous_provider_disabled",
            "message": "Anonymous sign-ins are disabled",
        }

    async def test_on(self, serve: Serve) -> None:
        auth = await serve(enable_anonymous_sign_ins=True)
        session = (await auth.post("/signup", json={"data": {"color": "red"}})).json()
        user = session["user"]
        assert (user["email"], user["phone"], user["is_anonymous"]) == ("", "", True)
        assert (user["app_metadata"], user["identities"]) == ({}, [])
        assert user["user_metadata"] == {"color": "red"}
        claims = jwt.decode(session["access_token"], options={"verify_signature": False})
        assert claims["is_anonymous"] is True
        assert [entry["method"] for entry in claims["amr"]] == ["anonymous"]

    async def test_becoming_permanent_keeps_the_id(self, serve: Serve, email: str) -> None:
        auth = await serve(enable_anonymous_sign_ins=True)
        session = (await auth.post("/signup", json={})).json()
        alone = await auth.put("/user", json={"password": "secret-1"}, headers=bearer(session))
        assert (alone.status_code, alone.json()["code"]) == (422, "validation_failed")
        body = {"email": email, "password": "secret-1"}
        user = (await auth.put("/user", json=body, headers=bearer(session))).json()
        assert (user["id"], user["is_anonymous"]) == (session["user"]["id"], False)
        assert user["app_metadata"] == {"provider": "email", "providers": ["email"]}
        assert user["identities"][0]["identity_data"]["email_verified"] is True
        answer = await auth.post("/token?grant_type=password", json=body)
        assert answer.status_code == 200

    async def test_signups_off_closes_it_too(self, serve: Serve) -> None:
        auth = await serve(enable_anonymous_sign_ins=True, enable_signup=False)
        answer = await auth.post("/signup", json={})
        assert (answer.status_code, answer.json()["code"]) == (422, "signup_disabled")


@pytest.mark.parametrize(
    ("settings", "path", "body", "status", "code", "message"),
    [
        (
            {"enable_signup": False},
            "/signup",
            {"email": "a@b.c", "password": ""},
            422,
            "signup_disabled",
            "Signups not allowed for this instance",
        ),
        (
            {"email": {"enable_signup": False}},
            "/signup",
            {"email": "a@b.c", "password": "secret-1"},
            400,
            "email_provider_disabled",
            "Email signups are disabled",
        ),
        (
            {"email": {"enable_signup": False}},
            "/token?grant_type=password",
            {"email": "a@b.c", "password": "secret-1"},
            422,
            "email_provider_disabled",
            "Email logins are disabled",
        ),
        (
            {"email": {"enabled": False, "enable_signup": True}},
            "/signup",
            {"email": "a@b.c", "password": "secret-1"},
            400,
            "email_provider_disabled",
            "Email signups are disabled",
        ),
        (
            {},
            "/signup",
            {"phone": "+15550100000", "password": "secret-1"},
            400,
            "phone_provider_disabled",
            "Unsupported phone provider",
        ),
        (
            {"sms": {"enable_signup": True}},
            "/signup",
            {"phone": "+0", "password": "secret-1"},
            400,
            "validation_failed",
            "Invalid phone number format (E.164 required)",
        ),
        (
            {"password_requirements": "letters_digits", "minimum_password_length": 8},
            "/signup",
            {"email": "a@b.c", "password": "secret"},
            422,
            "weak_password",
            (
                "Password should be at least 8 characters. Password should contain at least one "
                f"character of each: {ascii_lowercase + ascii_uppercase}, {digits}."
            ),
        ),
    ],
)
async def test_what_settings_refuse(
    serve: Serve,
    settings: dict[str, Any],
    path: str,
    body: dict[str, str],
    status: int,
    code: str,
    message: str,
) -> None:
    answer = await (await serve(**settings)).post(path, json=body)
    assert answer.status_code == status
    assert (answer.json()["code"], answer.json()["message"]) == (code, message)


async def test_a_number_signs_up_and_in_without_confirmation(serve: Serve) -> None:
    auth = await serve(sms={"enable_signup": True})
    number = f"1{uuid.uuid4().int % 10**12:012d}"
    session = (await sign_up(auth, phone=f"+{number}")).json()
    assert session["user"]["phone"] == number
    assert session["user"]["app_metadata"]["provider"] == "phone"
    assert session["user"]["user_metadata"]["phone_verified"] is True
    body = {"phone": f"+{number}", "password": "secret-1"}
    assert (await auth.post("/token?grant_type=password", json=body)).status_code == 200


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"timebox": "1h"}, "Invalid Refresh Token: Session Expired"),
        ({"inactivity_timeout": "1h"}, "Invalid Refresh Token: Session Expired (Inactivity)"),
    ],
)
async def test_sessions_end_by_age_or_inactivity(
    serve: Serve, stack: Any, email: str, limits: dict[str, str], message: str
) -> None:
    auth = await serve(sessions=limits)
    session = (await sign_up(auth, email=email)).json()
    body = {"refresh_token": session["refresh_token"]}
    answer = await auth.post(REFRESH, json=body)
    assert answer.status_code == 200
    execute(
        stack,
        """update auth.sessions set created_at = created_at - interval '61 minutes',
        refreshed_at = refreshed_at - interval '61 minutes' where user_id = %s""",
        session["user"]["id"],
    )
    refused = await auth.post(REFRESH, json={"refresh_token": answer.json()["refresh_token"]})
    assert refused.status_code == 400
    assert refused.json() == {"code": "session_expired", "message": message}


async def test_without_rotation_reuse_is_refused_and_the_family_lives(
    serve: Serve, email: str
) -> None:
    auth = await serve(enable_refresh_token_rotation=False, refresh_token_reuse_interval=0)
    tokens = [(await sign_up(auth, email=email)).json()["refresh_token"]]
    for _ in range(2):
        answer = await auth.post(REFRESH, json={"refresh_token": tokens[-1]})
        tokens.append(answer.json()["refresh_token"])
    refused = await auth.post(REFRESH, json={"refresh_token": tokens[0]})
    assert refused.json()["code"] == "refresh_token_already_used"
    assert (await auth.post(REFRESH, json={"refresh_token": tokens[-1]})).status_code == 200


async def test_an_old_session_must_reauthenticate_to_change_the_password(
    serve: Serve, stack: Any, email: str
) -> None:
    auth = await serve(email={"secure_password_change": True})
    session = (await sign_up(auth, email=email)).json()

    async def change(**body: str) -> httpx.Response:
        return await auth.put("/user", json=body, headers=bearer(session))

    assert (await change(password="secret-2")).status_code == 200
    execute(
        stack,
        "update auth.sessions set created_at = now() - interval '25 hours' where user_id = %s",
        session["user"]["id"],
    )
    refused = await change(password="secret-3")
    assert (refused.status_code, refused.json()["code"]) == (400, "reauthentication_needed")
    wrong = await change(password="secret-3", nonce="000000")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "reauthentication_not_valid")


async def test_the_current_password_is_demanded_unless_it_was_recovered(
    serve: Serve, stack: Any, email: str
) -> None:
    auth = await serve(email={"require_current_password": True})
    session = (await sign_up(auth, email=email)).json()

    async def change(**body: str) -> tuple[int, str | None]:
        answer = await auth.put("/user", json=body, headers=bearer(session))
        return answer.status_code, answer.json().get("code")

    assert await change(password="secret-2") == (400, "current_password_required")
    wrong = await change(password="secret-2", current_password="wrong")
    assert wrong == (400, "current_password_invalid")
    assert await change(password="secret-2", current_password="secret-1") == (200, None)
    execute(
        stack,
        """update auth.mfa_amr_claims set authentication_method = 'otp'
        where session_id in (select id from auth.sessions where user_id = %s)""",
        session["user"]["id"],
    )
    assert await change(password="secret-3") == (200, None)


def signing_key(algorithm: str) -> dict[str, Any]:
    if algorithm == "ES256":
        private = json.loads(ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1())))
    else:
        private = json.loads(RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048)))
    return {
        **private,
        "kid": "key-1",
        "alg": algorithm,
        "use": "sig",
        "key_ops": ["sign", "verify"],
    }


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
async def test_asymmetric_user_tokens_beside_a_shared_secret(
    serve: Serve, email: str, algorithm: str
) -> None:
    keys = Keys(signing_keys=[signing_key(algorithm)])
    auth = await serve(keys=keys)
    session = (await sign_up(auth, email=email)).json()
    header = jwt.get_unverified_header(session["access_token"])
    assert (header["alg"], header["kid"], header["typ"]) == (algorithm, "key-1", "JWT")

    answer = await auth.get("/.well-known/jwks.json")
    assert answer.headers["cache-control"] == "public, max-age=600"
    [public] = answer.json()["keys"]
    assert (public["kid"], public["alg"], public["key_ops"]) == ("key-1", algorithm, ["verify"])
    assert not {"d", "p", "q", "k"} & public.keys()
    claims = jwt.decode(
        session["access_token"], jwt.PyJWK(public), [algorithm], audience="authenticated"
    )
    assert claims["iss"] == URL

    assert (await auth.get("/user", headers=bearer(session))).status_code == 200
    old = Keys().sign({"sub": session["user"]["id"], "exp": claims["exp"]})
    answer = await auth.get("/user", headers=bearer({"access_token": old}))
    assert answer.status_code == 200


async def test_a_shared_secret_publishes_no_key(serve: Serve) -> None:
    answer = await (await serve()).get("/.well-known/jwks.json")
    assert answer.json() == {"keys": []}


async def test_settings_are_public(serve: Serve) -> None:
    auth = await serve(
        enable_anonymous_sign_ins=True, enable_signup=False, external={"github": {"enabled": True}}
    )
    answer = (await auth.get("/settings")).json()
    assert answer["external"]["anonymous_users"] is True
    assert answer["external"]["github"] is True
    assert answer["external"]["apple"] is False
    assert (answer["disable_signup"], answer["mailer_autoconfirm"]) == (True, True)


async def test_an_enabled_hook_that_is_not_called_is_warned_of(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        await serve(hook={"send_sms": {"enabled": True, "uri": "pg-functions://a/b/c"}})
    assert "auth.hook.send_sms" in caplog.text
