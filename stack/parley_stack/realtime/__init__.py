"""The local Realtime server: broadcast, presence, and changes of tables (``changes``).

    realtime = Realtime(RealtimeSettings(), keys, conninfo)
    await realtime.start()
    protocol = realtime.new_socket()     # for each connection to /realtime/v1/websocket
    app = realtime.http_app              # for everything else under /realtime/v1

It follows the wire protocol of Supabase Realtime 2.129, so unmodified clients work against it.

``server.Realtime``, ``settings.RealtimeSettings`` and ``socket.RealtimeSocket`` are its names.
Nothing is imported here: who reads a configuration does not load a server.
"""

from __future__ import annotations
