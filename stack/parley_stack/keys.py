"""API keys and the JSON Web Tokens behind them.

A stack has two opaque API keys (``sb_publishable_...``, ``sb_secret_...``), the two long-lived
tokens they stand for (roles ``anon`` and ``service_role``), and tokens of signed-in users. New
tokens are signed by the first key of ``signing_keys_path`` (ES256 or RS256), or with the shared
secret (HS256) when there is none. Both kinds are always accepted, so that a change of algorithm
breaks no token that is still out.

Formats: RFC 7515 to 7519; key selection and local constants as the Supabase CLI.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import jwt
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from jwt.utils import base64url_encode

Claims = dict[str, Any]

# Those of every local Supabase project.
DEFAULT_JWT_SECRET = "super-secret-jwt-token-with-at-least-32-characters-long"  # noqa: S105
DEFAULT_PUBLISHABLE_KEY = "sb_publishable_ACJWlzQHlZjBrEguHvfOxg_3BJgxAaH"
DEFAULT_SECRET_KEY = "sb_secret_N7UND0UgjKTVK-Uodkm0Hg_xSvEMPvz"  # noqa: S105
LEGACY_KEY_EXPIRY = 1983812996
"""Unix time at which the tokens behind the API keys end, as the Supabase CLI's (2032-11-11)."""

_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "k"})
_ASYMMETRIC = ("ES256", "RS256")


class TokenProblem(Enum):
    """Why a token was refused."""

    MALFORMED = "malformed"
    EXPIRED = "expired"
    SIGNATURE = "signature"
    CLAIMS = "claims"


class TokenError(Exception):
    """A token that must not be believed; ``problem`` says why, the text is safe to show."""

    def __init__(self, problem: TokenProblem, message: str) -> None:
        super().__init__(message)
        self.problem = problem


def public_jwk(jwk: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a private JWK that may be published (RFC 7517)."""
    kept = {k: v for k, v in jwk.items() if k not in _PRIVATE_MEMBERS}
    return {**kept, "use": "sig", "key_ops": ["verify"]}


@dataclass(frozen=True)
class Keys:
    """Signs and verifies tokens; knows the stack's API keys.

    ``signing_keys``: private JWKs as ``supabase gen signing-key`` writes them; the first signs.
    """

    jwt_secret: str = DEFAULT_JWT_SECRET
    signing_keys: Sequence[Mapping[str, Any]] = ()
    publishable_key: str = DEFAULT_PUBLISHABLE_KEY
    secret_key: str = DEFAULT_SECRET_KEY
    _by_kid: dict[str, Any] = field(init=False, repr=False, default_factory=dict)
    _legacy: dict[str, str] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        for jwk in self.signing_keys:
            if jwk.get("alg") not in _ASYMMETRIC:
                raise ValueError(f"signing key {jwk.get('kid')!r}: alg must be ES256 or RS256")
            self._by_kid[jwk["kid"]] = jwt.PyJWK(public_jwk(jwk))
        for role in ("anon", "service_role"):
            claims = {"iss": "supabase-demo", "role": role, "exp": LEGACY_KEY_EXPIRY}
            self._legacy[role] = self.sign(claims)

    @property
    def anon_key(self) -> str:
        """Token of role ``anon``; the publishable key stands for it."""
        return self._legacy["anon"]

    @property
    def service_role_key(self) -> str:
        """Token of role ``service_role``; the secret key stands for it."""
        return self._legacy["service_role"]

    def sign(self, claims: Claims) -> str:
        """A compact JWT of ``claims``, signed by the first signing key or the shared secret."""
        if not self.signing_keys:
            return jwt.encode(claims, self.jwt_secret, algorithm="HS256")
        jwk = self.signing_keys[0]
        key_type = ECAlgorithm if jwk["kty"] == "EC" else RSAAlgorithm
        private: Any = key_type.from_jwk(dict(jwk))
        return jwt.encode(claims, private, algorithm=jwk["alg"], headers={"kid": jwk["kid"]})

    def verify(self, token: str) -> Claims:
        """The claims of a token whose signature holds and whose time has not run out.

        The key is the one the header's ``kid`` names, else the shared secret for HS256.
        Raises TokenError.
        """
        try:
            header = jwt.get_unverified_header(token)
            known = self._by_kid.get(header.get("kid", ""))
            key: Any = known if known is not None else self.jwt_secret
            algorithms = [known.algorithm_name] if known is not None else ["HS256"]
            if header.get("alg") not in algorithms:
                raise TokenError(TokenProblem.SIGNATURE, "signing method or key is unknown")
            return jwt.decode(
                token,
                key,
                algorithms=algorithms,
                options={"verify_aud": False, "verify_iat": False, "verify_sub": False},
            )
        except jwt.ExpiredSignatureError as error:
            raise TokenError(TokenProblem.EXPIRED, "token is expired") from error
        except jwt.InvalidSignatureError as error:
            raise TokenError(TokenProblem.SIGNATURE, "signature is invalid") from error
        except (jwt.DecodeError, binascii.Error, UnicodeError) as error:
            raise TokenError(TokenProblem.MALFORMED, "token is malformed") from error
        except (jwt.PyJWTError, TypeError, ValueError) as error:
            raise TokenError(TokenProblem.CLAIMS, "token has invalid claims") from error

    def public_jwks(self) -> dict[str, Any]:
        """The key set to publish; empty for a stack that only uses the shared secret."""
        return {"keys": [public_jwk(jwk) for jwk in self.signing_keys]}

    def verifier_jwks(self) -> str:
        """The JSON key set PostgREST verifies with: public keys and the shared secret."""
        secret = {"kty": "oct", "k": base64url_encode(self.jwt_secret.encode()).decode()}
        return json.dumps({"keys": [*self.public_jwks()["keys"], secret]})
