"""Second factors: time-based one-time passwords, assurance levels, hooks, telephones."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import psycopg
import pyotp
import pytest

from parley_stack.testing import Stack
from support.auth_servers import Serve

MFA = {"totp": {"enroll_enabled": True, "verify_enabled": True}}


@pytest.fixture
def email() -> str:
    return f"{uuid.uuid4().hex}@example.com"


@pytest.fixture
async def auth(serve: Serve) -> httpx.AsyncClient:
    return await serve(mfa=MFA)


async def sign_in(auth: httpx.AsyncClient, email: str, *, new: bool = False) -> dict[str, Any]:
    path = "/signup" if new else "/token?grant_type=password"
    answer = await auth.post(path, json={"email": email, "password": "secret-1"})
    assert answer.status_code == 200, answer.text
    session: dict[str, Any] = answer.json()
    return session


def bearer(session: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {session['access_token']}"}


def claims(session: Any) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(session["access_token"], options={"verify_signature": False})
    return found


async def enroll(auth: httpx.AsyncClient, session: Any, name: str = "phone") -> dict[str, Any]:
    body = {"factor_type": "totp", "friendly_name": name}
    answer = await auth.post("/factors", json=body, headers=bearer(session))
    assert answer.status_code == 200, answer.text
    factor: dict[str, Any] = answer.json()
    return factor


async def answer_challenge(
    auth: httpx.AsyncClient, session: Any, factor_id: str, code: str
) -> httpx.Response:
    path, headers = f"/factors/{factor_id}", bearer(session)
    challenge = (await auth.post(f"{path}/challenge", headers=headers)).json()
    body = {"challenge_id": challenge["id"], "code": code}
    return await auth.post(f"{path}/verify", json=body, headers=headers)


async def raised(auth: httpx.AsyncClient, email: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A new user's factor, and their session at aal2."""
    session = await sign_in(auth, email, new=True)
    factor = await enroll(auth, session)
    code = pyotp.TOTP(factor["totp"]["secret"]).now()
    return factor, (await answer_challenge(auth, session, factor["id"], code)).json()


