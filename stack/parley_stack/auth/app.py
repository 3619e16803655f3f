"""The Auth server as an ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import psycopg
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from parley_stack.keys import Keys

from . import (
    account,
    admin,
    errors,
    hooks,
    linking,
    links,
    meta,
    mfa,
    sending,
    signin,
    signup,
    verify,
)
from .database import Pool
from .server import Server
from .settings import AuthSettings

Endpoint = Callable[[Server, Request], Awaitable[Response]]

ROUTES: tuple[tuple[str, str, Endpoint], ...] = (
    ("GET", "/health", meta.health),
    ("GET", "/settings", meta.settings),
    ("GET", "/.well-known/jwks.json", meta.key_set),
    ("POST", "/signup", signup.sign_up),
    ("POST", "/token", signin.token),
    ("GET", "/user", account.get_user),
    ("PUT", "/user", account.update_user),
    ("POST", "/logout", account.log_out),
    ("POST", "/otp", sending.one_time_password),
    ("POST", "/magiclink", sending.one_time_password),
    ("POST", "/recover", sending.recover),
    ("POST", "/resend", sending.resend),
    ("GET", "/reauthenticate", sending.reauthenticate),
    ("GET", "/verify", verify.follow),
    ("POST", "/verify", verify.verify),
    ("POST", "/factors", mfa.enroll),
    ("POST", "/factors/{factor_id}/challenge", mfa.challenge),
    ("POST", "/factors/{factor_id}/verify", mfa.verify),
    ("DELETE", "/factors/{factor_id}", mfa.unenroll),
    ("GET", "/authorize", linking.authorize),
    ("GET", "/user/identities/authorize", linking.authorize_linking),
    ("DELETE", "/user/identities/{identity_id}", linking.unlink),
    ("POST", "/sso", linking.single_sign_on),
    ("POST", "/invite", links.invite),
    ("POST", "/admin/generate_link", links.generate_link),
    ("POST", "/admin/users", admin.create_user),
    ("GET", "/admin/users", admin.list_users),
    ("GET", "/admin/users/{user_id}", admin.get_user),
    ("PUT", "/admin/users/{user_id}", admin.update_user),
    ("DELETE", "/admin/users/{user_id}", admin.delete_user),
    ("GET", "/admin/users/{user_id}/factors", mfa.list_of_user),
    ("DELETE", "/admin/users/{user_id}/factors/{factor_id}", mfa.delete_of_user),
)


def create_app(
    settings: AuthSettings, keys: Keys, pool: Pool, *, external_url: str, workdir: Path
) -> ASGIApp:
    """The server for paths without the gateway's ``/auth/v1``.

    ``pool``: open, its connections logged in as ``supabase_auth_admin``; the caller closes it.
    ``external_url``: the public address of this server, such as
    ``http://127.0.0.1:54321/auth/v1``. ``workdir``: the project's folder.
    """
    hooks.warn_of_ignored(settings.hook)
    server = Server(settings, keys, pool, external_url, workdir)
    app = Starlette(
        routes=[_route(server, *route) for route in ROUTES],
        exception_handlers={
            errors.AuthError: errors.on_auth_error,
            errors.OAuthError: errors.on_oauth_error,
            HTTPException: errors.on_routing_error,
            psycopg.Error: errors.on_database_error,
            Exception: errors.on_unhandled,
        },
    )
    app.router.redirect_slashes = False
    return app


def _route(server: Server, method: str, path: str, endpoint: Endpoint) -> Route:
    route = Route(path, partial(endpoint, server), methods=[method])
    # Starlette adds HEAD to GET. Here it stays refused, so that no scanner follows a link.
    route.methods = {method}
    return route
