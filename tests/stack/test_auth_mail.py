"""Links and codes by mail: what is sent, where it leads, what it proves."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import psycopg
import pytest

from parley_stack.testing import Stack
from support.auth_servers import URL, Serve

PASSWORD = "secret-1"
CONFIRMED = {"enable_confirmations": True, "max_frequency": "0s"}


@pytest.fixture
def email() -> str:
    return f"{uuid.uuid4().hex}@example.com"


@pytest.fixture
async def auth(serve: Serve) -> httpx.AsyncClient:
    """A server that wants addresses confirmed."""
    return await serve(email=CONFIRMED)


class Mailbox:
    """The sink's API, for one address at a time."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url)

    def all(self, address: str) -> list[dict[str, Any]]:
        """Messages to an address, newest first."""
        found = self.http.get("/api/v1/search", params={"query": f"to:{address}"}).json()
        return [self.http.get(f"/api/v1/message/{m['ID']}").json() for m in found["messages"]]

    def last(self, address: str) -> dict[str, Any]:
        """The ``Auth`` member of the newest message to an address."""
        auth: dict[str, Any] = self.all(address)[0]["Auth"]
        return auth


@pytest.fixture
def mailbox(stack: Stack) -> Any:
    box = Mailbox(stack.mailpit_url)
    yield box
    box.http.close()


async def follow(auth: httpx.AsyncClient, link: str) -> tuple[str, dict[str, str], dict[str, str]]:
    """Opens a link: the address it leads to, its query and its fragment."""
    answer = await auth.get(link.removeprefix(URL))
    assert answer.status_code == 303, answer.text
    parts = urlsplit(answer.headers["location"])
    single = [{k: v[0] for k, v in parse_qs(text, True).items()} for text in parts[3:]]
    return f"{parts.scheme}://{parts.netloc}{parts.path}", *single


