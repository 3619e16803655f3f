"""Sign-in through others (OAuth, SAML) and the identities it would add.

This stack talks to no provider: each request gets the answer of a project that has none
configured, which names what to configure.
"""

from __future__ import annotations

from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from . import identities, users
from .caller import require_user
from .database import transaction
from .errors import AuthError, invalid
from .server import Server


async def authorize(server: Server, request: Request) -> Response:
    """400: no provider is served here."""
    provider = request.query_params.get("provider", "")
    configured = server.settings.external.get(provider)
    if configured is not None and configured.enabled:
        raise invalid(
            f"Unsupported provider: the local stack does not serve {provider}; sign-in with it "
            f"works on a hosted project that has [auth.external.{provider}]"
        )
    raise invalid("Unsupported provider: provider is not enabled")


async def authorize_linking(server: Server, request: Request) -> Response:
    """As ``authorize``, for a user who wants another identity."""
    await require_user(server, request)
    _require_linking(server)
    return await authorize(server, request)


async def unlink(server: Server, request: Request) -> Response:
    """``{}``: the identity is gone. The last one stays."""
    caller = await require_user(server, request)
    _require_linking(server)
    try:
        identity_id = UUID(request.path_params["identity_id"])
    except ValueError as error:
        message = "identity_id must be an UUID"
        raise AuthError(404, "validation_failed", message) from error
    async with transaction(server.pool) as conn:
        await users.by_id(conn, caller.user.id, lock=True)
        found = await identities.of_user(conn, caller.user.id)
        if identity_id not in {identity.id for identity in found}:
            raise AuthError(422, "identity_not_found", "Identity doesn't exist")
        if len(found) < 2:
            message = "User must have at least 1 identity after unlinking"
            raise AuthError(422, "single_identity_not_deletable", message)
        await identities.delete(conn, identity_id)
    return JSONResponse({})


async def single_sign_on(_server: Server, _request: Request) -> Response:
    """404: there is no SAML here."""
    raise AuthError(404, "saml_provider_disabled", "SAML 2.0 is disabled")


def _require_linking(server: Server) -> None:
    if not server.settings.enable_manual_linking:
        raise AuthError(404, "manual_linking_disabled", "Manual linking is disabled")
