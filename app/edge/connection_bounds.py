"""Bounds all connections of the server together: their number, their memory and their time.

Whoever is closed is chosen so that floods go first: the connection that has kept the service
waiting, or held its memory, for the longest time.
"""

import asyncio
import sys
from collections.abc import Callable
from itertools import islice
from time import monotonic
from typing import Protocol

from uvicorn.server import ServerState

from app.edge.freed_memory import give_back_freed_memory

if sys.platform != "win32":
    import resource

MAX_CONNECTIONS = 20_000
MAX_WAITING = 4_000
"""The most connections that wait for a request, or for the rest of one."""
MAX_UNIDENTIFIED = 4_000
"""The most WebSockets that have not sent valid credentials yet."""
MAX_HELD_BYTES = 64 * 1024 * 1024
"""The most bytes that all connections hold: unfinished headers and messages, and unread answers."""
MAX_HELD_BYTES_EACH = 16 * 1024 * 1024
OWN_DESCRIPTORS = 128
"""Descriptors that are kept for listeners, files and the database, and for connections that are
accepted in one turn of the event loop, before those they replace are closed. At the limit, libuv
closes every connection that waits to be accepted."""
REQUEST_DESCRIPTORS = 64
"""Descriptors that are kept for requests, so that sockets and streams never use up all of them."""
HANDSHAKES_PER_TURN = 4
"""How many WebSockets begin in one turn of the event loop."""
READ_BYTES = 16 * 1024
"""How much is read from a connection in one turn of the event loop."""
DISCARDED_BYTES = 256 * 1024
"""How much is still read of a connection that was refused, so that its client sees the answer."""
CHECK_SECONDS = 1.0
STALLED_SECONDS = 30.0
"""Seconds after which a connection is closed whose client reads nothing of what waits for it."""
CROWD = 1_000
"""So many connections leave memory behind that is worth giving back when most of them are gone."""
CLOSING_SECONDS = 1.0
"""Seconds after which a connection that is being closed is cut off."""

EXTENSION = "likeperson.connection"
"""The key of the `HttpConnection` among the extensions of an ASGI scope."""


class BoundedConnection(Protocol):
    """One connection of a client, as far as its bounds are concerned."""

    def check(self, now: float) -> None:
        """Closes the connection if it has had its time. Called every second."""

    def drop(self) -> None:
        """Cuts the connection off at once, without an answer."""


class HttpConnection(Protocol):
    """The connection of a request, for event streams."""

    def stay(self) -> bool:
        """Returns whether there is room for an event stream on this connection."""

    def unsent(self, size: int) -> None:
        """Says how many bytes are queued for this connection."""


Since = dict[BoundedConnection, float]
"""Connections, and since when they are there; the first one for the longest time."""