async def sign_up(auth: httpx.AsyncClient, email: str, **body: Any) -> dict[str, Any]:
    answer = await auth.post("/signup", json={"email": email, "password": PASSWORD, **body})
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def bearer(session: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {session['access_token']}"}


async def signed_in(auth: httpx.AsyncClient, mailbox: Mailbox, email: str) -> dict[str, Any]:
    """The session of a new, confirmed user."""
    await sign_up(auth, email)
    sent = mailbox.last(email)
    body = {"type": "signup", "token_hash": sent["token_hash"]}
    session: dict[str, Any] = (await auth.post("/verify", json=body)).json()
    return session


def proof() -> tuple[str, dict[str, str]]:
    """A verifier, and what a request carries of it."""
    verifier = secrets.token_urlsafe(48)
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
    return verifier, {
        "code_challenge": digest.rstrip(b"=").decode(),
        "code_challenge_method": "s256",
    }


class TestConfirmation:
    async def test_link_signs_in_and_confirms_once(
        self, auth: httpx.AsyncClient, mailbox: Mailbox, email: str
    ) -> None:
        user = await sign_up(auth, email)
        assert "confirmation_sent_at" in user
        sent = mailbox.last(email)
        assert sent["type"] == "signup"
        refused = await auth.post(
            "/token?grant_type=password", json={"email": email, "password": PASSWORD}
        )
        assert refused.json()["code"] == "email_not_confirmed"
        target, _, answer = await follow(auth, sent["link"])
        assert target == "http://127.0.0.1:3000"
        assert (answer["type"], answer["token_type"]) == ("signup", "bearer")
        me = (await auth.get("/user", headers=bearer(answer))).json()
        assert me["id"] == user["id"]
        assert me["email_confirmed_at"]
        assert me["user_metadata"]["email_verified"] is True
        assert me["identities"][0]["identity_data"]["email_verified"] is True
        _, _, again = await follow(auth, sent["link"])
        assert again["error_code"] == "otp_expired"
        assert again["error"] == "access_denied"
        assert again["error_description"] == "Email link is invalid or has expired"

    async def test_code_and_hash_work_by_post(
        self, auth: httpx.AsyncClient, mailbox: Mailbox, email: str
    ) -> None:
        await sign_up(auth, email)
        sent = mailbox.last(email)
        assert re.fullmatch(r"\d{6}", sent["token"])
        wrong = await auth.post(
            "/verify", json={"type": "signup", "email": email, "token": "not-it"}
        )
        assert (wrong.status_code, wrong.json()["code"]) == (403, "otp_expired")
        assert wrong.json()["message"] == "Token has expired or is invalid"
        session = await auth.post(
            "/verify", json={"type": "email", "email": email.upper(), "token": sent["token"]}
        )
        assert session.json()["user"]["email"] == email

    async def test_asking_again_voids_the_link_before(
        self, auth: httpx.AsyncClient, mailbox: Mailbox, email: str
    ) -> None:
        await sign_up(auth, email)
        first = mailbox.last(email)
        answer = await auth.post("/resend", json={"type": "signup", "email": email})
        assert (answer.status_code, answer.json()) == (200, {})
        body = {"type": "signup", "token_hash": first["token_hash"]}
        assert (await auth.post("/verify", json=body)).status_code == 403
        body["token_hash"] = mailbox.last(email)["token_hash"]
        assert (await auth.post("/verify", json=body)).status_code == 200
        # Nothing is left to confirm, and nobody learns so.
        answer = await auth.post("/resend", json={"type": "signup", "email": email})
        assert (answer.status_code, answer.json()) == (200, {})
        assert len(mailbox.all(email)) == 2

    async def test_too_soon(self, serve: Serve, email: str) -> None:
        auth = await serve(email={**CONFIRMED, "max_frequency": "1m"})
        await sign_up(auth, email)
        answer = await auth.post("/resend", json={"type": "signup", "email": email})
        assert (answer.status_code, answer.json()["code"]) == (429, "over_email_send_rate_limit")
        assert re.search(r"only request this after (59|60) seconds", answer.json()["message"])

    async def test_too_late(self, serve: Serve, mailbox: Mailbox, stack: Stack, email: str) -> None:
        auth = await serve(email=CONFIRMED)
        await sign_up(auth, email)
        with psycopg.connect(stack.db_url, autocommit=True) as connection:
            connection.execute(
                "update auth.users set confirmation_sent_at = now() - interval '1h 1s' "
                "where email = %s",
                (email,),
            )
        _, _, answer = await follow(auth, mailbox.last(email)["link"])
        assert answer["error_code"] == "otp_expired"


class TestSignInByMail:
    async def test_unknown_address_is_signed_up(
        self, auth: httpx.AsyncClient, mailbox: Mailbox, email: str
    ) -> None:
        body = {"email": email, "data": {"name": "New"}, "code_challenge": None}
        assert (await auth.post("/otp", json=body)).json() == {}
        sent = mailbox.last(email)
        assert sent["type"] == "signup"
        _, _, answer = await follow(auth, sent["link"])
        me = (await auth.get("/user", headers=bearer(answer))).json()
        assert me["user_metadata"]["name"] == "New"

    async def test_known_address_gets_a_magic_link(
        self, auth: httpx.AsyncClient, mailbox: Mailbox, email: str
    ) -> None:
        session = await signed_in(auth, mailbox, email)
        assert (await auth.post("/magiclink", json={"email": email})).json() == {}
        sent = mailbox.last(email)
        assert sent["type"] == "magiclink"
        body = {"type": "email", "email": email, "token": sent["token"]}
        again = (await auth.post("/verify", json=body)).json()
        assert again["user"]["id"] == session["user"]["id"]

    async def test_nobody_is_made_unless_wanted(
        self, auth: httpx.AsyncClient, mailbox: Mailbox, email: str
    ) -> None:
        answer = await auth.post("/otp", json={"email": email, "create_user": False})
        assert (answer.status_code, answer.json()["code"]) == (422, "otp_disabled")
        assert mailbox.all(email) == []

    async def test_recovery_tells_nobody_who_exists(
        self, auth: httpx.AsyncClient, mailbox: Mailbox, email: str
    ) -> None:
        assert (await auth.post("/recover", json={"email": email})).json() == {}
        assert mailbox.all(email) == []
        await signed_in(auth, mailbox, email)
        assert (await auth.post("/recover", json={"email": email})).json() == {}
        _, _, answer = await follow(auth, mailbox.last(email)["link"])
        assert answer["type"] == "recovery"
        changed = await auth.put("/user", json={"password": "secret-2"}, headers=bearer(answer))
        assert changed.status_code == 200

    async def test_proof_key(self, auth: httpx.AsyncClient, mailbox: Mailbox, email: str) -> None:
        await signed_in(auth, mailbox, email)
        verifier, challenge = proof()
        await auth.post("/otp", json={"email": email, **challenge})
        sent = mailbox.last(email)
        assert sent["token_hash"].startswith("pkce_")
        _, query, _ = await follow(auth, sent["link"])
        exchange = "/token?grant_type=pkce"
        body = {"auth_code": query["code"], "code_verifier": "x" * 43}
        wrong = await auth.post(exchange, json=body)
        assert (wrong.status_code, wrong.json()["code"]) == (400, "bad_code_verifier")
        body["code_verifier"] = verifier
        session = (await auth.post(exchange, json=body)).json()
        assert session["user"]["email"] == email
        again = await auth.post(exchange, json=body)
        assert (again.status_code, again.json()["code"]) == (404, "flow_state_not_found")
        _, query, fragment = await follow(auth, sent["link"])
        assert query["error_code"] == fragment["error_code"] == "otp_expired"


class TestRedirects:
    @pytest.mark.parametrize(
        ("asked", "leads_to"),
        [
            ("http://127.0.0.1:3000/welcome", "http://127.0.0.1:3000/welcome"),
            ("http://127.0.0.1:9999/x", "http://127.0.0.1:9999/x"),
            ("https://app.example.com/a/b", "https://app.example.com/a/b"),
            ("https://one.two.example.com/", "http://127.0.0.1:3000"),
            ("https://evil.example.net/", "http://127.0.0.1:3000"),
            ("http://10.0.0.1/", "http://127.0.0.1:3000"),
            ("myapp://callback/x", "myapp://callback/x"),
            ("not an address", "http://127.0.0.1:3000"),
            ("http://[", "http://127.0.0.1:3000"),
        ],
    )
    async def test_allow_list(
        self, serve: Serve, mailbox: Mailbox, email: str, asked: str, leads_to: str
    ) -> None:
        allowed = ["https://*.example.com/**", "myapp://callback/?", "[z-a]"]
        auth = await serve(email=CONFIRMED, additional_redirect_urls=allowed)
        await auth.post("/signup", params={"redirect_to": asked}, json={
            "email": email, "password": PASSWORD
        })  # fmt: skip
        target, _, answer = await follow(auth, mailbox.last(email)["link"])
        assert target == leads_to
        assert answer["access_token"]

    async def test_query_of_the_target_is_kept(
        self, auth: httpx.AsyncClient, mailbox: Mailbox, email: str
    ) -> None:
        _, challenge = proof()
        await auth.post(
            "/otp",
            params={"redirect_to": "http://127.0.0.1:3000/a?b=c&d=e"},
            json={"email": email, **challenge},
        )
        _, query, _ = await follow(auth, mailbox.last(email)["link"])
        assert (query["b"], query["d"]) == ("c", "e")
        assert query["code"]


class TestEmailChange:
    async def test_both_addresses_agree(
        self, auth: httpx.AsyncClient, mailbox: Mailbox, email: str
    ) -> None:
        session, new = await signed_in(auth, mailbox, email), f"new-{email}"
        user = (await auth.put("/user", json={"email": new}, headers=bearer(session))).json()
        assert (user["email"], user["new_email"]) == (email, new)
        to_new, to_old = mailbox.last(new), mailbox.last(email)
        _, _, answer = await follow(auth, to_new["link"])
        assert answer["message"].startswith("Confirmation link accepted.")
        assert "access_token" not in answer
        body = {"type": "email_change", "token_hash": to_old["token_hash"]}
        done = (await auth.post("/verify", json=body)).json()
        assert done["user"]["email"] == new
        assert "new_email" not in done["user"]
        assert done["user"]["identities"][0]["identity_data"]["email"] == new

    async def test_first_link_is_enough_without_confirmations(
        self, serve: Serve, mailbox: Mailbox, email: str
    ) -> None:
        auth = await serve(email={"max_frequency": "0s"})
        session, new = await sign_up(auth, email), f"new-{email}"
        await auth.put("/user", json={"email": new}, headers=bearer(session))
        await follow(auth, mailbox.last(new)["link"])
        assert (await auth.get("/user", headers=bearer(session))).json()["email"] == new

    async def test_address_taken_meanwhile(
        self, serve: Serve, mailbox: Mailbox, email: str
    ) -> None:
        auth = await serve(email={"max_frequency": "0s"})
        session, new = await sign_up(auth, email), f"new-{email}"
        await auth.put("/user", json={"email": new}, headers=bearer(session))
        await sign_up(auth, new)
        sent = next(m["Auth"] for m in mailbox.all(new) if m["Auth"]["type"] == "email_change")
        _, _, answer = await follow(auth, sent["link"])
        assert answer["error_code"] == "email_exists"
        assert (await auth.get("/user", headers=bearer(session))).json()["email"] == email


class TestReauthentication:
    async def test_old_session_needs_a_nonce(
        self, serve: Serve, mailbox: Mailbox, stack: Stack, email: str
    ) -> None:
        auth = await serve(email={**CONFIRMED, "secure_password_change": True})
        session = await signed_in(auth, mailbox, email)
        with psycopg.connect(stack.db_url, autocommit=True) as connection:
            connection.execute(
                "update auth.sessions set created_at = now() - interval '25h' where user_id = %s",
                (session["user"]["id"],),
            )
        headers, change = bearer(session), {"password": "secret-2"}
        refused = await auth.put("/user", json=change, headers=headers)
        assert refused.json()["code"] == "reauthentication_needed"
        assert (await auth.get("/reauthenticate", headers=headers)).json() == {}
        sent = mailbox.last(email)
        assert (sent["type"], sent["link"]) == ("reauthentication", "")
        wrong = await auth.put("/user", json={**change, "nonce": "1"}, headers=headers)
        assert wrong.json()["code"] == "reauthentication_not_valid"
        done = await auth.put("/user", json={**change, "nonce": sent["token"]}, headers=headers)
        assert done.status_code == 200
        again = {"password": "secret-3", "nonce": sent["token"]}
        assert (await auth.put("/user", json=again, headers=headers)).status_code == 422


class TestAdministrators:
    @pytest.fixture
    def admin(self, stack: Stack) -> dict[str, str]:
        return {"Authorization": f"Bearer {stack.service_role_key}"}

    async def test_invitation(
        self, auth: httpx.AsyncClient, mailbox: Mailbox, admin: dict[str, str], email: str
    ) -> None:
        body = {"email": email, "data": {"team": 1}}
        assert (await auth.post("/invite", json=body)).status_code == 401
        user = (await auth.post("/invite", json=body, headers=admin)).json()
        assert user["invited_at"]
        assert user["user_metadata"] == {"team": 1}
        _, _, answer = await follow(auth, mailbox.last(email)["link"])
        assert answer["type"] == "invite"
        taken = await auth.post("/invite", json=body, headers=admin)
        assert (taken.status_code, taken.json()["code"]) == (422, "email_exists")

    @pytest.mark.parametrize("kind", ["signup", "invite", "magiclink"])
    async def test_links_for_new_users(
        self,
        auth: httpx.AsyncClient,
        mailbox: Mailbox,
        admin: dict[str, str],
        email: str,
        kind: str,
    ) -> None:
        body = {"type": kind, "email": email, "password": PASSWORD, "data": {"a": 1}}
        made = (await auth.post("/admin/generate_link", json=body, headers=admin)).json()
        assert made["user_metadata"] == {"a": 1}
        assert made["verification_type"] == ("invite" if kind == "invite" else "signup")
        assert mailbox.all(email) == []
        by_code = {"type": made["verification_type"], "email": email, "token": made["email_otp"]}
        assert (await auth.post("/verify", json=by_code)).status_code == 200

    @pytest.mark.parametrize("kind", ["magiclink", "recovery"])
    async def test_links_for_known_users(
        self,
        auth: httpx.AsyncClient,
        mailbox: Mailbox,
        admin: dict[str, str],
        email: str,
        kind: str,
    ) -> None:
        await signed_in(auth, mailbox, email)
        body = {"type": kind, "email": email, "redirect_to": "http://127.0.0.1:3000/x"}
        made = (await auth.post("/admin/generate_link", json=body, headers=admin)).json()
        target, _, answer = await follow(auth, made["action_link"])
        assert (target, answer["type"]) == ("http://127.0.0.1:3000/x", kind)

    @pytest.mark.parametrize("kind", ["email_change_new", "email_change_current"])
    async def test_links_for_changes(
        self, serve: Serve, admin: dict[str, str], email: str, kind: str
    ) -> None:
        auth = await serve()
        await sign_up(auth, email)
        body = {"type": kind, "email": email, "new_email": f"new-{email}"}
        made = (await auth.post("/admin/generate_link", json=body, headers=admin)).json()
        done = await auth.post(
            "/verify", json={"type": "email_change", "token_hash": made["hashed_token"]}
        )
        assert done.json()["user"]["email"] == f"new-{email}"

    async def test_links_refused(
        self, auth: httpx.AsyncClient, admin: dict[str, str], email: str
    ) -> None:
        url = "/admin/generate_link"
        unknown = await auth.post(url, json={"type": "recovery", "email": email}, headers=admin)
        assert (unknown.status_code, unknown.json()["code"]) == (404, "user_not_found")
        no_type = await auth.post(url, json={"email": email}, headers=admin)
        assert no_type.status_code == 400
        assert (await auth.post(url, json={"type": "recovery"})).status_code == 401


class TestVerifyRefusals:
    @pytest.mark.parametrize(
        ("body", "status"),
        [
            ({}, 400),
            ({"type": "signup"}, 400),
            ({"type": "signup", "token": "1", "token_hash": "1"}, 400),
            ({"type": "signup", "token_hash": "1", "email": "a@example.com"}, 400),
            ({"type": "signup", "token": "1"}, 400),
            ({"type": "nothing", "token_hash": "1"}, 400),
            ({"type": "signup", "token": "1", "email": "no address"}, 422),
            ({"type": "signup", "token_hash": "1"}, 403),
        ],
    )
    async def test_post(self, auth: httpx.AsyncClient, body: dict[str, str], status: int) -> None:
        assert (await auth.post("/verify", json=body)).status_code == status

    async def test_get_without_token_is_no_redirect(self, auth: httpx.AsyncClient) -> None:
        assert (await auth.get("/verify?type=signup")).status_code == 400
        assert (await auth.head("/verify?type=signup&token=x")).status_code == 405


class TestTemplates:
    async def test_project_has_its_own(
        self, serve: Serve, mailbox: Mailbox, tmp_path: Path, email: str
    ) -> None:
        (tmp_path / "welcome.html").write_text(
            '<a href="{{ .ConfirmationURL }}">{{.Data.name}} at {{ .SiteURL }}</a> {{ if .X }}'
        )
        template = {"subject": "Hello {{ .Data.name }}", "content_path": "./welcome.html"}
        auth = await serve(email={**CONFIRMED, "template": {"confirmation": template}})
        await sign_up(auth, email, data={"name": "<b>Al</b>"})
        mail = mailbox.all(email)[0]
        assert mail["Subject"] == "Hello <b>Al</b>"
        assert "&lt;b&gt;Al&lt;/b&gt; at http://127.0.0.1:3000" in mail["HTML"]
        assert mail["Text"].startswith("<b>Al</b> at http://127.0.0.1:3000 ( http://auth.test")
        assert "{{ if .X }}" in mail["HTML"]

    def test_box_lists_reads_and_deletes(self, mailbox: Mailbox) -> None:
        listed = mailbox.http.get("/api/v1/messages", params={"limit": 1}).json()
        assert listed["count"] <= 1
        assert mailbox.http.get("/").status_code == 200
        assert mailbox.http.get("/api/v1/message/nothing").status_code == 404
        assert mailbox.http.request("DELETE", "/api/v1/messages", json=[1]).status_code == 400
        missing = {"IDs": [str(uuid.uuid4())]}
        assert mailbox.http.request("DELETE", "/api/v1/messages", json=missing).text == "ok"
