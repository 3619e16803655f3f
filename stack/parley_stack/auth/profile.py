"""A user as clients see it: the row with its identities and second factors."""

from __future__ import annotations

from . import factors, identities
from .database import Connection
from .objects import Json, User, user_json


async def profile(conn: Connection, user: User) -> Json:
    """The user object."""
    object_ = user_json(user, await identities.of_user(conn, user.id))
    found = await factors.of_user(conn, user.id)
    if found:
        object_["factors"] = [factors.factor_json(factor) for factor in found]
    return object_