class ConnectionBounds(ServerState):
    """The state that uvicorn shares between its connections, with bounds on them."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = memoryview(bytearray(READ_BYTES))
        """Where connections read into, one after the other."""
        # Dictionaries, because they keep the order in which connections were added.
        self._all: dict[BoundedConnection, None] = {}
        self._waiting: Since = {}
        self._unidentified: Since = {}
        self._lasting: set[BoundedConnection] = set()
        self._held: dict[BoundedConnection, int] = {}
        self._held_bytes = 0
        self._handshakes: dict[BoundedConnection, Callable[[], None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.draining = False
        """True when each connection shall end with its next answer."""
        self._most = 0
        """The most connections since memory was given back."""

    def add(self, connection: BoundedConnection) -> None:
        """Adds a new connection, and makes room for it if there are too many."""
        self._all[connection] = None
        if len(self._all) > _most_connections():
            if self._handshakes:
                # Sockets give way to requests.
                self._handshakes.popitem()[0].drop()
            else:
                _drop_longest(self._waiting, self._unidentified)
        if self._timer is None:
            self._check_later()

    def remove(self, connection: BoundedConnection) -> None:
        """Does nothing for an unknown connection."""
        self._all.pop(connection, None)
        self._waiting.pop(connection, None)
        self._unidentified.pop(connection, None)
        self._handshakes.pop(connection, None)
        self._lasting.discard(connection)
        self.hold(connection, 0)

    def waiting(self, connection: BoundedConnection) -> None:
        """Says that the connection begins to wait for a request, or for the rest of one."""
        self._lasting.discard(connection)
        _add_last(connection, self._waiting, MAX_WAITING)

    def busy(self, connection: BoundedConnection) -> None:
        """Says that a whole request of the connection has arrived and is being answered."""
        self._waiting.pop(connection, None)

    def unidentified(self, connection: BoundedConnection) -> None:
        """Says that the connection is a WebSocket without credentials."""
        _add_last(connection, self._unidentified, MAX_UNIDENTIFIED)

    def identified(self, connection: BoundedConnection) -> None:
        """Says that the WebSocket has sent valid credentials."""
        self._unidentified.pop(connection, None)

    def stay(self, connection: BoundedConnection) -> bool:
        """Makes the connection a lasting one, a WebSocket or event stream, if there is room."""
        if len(self._lasting) >= _most_connections() - REQUEST_DESCRIPTORS:
            if not self._unidentified:
                return False
            _drop_longest(self._unidentified)
        self._lasting.add(connection)
        return True

    def queue_handshake(self, connection: BoundedConnection, begin: Callable[[], None]) -> None:
        """Calls `begin` in its turn: many handshakes at once do not hold up requests."""
        self._handshakes[connection] = begin
        if len(self._handshakes) == 1:
            asyncio.get_running_loop().call_soon(self._begin_handshakes)

    def _begin_handshakes(self) -> None:
        for connection in list(islice(self._handshakes, HANDSHAKES_PER_TURN)):
            begin = self._handshakes.pop(connection)
            begin()
        if self._handshakes:
            asyncio.get_running_loop().call_soon(self._begin_handshakes)

    def hold(self, connection: BoundedConnection, size: int) -> None:
        """Says how many bytes the connection holds now. Drops connections that hold too much."""
        before = self._held.get(connection, 0)
        if size == before:
            return
        self._held_bytes += size - before
        if size:
            self._held[connection] = size
        else:
            del self._held[connection]
        if size > MAX_HELD_BYTES_EACH:
            self._drop(connection)
        if self._held_bytes > MAX_HELD_BYTES:
            # Some more than necessary, so that this is not repeated for each byte.
            for holder in list(self._held):
                if self._held_bytes <= MAX_HELD_BYTES * 3 // 4:
                    break
                self._drop(holder)

    def _drop(self, connection: BoundedConnection) -> None:
        self._held_bytes -= self._held.pop(connection, 0)
        connection.drop()

    def _check_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(CHECK_SECONDS, self._check)

    def _check(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for connection in list(self._all):
            connection.check(now)
        self._give_memory_back()
        if self._all or self._most >= CROWD:
            self._check_later()

    def _give_memory_back(self) -> None:
        self._most = max(self._most, len(self._all))
        if self._most >= CROWD and len(self._all) <= self._most // 4:
            self._most = len(self._all)
            give_back_freed_memory()


class WriteWatch:
    """Tells when a client has read nothing for too long, of a connection that has bytes for it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._unread = 0
        self._since = 0.0

    def stalled(self, now: float, seconds: float) -> bool:
        """Returns whether as much has waited for so long. Expects to be asked regularly."""
        unread = self._transport.get_write_buffer_size()
        if unread == 0 or unread < self._unread or self._unread == 0:
            self._unread, self._since = unread, now
            return False
        self._unread = unread
        return now - self._since >= seconds


def raise_descriptor_limit() -> None:
    """Lets the process have as many connections as the system allows it."""
    if sys.platform != "win32":
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = MAX_CONNECTIONS + OWN_DESCRIPTORS
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _most_connections() -> int:
    if sys.platform == "win32":
        return MAX_CONNECTIONS
    # Asked each time, since an administrator may change it while the service runs.
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(MAX_CONNECTIONS, max(1, descriptors - OWN_DESCRIPTORS))


def _add_last(connection: BoundedConnection, connections: Since, limit: int) -> None:
    """Adds a connection as the newest one, and drops the oldest if there are too many."""
    connections.pop(connection, None)
    connections[connection] = monotonic()
    if len(connections) > limit:
        _drop_longest(connections)


def _drop_longest(*groups: Since) -> None:
    """Drops the connection that has been in its group for the longest time, if there is any."""
    firsts = [(*next(iter(group.items())), group) for group in groups if group]
    if firsts:
        connection, _, group = min(firsts, key=lambda first: first[1])
        del group[connection]
        connection.drop()
