"""The WebSocket protocol of uvicorn with a short way out, for messages that thousands get alike.

Sent the ordinary way, a message is copied, wrapped and queued for each of them anew.
"""

from collections.abc import Sequence
from typing import Protocol

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Opcode
from websockets.http11 import Request

EXTENSION = "likeperson.direct"
"""The key of a `DirectSocket` among the extensions of an ASGI scope."""

_FIN_AND_TEXT = bytes([0x80 | Opcode.TEXT])
_MIDDLING = _FIN_AND_TEXT + b"\x7e"
_LARGE = _FIN_AND_TEXT + b"\x7f"


class DirectSocket(Protocol):
    def write_texts(self, messages: Sequence[tuple[bytes, ...]]) -> bool:
        """Text messages, each put together of its parts, at once. False, and nothing is written,
        while the other side does not keep up; then `send` waits until it does."""

    def abort(self) -> None:
        """Ends the connection without a word, and without waiting for anybody."""


class DirectProtocol(WebSocketsSansIOProtocol):
    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        # Of a handshake that failed there is no scope. No extension: a frame is just its bytes.
        if not self.close_sent and not self.conn.extensions:
            extensions = self.scope["extensions"]
            if extensions is not None:
                extensions[EXTENSION] = self  # type: ignore[assignment]  # no dictionary, as others

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                # Left to itself, uvicorn also writes a stack trace into the log.
                self.frames = []
                self.conn.send_close(CloseCode.INVALID_DATA, "A text message must be UTF-8")
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def write_texts(self, messages: Sequence[tuple[bytes, ...]]) -> bool:
        if not self.writable.is_set():
            return False
        # Whoever is leaving gets nothing more, which is as good as having got it.
        if not (self.close_sent or self.disconnected or self.transport.is_closing()):
            frames: list[bytes] = []
            for parts in messages:
                payload = b"".join(parts)
                frames += (_head(len(payload)), payload)
            self.transport.write(b"".join(frames))
        return True

    def abort(self) -> None:
        self.transport.abort()


def _head(size: int) -> bytes:
    """Of a frame with the whole of a text, not masked (RFC 6455, 5.2)."""
    if size < 126:
        return _FIN_AND_TEXT + bytes([size])
    if size < 2**16:
        return _MIDDLING + size.to_bytes(2, "big")
    return _LARGE + size.to_bytes(8, "big")