class TestFactors:
    async def test_enrolling_gives_what_an_authenticator_reads(
        self, auth: httpx.AsyncClient, email: str
    ) -> None:
        factor = await enroll(auth, await sign_in(auth, email, new=True))
        assert factor["type"] == "totp"
        assert factor["totp"]["uri"].startswith("otpauth://totp/")
        assert factor["totp"]["secret"] in factor["totp"]["uri"]
        assert factor["totp"]["qr_code"].startswith("<svg")

    async def test_code_raises_the_session(self, auth: httpx.AsyncClient, email: str) -> None:
        first = await sign_in(auth, email, new=True)
        other = await sign_in(auth, email)
        factor = await enroll(auth, first)
        await enroll(auth, first, "never proven")
        wrong = await answer_challenge(auth, first, factor["id"], "000000")
        assert (wrong.status_code, wrong.json()["code"]) == (422, "mfa_verification_failed")
        code = pyotp.TOTP(factor["totp"]["secret"]).now()
        session = (await answer_challenge(auth, first, factor["id"], code)).json()
        assert claims(session)["aal"] == "aal2"
        assert [method["method"] for method in claims(session)["amr"]] == ["totp", "password"]
        assert claims(session)["session_id"] == claims(first)["session_id"]
        assert [f["status"] for f in session["user"]["factors"]] == ["verified"]
        # The session that has shown one factor only is gone, and so is the old refresh token.
        assert (await auth.get("/user", headers=bearer(other))).status_code == 403
        refreshed = await auth.post(
            "/token?grant_type=refresh_token", json={"refresh_token": session["refresh_token"]}
        )
        assert claims(refreshed.json())["aal"] == "aal2"

    async def test_challenge_is_used_once(self, auth: httpx.AsyncClient, email: str) -> None:
        session = await sign_in(auth, email, new=True)
        factor = await enroll(auth, session)
        path, headers = f"/factors/{factor['id']}", bearer(session)
        challenge = (await auth.post(f"{path}/challenge", headers=headers)).json()
        code = pyotp.TOTP(factor["totp"]["secret"]).now()
        body = {"challenge_id": challenge["id"], "code": code}
        session = (await auth.post(f"{path}/verify", json=body, headers=headers)).json()
        again = await auth.post(f"{path}/verify", json=body, headers=bearer(session))
        assert (again.status_code, again.json()["code"]) == (422, "mfa_challenge_not_found")

    async def test_first_level_may_not_touch_the_account(
        self, auth: httpx.AsyncClient, email: str
    ) -> None:
        factor, session = await raised(auth, email)
        low = await sign_in(auth, email)
        change = {"password": "secret-2"}
        refused = await auth.put("/user", json=change, headers=bearer(low))
        assert (refused.status_code, refused.json()["code"]) == (401, "insufficient_aal")
        path = f"/factors/{factor['id']}"
        refused = await auth.delete(path, headers=bearer(low))
        assert (refused.status_code, refused.json()["code"]) == (422, "insufficient_aal")
        body = {"factor_type": "totp", "friendly_name": "second"}
        refused = await auth.post("/factors", json=body, headers=bearer(low))
        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_aal")
        gone = await auth.delete(path, headers=bearer(session))
        assert gone.json() == {"id": factor["id"]}
        assert (await auth.put("/user", json=change, headers=bearer(low))).status_code == 200

    async def test_name_is_taken_once(self, auth: httpx.AsyncClient, email: str) -> None:
        session = await sign_in(auth, email, new=True)
        await enroll(auth, session)
        body = {"factor_type": "totp", "friendly_name": "phone"}
        again = await auth.post("/factors", json=body, headers=bearer(session))
        assert (again.status_code, again.json()["code"]) == (422, "mfa_factor_name_conflict")

    async def test_factor_of_another_user(self, auth: httpx.AsyncClient, email: str) -> None:
        factor = await enroll(auth, await sign_in(auth, email, new=True))
        stranger = await sign_in(auth, f"other-{email}", new=True)
        path = f"/factors/{factor['id']}"
        assert (await auth.post(f"{path}/challenge", headers=bearer(stranger))).status_code == 404
        assert (await auth.delete(path, headers=bearer(stranger))).status_code == 404

    async def test_off_unless_configured(self, serve: Serve, email: str) -> None:
        auth = await serve()
        body = {"factor_type": "totp"}
        session = await sign_in(auth, email, new=True)
        answer = await auth.post("/factors", json=body, headers=bearer(session))
        assert (answer.status_code, answer.json()["code"]) == (422, "mfa_totp_enroll_not_enabled")

    async def test_administrators_list_and_remove(
        self, auth: httpx.AsyncClient, stack: Stack, email: str
    ) -> None:
        factor, session = await raised(auth, email)
        admin = {"Authorization": f"Bearer {stack.service_role_key}"}
        path = f"/admin/users/{session['user']['id']}/factors"
        assert (await auth.get(path)).status_code == 401
        assert [f["id"] for f in (await auth.get(path, headers=admin)).json()] == [factor["id"]]
        gone = await auth.delete(f"{path}/{factor['id']}", headers=admin)
        assert gone.json()["id"] == factor["id"]
        assert (await auth.get(path, headers=admin)).json() == []
        nobody = await auth.get(f"/admin/users/{uuid.uuid4()}/factors", headers=admin)
        assert (nobody.status_code, nobody.json()["code"]) == (404, "user_not_found")


@pytest.fixture
def hook(stack: Stack) -> Iterator[Any]:
    """``hook(body)`` makes a function of an event and gives its uri."""
    name = f"hook_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(stack.db_url, autocommit=True) as connection:

        def make(body: str) -> dict[str, Any]:
            connection.execute(
                f"create function public.{name}(event jsonb) returns jsonb language plpgsql "
                f"set search_path = '' as $$ begin {body} end $$".encode()
            )
            return {"enabled": True, "uri": f"pg-functions://postgres/public/{name}"}

        yield make
        connection.execute(f"drop function public.{name}".encode())


class TestHooks:
    async def test_claims_are_the_projects(self, serve: Serve, hook: Any, email: str) -> None:
        made = hook(
            "return jsonb_set(event, '{claims,plan}', to_jsonb(event ->> 'authentication_method'));"
        )
        auth = await serve(hook={"custom_access_token": made})
        session = await sign_in(auth, email, new=True)
        assert claims(session)["plan"] == "password"
        assert (await auth.get("/user", headers=bearer(session))).status_code == 200

    @pytest.mark.parametrize(
        "body",
        [
            "return '{}';",
            "return event #- '{claims,sub}';",
            "raise exception 'broken';",
            "return null;",
            "perform pg_sleep(10); return event;",
        ],
    )
    async def test_broken_hook_signs_nobody_in(
        self, serve: Serve, hook: Any, stack: Stack, email: str, body: str
    ) -> None:
        auth = await serve(hook={"custom_access_token": hook(body)})
        answer = await auth.post("/signup", json={"email": email, "password": "secret-1"})
        assert answer.status_code == 500
        assert "broken" not in answer.text
        with psycopg.connect(stack.db_url) as connection:
            count = connection.execute(
                "select count(*) from auth.users where email = %s", (email,)
            ).fetchone()
        assert count == (0,)

    async def test_new_users_can_be_refused(self, serve: Serve, hook: Any, email: str) -> None:
        made = hook(
            "return case when event -> 'user' ->> 'email' like 'no-%' then "
            """'{"error": {"http_code": 403, "message": "Not you"}}'::jsonb """
            "else '{}'::jsonb end;"
        )
        auth = await serve(hook={"before_user_created": made})
        body = {"email": f"no-{email}", "password": "secret-1"}
        refused = await auth.post("/signup", json=body)
        assert (refused.status_code, refused.json()["message"]) == (403, "Not you")
        assert (await auth.post("/otp", json={"email": f"no-{email}"})).status_code == 403
        await sign_in(auth, email, new=True)


