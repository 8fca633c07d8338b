"""uvicorn's WebSocket protocol, which also writes frames directly.

Writing directly is an optimisation, for messages that thousands of subscribers get alike. Where it
is not possible, messages are sent through ASGI, which copies and queues each of them again.
"""

from collections.abc import Sequence
from typing import Protocol

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Opcode
from websockets.http11 import Request

EXTENSION = "likeperson.frames"
"""The key of the `FrameWriter` among the extensions of an ASGI scope."""

_FIN_AND_TEXT = bytes([0x80 | Opcode.TEXT])
_MIDDLING = _FIN_AND_TEXT + b"\x7e"
_LARGE = _FIN_AND_TEXT + b"\x7f"


class FrameWriter(Protocol):
    def write_texts(self, messages: Sequence[tuple[bytes, ...]]) -> bool:
        """Writes text messages, each joined from its parts. Returns False and writes nothing while
        the client does not keep up; ASGI's `send` waits until it does."""

    def abort(self) -> None:
        """Closes the connection at once, without a closing handshake."""


class WebSocketProtocol(WebSocketsSansIOProtocol):
    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        # There is no scope when the handshake failed. Extensions would change the bytes of a frame.
        if not self.close_sent and not self.conn.extensions:
            extensions = self.scope["extensions"]
            if extensions is not None:
                extensions[EXTENSION] = self  # type: ignore[assignment]  # the others are dictionaries

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                # uvicorn would also write a stack trace into the log.
                self.frames = []
                self.conn.send_close(CloseCode.INVALID_DATA, "A text message must be UTF-8")
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def write_texts(self, messages: Sequence[tuple[bytes, ...]]) -> bool:
        if not self.writable.is_set():
            return False
        # A connection that is closing takes nothing more, and nobody needs to wait for it.
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
    """Returns the header of an unmasked frame that holds a whole text message (RFC 6455, 5.2)."""
    if size < 126:
        return _FIN_AND_TEXT + bytes([size])
    if size < 2**16:
        return _MIDDLING + size.to_bytes(2, "big")
    return _LARGE + size.to_bytes(8, "big")
