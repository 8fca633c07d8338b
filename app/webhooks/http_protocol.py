"""The HTTP protocol of uvicorn with a short way out, for whole answers that are ready.

Sent the ordinary way, an answer is two messages through every layer and two system calls, and each
of its headers is checked anew.
"""

from collections.abc import Sequence
from typing import Any, Protocol
from weakref import ref

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

EXTENSION = "likeperson.answer"
"""The key of a `ShortAnswer` among the extensions of an ASGI scope."""


class ShortAnswer(Protocol):
    def write(self, response: Response) -> bool:
        """The whole answer, at once; its headers are in lower case and in order. False, and nothing
        is written, where there is more to it than that; then it is sent."""


class ShortProtocol(HttpToolsProtocol):
    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        extensions: dict[str, Any] = {EXTENSION: _Answer(cycle)}
        cycle.scope["extensions"] = extensions
        super()._start_asgi_task(cycle, app)


class _Answer:
    def __init__(self, cycle: RequestResponseCycle) -> None:
        # The cycle has the scope, which has this: of a circle, nothing would go by itself.
        self._cycle = ref(cycle)

    def write(self, response: Response) -> bool:
        cycle, headers = self._cycle(), response.raw_headers
        if cycle is None or not _is_plain(cycle, headers):
            return False
        parts = [STATUS_LINE[response.status_code]]
        for name, value in (*cycle.default_headers, *headers):
            parts += (name, b": ", value, b"\r\n")
        parts += (b"\r\n", bytes(response.body))
        # What uvicorn notes when it has sent the last of an answer.
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.transport.write(b"".join(parts))
        cycle.message_event.set()
        cycle.on_response()
        return True


def _is_plain(cycle: RequestResponseCycle, headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Somebody is there and keeps up, the connection stays, and the body is wanted."""
    return (
        cycle.keep_alive
        and not cycle.disconnected
        and not cycle.flow.write_paused
        and cycle.scope["method"] != "HEAD"
        and all(name != b"connection" for name, _ in headers)
    )
