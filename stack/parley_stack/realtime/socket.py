"""One client's WebSocket connection.

The gateway accepts the TCP connection and hands its transport over with the bytes read so far.
``websockets`` parses frames and speaks the closing handshake; messages go to channels by topic.
Source: Supabase Realtime protocol, sections 1 and 3.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from . import errors
from .broadcasts import MAX_FIELD_BYTES, PREFIX
from .channel import Channel
from .errors import ConnectRefusedError, MalformedFrameError, Problem
from .handshake import admit, refusal
from .inbound import Inbound, decode_binary, decode_text
from .joins import read_join
from .states import SocketState, advance
from .wire import Payload, Ref, Wire, reply

if TYPE_CHECKING:
    from .server import Realtime

_log = logging.getLogger(__name__)

# Frames and request lines hold tokens: never at debug level, whatever the root logger says.
_quiet = logging.getLogger(f"{__name__}.frames")
_quiet.setLevel(logging.CRITICAL)

_CLOSE_SECONDS = 2.0
"""How long a client may take to answer a close before the connection is cut."""
_UNREAD_LOW_FRACTION = 4
_HEAD_END = b"\r\n\r\n"


class RealtimeSocket(asyncio.Protocol):
    """A connection from handshake to close, and its channels by topic."""

    def __init__(self, realtime: Realtime) -> None:
        self.state = SocketState.HANDSHAKE
        self.wire = Wire.V1
        self.token = ""
        self.headers: dict[str, str] = {}
        self.channels: dict[str, Channel] = {}
        self.last_seen = 0.0
        self.last_joined = 0.0
        self.write: Callable[[bytes], None]
        self._realtime = realtime
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._cut: asyncio.TimerHandle | None = None
        self._parts: list[bytes] = []
        self._is_text = True
        self._websocket = ServerProtocol(max_size=realtime.settings.max_frame_bytes, logger=_quiet)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport over."""
        self._transport = cast("asyncio.Transport", transport)
        self.write = self._transport.write
        limit = self._realtime.settings.max_write_buffer_bytes
        self._transport.set_write_buffer_limits(high=limit, low=limit // _UNREAD_LOW_FRACTION)
        self.last_seen = self.last_joined = self._loop.time()
        self._realtime.sockets.add(self)

    def data_received(self, data: bytes) -> None:
        """Bytes of the client: the request, then frames."""
        self.last_seen = self._loop.time()
        if self.state is SocketState.HANDSHAKE:
            # The request's answer must precede that of frames in the same bytes.
            head, end, data = data.partition(_HEAD_END)
            self._websocket.receive_data(head + end)
            self._process()
            if not data:
                return
        self._websocket.receive_data(data)
        self._process()

    def eof_received(self) -> None:
        """The client will send no more; the transport closes itself."""
        self._websocket.receive_eof()
        self._process()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, whoever ended it."""
        self._end_channels()
        if self._cut is not None:
            self._cut.cancel()
        if self.state is not SocketState.CLOSED:
            self.state = advance(self.state, SocketState.CLOSED)
        self._realtime.forget(self)

    def pause_writing(self) -> None:
        """The client does not read: rather lose it than keep its messages."""
        _log.warning("a socket was closed because its client reads too slowly")
        self.close(CloseCode.TRY_AGAIN_LATER, "client reads too slowly")

    # Closing

    def close(self, code: int, reason: str = "") -> None:
        """Start the closing handshake; the connection is cut if the client does not finish it."""
        if self.state is not SocketState.OPEN:
            if self.state is SocketState.HANDSHAKE:
                self._transport.close()
            return
        self.state = advance(self.state, SocketState.CLOSING)
        self._end_channels()
        self._websocket.send_close(code, reason)
        self._flush()

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    def disconnect(self) -> None:
        """Close because the server stops: each channel is told first."""
        message = {
            "extension": "system",
            "status": "ok",
            "message": errors.SERVER_DISCONNECT,
        }
        for channel in self.channels.values():
            channel.push("system", message)
        self.close(CloseCode.SERVICE_RESTART, errors.SERVER_DISCONNECT)

    def forget(self, channel: Channel) -> None:
        """A channel has ended."""
        if self.channels.get(channel.name) is channel:
            del self.channels[channel.name]
            self.last_joined = self._loop.time()

    def _end_channels(self) -> None:
        for channel in list(self.channels.values()):
            channel.end()

    # Frames

    def _process(self) -> None:
        """Handle what the WebSocket layer has parsed, and write what it answers."""
        for event in self._websocket.events_received():
            if isinstance(event, Request):
                self._open(event)
            elif isinstance(event, Frame) and self.state is SocketState.OPEN:
                self._frame(event)
        if self._websocket.handshake_exc is not None and self.state is SocketState.HANDSHAKE:
            self._refuse(ConnectRefusedError(400, "Malformed WebSocket handshake"))
        elif self._websocket.state is not State.OPEN and self.state is SocketState.OPEN:
            self.state = advance(self.state, SocketState.CLOSING)
            self._end_channels()
        self._flush()

    def _flush(self) -> None:
        for data in self._websocket.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()
        if self._websocket.close_expected() and self._cut is None:
            self._cut = self._loop.call_later(_CLOSE_SECONDS, self._transport.abort)

    def _open(self, request: Request) -> None:
        settings = self._realtime.settings
        try:
            if not settings.enabled:
                raise ConnectRefusedError(403, errors.DISABLED)
            if len(self._realtime.sockets) > settings.max_concurrent_users:
                raise ConnectRefusedError(429, "Too many connected users")
            admission = admit(request, self._realtime.keys, settings.max_header_length)
        except ConnectRefusedError as error:
            self._refuse(error)
            return
        response = self._websocket.accept(request)
        self._websocket.send_response(response)
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            self.state = advance(self.state, SocketState.CLOSING)
            return
        self.wire, self.token = admission.wire, admission.token
        self.headers = dict(admission.headers)
        self.state = advance(self.state, SocketState.OPEN)
        self._flush()

    def _refuse(self, error: ConnectRefusedError) -> None:
        """Answer a bad handshake and close."""
        self.state = advance(self.state, SocketState.CLOSING)
        self._transport.write(refusal(error).serialize())
        self._transport.close()

    def _frame(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._is_text = frame.opcode is Opcode.TEXT
            self._parts = [bytes(frame.data)]
        elif frame.opcode is Opcode.CONT:
            self._parts.append(bytes(frame.data))
        else:
            return
        if not frame.fin:
            return
        data, self._parts = b"".join(self._parts), []
        decode = decode_text if self._is_text else decode_binary
        try:
            message = decode(self.wire, data)
        except MalformedFrameError as error:
            _log.debug("a frame was dropped: %s", error)
            return
        self._message(message)

    # Messages

    def _message(self, message: Inbound) -> None:
        if message.topic == "phoenix":
            if message.event == "heartbeat":
                self._reply(message, message.join_ref, "ok", {})
        elif message.event == "phx_join":
            self._join(message)
        elif channel := self.channels.get(message.topic):
            channel.receive(message)
        elif message.event == "phx_leave":
            self._reply(message, message.join_ref, "ok", {})
        else:
            self._reply(message, None, "error", {"reason": errors.UNMATCHED_TOPIC})

    def _join(self, message: Inbound) -> None:
        if not message.topic.startswith(PREFIX):
            self._reply(message, None, "error", {"reason": errors.UNMATCHED_TOPIC})
            return
        self._realtime.joins.add()
        if self._realtime.joins.is_exceeded():
            self._reply_problem(message, Problem.JOIN_LIMIT)
            self.close(CloseCode.GOING_AWAY, Problem.JOIN_LIMIT.message)
            return
        if message.topic == PREFIX:
            self._reply_problem(message, Problem.TOPIC_NAME_REQUIRED)
            return
        if len(message.topic.encode()) > MAX_FIELD_BYTES:
            self._reply_problem(message, Problem.TOPIC_NAME_TOO_LONG)
            return
        # No phx_close for a channel that is joined again: the Python client takes it for the
        # end of the new one.
        if earlier := self.channels.get(message.topic):
            earlier.end()
        if len(self.channels) >= self._realtime.settings.max_channels_per_client:
            self._reply_problem(message, Problem.CHANNEL_LIMIT)
            return
        payload = message.payload if isinstance(message.payload, dict) else {}
        channel = Channel(self._realtime, self, message, read_join(payload))
        self.channels[message.topic] = channel
        channel.join()

    def _reply_problem(self, message: Inbound, problem: Problem) -> None:
        self._reply(message, message.join_ref, "error", {"reason": problem.reason})

    def _reply(self, message: Inbound, join_ref: Ref, status: str, response: Payload) -> None:
        self.write(reply(self.wire, join_ref, message.ref, message.topic, status, response))
