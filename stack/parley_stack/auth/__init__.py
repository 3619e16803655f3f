"""The local Auth server: users, sessions and tokens, as the Supabase Auth API has them.

``app.create_app`` makes it, ``settings.AuthSettings`` is ``[auth]`` of config.toml. Nothing is
imported here: who reads a configuration does not load a server.
"""

from __future__ import annotations