class TestTelephone:
    PHONE = "4915123456789"

    @pytest.fixture
    async def auth(self, serve: Serve, stack: Stack) -> httpx.AsyncClient:
        with psycopg.connect(stack.db_url, autocommit=True) as connection:
            connection.execute("delete from auth.users where phone = %s", (self.PHONE,))
        sms = {"enabled": True, "enable_confirmations": True, "test_otp": {self.PHONE: "123456"}}
        return await serve(sms=sms)

    @pytest.mark.xdist_group("telephone")
    async def test_codes_of_the_configuration(self, auth: httpx.AsyncClient) -> None:
        phone = f"+{self.PHONE}"
        sent = await auth.post("/otp", json={"phone": phone})
        assert sent.json()["message_id"]
        wrong = {"type": "sms", "phone": phone, "token": "654321"}
        assert (await auth.post("/verify", json=wrong)).status_code == 403
        session = (await auth.post("/verify", json={**wrong, "token": "123456"})).json()
        assert session["user"]["phone"] == self.PHONE
        assert session["user"]["phone_confirmed_at"]

    async def test_other_numbers_get_none(self, auth: httpx.AsyncClient) -> None:
        answer = await auth.post("/otp", json={"phone": "+15005550006"})
        assert (answer.status_code, answer.json()["code"]) == (422, "sms_send_failed")
        assert "test_otp" in answer.json()["message"]

    async def test_no_change_of_number_is_under_way(self, auth: httpx.AsyncClient) -> None:
        body = {"type": "phone_change", "phone": "+15005550006", "token": "123456"}
        answer = await auth.post("/verify", json=body)
        assert (answer.status_code, answer.json()["message"]) == (
            403, "Token has expired or is invalid",
        )  # fmt: skip

    async def test_off_unless_configured(self, serve: Serve) -> None:
        answer = await (await serve()).post("/otp", json={"phone": "+15005550006"})
        assert answer.json()["code"] == "phone_provider_disabled"


class TestOthers:
    async def test_providers_are_refused(self, serve: Serve, email: str) -> None:
        auth = await serve(external={"github": {"enabled": True}}, enable_manual_linking=True)
        github = await auth.get("/authorize?provider=github")
        assert github.status_code == 400
        assert "auth.external.github" in github.json()["message"]
        google = (await auth.get("/authorize?provider=google")).json()
        assert google["message"] == "Unsupported provider: provider is not enabled"
        body = {"provider": "google", "id_token": "a.b.c"}
        token = await auth.post("/token?grant_type=id_token", json=body)
        assert (token.status_code, token.json()["code"]) == (400, "provider_disabled")
        assert token.json()["message"].startswith("Provider google is not enabled")
        wallet = await auth.post("/token?grant_type=web3", json={"chain": "solana"})
        assert (wallet.status_code, wallet.json()["code"]) == (422, "web3_provider_disabled")
        assert wallet.json()["message"].startswith("Web3 provider is disabled")
        saml = await auth.post("/sso", json={"domain": "example.com"})
        assert (saml.status_code, saml.json()["message"]) == (404, "SAML 2.0 is disabled")
        session = await sign_in(auth, email, new=True)
        identity = session["user"]["identities"][0]["identity_id"]
        last = await auth.delete(f"/user/identities/{identity}", headers=bearer(session))
        assert last.json()["code"] == "single_identity_not_deletable"
        other = await auth.delete(f"/user/identities/{uuid.uuid4()}", headers=bearer(session))
        assert other.json()["code"] == "identity_not_found"

    async def test_linking_is_off(self, serve: Serve, email: str) -> None:
        auth = await serve()
        headers = bearer(await sign_in(auth, email, new=True))
        for answer in (
            await auth.get("/user/identities/authorize?provider=github", headers=headers),
            await auth.delete(f"/user/identities/{uuid.uuid4()}", headers=headers),
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, "manual_linking_disabled")
