"""What the server says of itself, to anyone: health, settings, public keys."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .server import Server

PROTOCOL_VERSION = "v2.196.0"
"""The release of Supabase Auth whose protocol this server follows."""

PROVIDERS = (
    *("apple", "azure", "bitbucket", "discord", "facebook", "figma", "fly", "github", "gitlab"),
    *("google", "kakao", "keycloak", "linkedin", "linkedin_oidc", "notion", "slack"),
    *("slack_oidc", "snapchat", "spotify", "twitch", "twitter", "workos", "zoom"),
)
"""OAuth providers the settings document lists."""

KEY_SET_LIFETIME_SECONDS = 600


async def health(_server: Server, _request: Request) -> Response:
    return JSONResponse(
        {
            "version": PROTOCOL_VERSION,
            "name": "GoTrue",
            "description": "GoTrue is a user registration and authentication API",
        }
    )


async def settings(server: Server, _request: Request) -> Response:
    """What clients may offer their users."""
    auth = server.settings
    enabled = {name for name, provider in auth.external.items() if provider.enabled}
    sms_providers = ("twilio", "twilio_verify", "messagebird", "textlocal", "vonage")
    sms_provider = next((name for name in sms_providers if getattr(auth.sms, name).enabled), "")
    return JSONResponse(
        {
            "external": {
                "anonymous_users": auth.enable_anonymous_sign_ins,
                "email": server.offers_email,
                "phone": server.offers_phone,
                **{name: name in enabled for name in PROVIDERS},
            },
            "disable_signup": not auth.enable_signup,
            "mailer_autoconfirm": server.confirms_email,
            "phone_autoconfirm": server.confirms_phone,
            "sms_provider": sms_provider,
            "saml_enabled": False,
            "saml_private_key_next_configured": False,
            "passkeys_enabled": False,
        }
    )


async def key_set(server: Server, _request: Request) -> Response:
    """The public keys that verify tokens; empty when only the shared secret signs."""
    headers = {"Cache-Control": f"public, max-age={KEY_SET_LIFETIME_SECONDS}"}
    return JSONResponse(server.keys.public_jwks(), headers=headers)
