"""HTTP/1.1 connections: several requests on one, pipelined, half sent or without a body."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from app.edge.http_protocol import MAX_CHUNKS, MAX_FIELDS, HttpProtocol, JoinedWrites
from app.server import make_server
from app.settings import Settings
from tests.faults.wire import Answer, Connection, good_request, request, signature_headers
from tests.support.builders import created
from tests.support.service import DEADLINE, Service


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here is a matter of the database."""
    return sqlite_url


@asynccontextmanager
async def connected(service: Service) -> AsyncIterator[Connection]:
    connection = await Connection.opened(urlsplit(service.url).port or 0)
    try:
        yield connection
    finally:
        connection.close()


async def answers(service: Service, *sent: bytes) -> list[Answer]:
    """To requests that are sent over one connection without waiting."""
    async with connected(service) as connection:
        await connection.send(b"".join(sent))
        return [await connection.answer() for _ in sent]


def with_header(sent: bytes, header: bytes) -> bytes:
    first, rest = sent.split(b"\r\n", 1)
    return first + b"\r\n" + header + b"\r\n" + rest


async def test_deliveries_sent_without_waiting_are_answered_in_their_order(
    service: Service,
) -> None:
    sent = [good_request(b"evt_%d" % number, created(f"Person {number}")) for number in range(20)]

    told = await answers(service, *sent)

    assert [answer.json()["id"] for answer in told] == [f"evt_{number}" for number in range(20)]


async def test_head_is_answered_without_a_body_and_the_connection_goes_on(
    service: Service,
) -> None:
    head = b"HEAD /webhooks/portal HTTP/1.1\r\nhost: test\r\n\r\n"
    async with connected(service) as connection:
        await connection.send(head + head)
        found = await connection.answer_without_body(), await connection.answer_without_body()
        await connection.send(good_request(b"evt_1", created("Kari")))
        last = await connection.answer()

    assert [answer.status for answer in found] == [405, 405]
    assert last.status == 200


async def test_delivery_that_asks_whether_to_go_on_is_told_so_and_answered(
    service: Service,
) -> None:
    sent = with_header(good_request(b"evt_1", created("Kari")), b"expect: 100-continue")
    head, body = sent.split(b"\r\n\r\n", 1)
    async with connected(service) as connection:
        await connection.send(head + b"\r\n\r\n")
        told = await connection.answer_without_body()
        await connection.send(body)
        answer = await connection.answer()

    assert (told.status, answer.status) == (100, 200)


async def test_answer_before_the_body_has_come_ends_nothing_but_its_request(
    service: Service,
) -> None:
    late = request([(b"content-type", b"text/plain"), (b"content-length", b"10")], b"")
    async with connected(service) as connection:
        await connection.send(late)
        refused = await connection.answer()
        await connection.send(b"0123456789" + good_request(b"evt_1", created("Kari")))
        answer = await connection.answer()

    assert (refused.status, answer.status) == (415, 200)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for is given up soon."""
    for where, seconds in {
        "connection_bounds.CHECK_SECONDS": 0.05,
        "http_protocol.SECTION_SECONDS": 0.2,
        "http_protocol.REST_SECONDS": 0.2,
        "http_protocol.STALLED_SECONDS": 0.2,
        "layers.BODY_SECONDS": 0.2,
    }.items():
        monkeypatch.setattr(f"app.edge.{where}", seconds)
    monkeypatch.setattr("app.server.KEEP_ALIVE_SECONDS", 1)


def get(*headers: bytes, path: bytes = b"/healthz") -> bytes:
    return b"\r\n".join([b"GET %s HTTP/1.1" % path, b"host: test", *headers, b"", b""])


def chunked(trailers: bytes = b"\r\n", body: bytes = b"{}") -> bytes:
    """A signed delivery in one chunk."""
    headers = [(b"content-type", b"application/json"), (b"transfer-encoding", b"chunked")]
    headers += signature_headers(b"evt_1", body)
    return request(headers, b"%x\r\n%s\r\n0\r\n%s" % (len(body), body, trailers))


async def closed_after(connection: Connection) -> None:
    """Returns when the service has closed the connection."""
    async with asyncio.timeout(DEADLINE):
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await connection.answer()


FIELDS = [b"x-%d: a" % number for number in range(MAX_FIELDS)]
TOO_LARGE = {
    "too many fields": get(*FIELDS),
    "too many fields without an end": b"GET / HTTP/1.1\r\n" + b"x: a\r\n" * 200,
    "too many bytes": get(*(b"x-%d: %s" % (n, b"a" * 7_000) for n in range(10))),
    "a field without an end": b"GET / HTTP/1.1\r\nx: " + b"a" * 90_000,
    "a name without an end": b"GET / HTTP/1.1\r\n" + b"a" * 90_000,
    "a path without an end": b"GET /" + b"a" * 90_000,
    "trailers without an end": chunked(b"x: a\r\n" * 200),
    "a trailer without an end": chunked(b"x: " + b"a" * 90_000),
    "an extension of a chunk without an end": chunked()[: -len(b"0\r\n\r\n")]
    + b"1;"
    + b"a" * 90_000,
    "a header for WebSockets that is too long": get(
        b"upgrade: websocket", b"connection: upgrade", b"x: " + b"a" * 9_000, path=b"/graphql"
    ),
}


@pytest.mark.parametrize("sent", TOO_LARGE)
async def test_header_section_or_trailers_that_are_too_large_are_refused(
    service: Service, sent: str
) -> None:
    async with connected(service) as connection:
        await connection.send(TOO_LARGE[sent])
        answer = await connection.answer()
        await closed_after(connection)

    assert answer.status == 431
    assert answer.json()["detail"] == (
        "The limits of a header section and of trailers are 64 KiB and 100 fields."
    )
    assert (await service.data("{ syncLog { totalCount } }"))["syncLog"] == {"totalCount": 0}


async def test_header_section_and_trailers_within_their_limits_are_taken(service: Service) -> None:
    most = get(*FIELDS[1:])
    large = get(*(b"x-%d: %s" % (n, b"a" * 7_000) for n in range(9)))
    trailers = b"".join(field + b"\r\n" for field in FIELDS) + b"\r\n"

    told = await answers(service, most, large, chunked(trailers), most)

    assert [answer.status for answer in told] == [200, 200, 422, 200]


async def test_trailers_are_not_taken_for_headers(service: Service) -> None:
    whole = chunked()
    unsigned, signature = whole, b""
    for name, value in signature_headers(b"evt_1", b"{}"):
        line = b"%s: %s\r\n" % (name, value)
        unsigned, signature = unsigned.replace(line, b""), signature + line

    [answer] = await answers(service, unsigned[: -len(b"\r\n")] + signature + b"\r\n")

    assert answer.status == 401


SLOW = {
    "a request line": (b"GET / HT", 408),
    "headers": (b"GET / HTTP/1.1\r\nhost: test\r\n", 408),
    "headers of a second request": (get() + b"GET", 408),
    "trailers": (chunked(b"x: a\r\n"), 408),
}


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("sent", SLOW)
async def test_header_section_or_trailers_that_do_not_arrive_in_time_are_given_up(
    service: Service, sent: str
) -> None:
    begun, status = SLOW[sent]
    async with connected(service) as connection:
        await connection.send(begun)
        told = [await connection.answer()]
        if begun.startswith(get()):
            told.append(await connection.answer())
        await closed_after(connection)

    assert told[-1].status == status


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("sent", [b"", b"\r\n", get(), get() + b"\r\n\r\n"])
async def test_connection_that_sends_no_request_is_closed(service: Service, sent: bytes) -> None:
    async with connected(service) as connection:
        await connection.send(sent)
        if sent.startswith(b"GET"):
            assert (await connection.answer()).status == 200
        await closed_after(connection)


@pytest.mark.usefixtures("hasty")
async def test_rest_of_a_request_that_was_answered_is_not_waited_for(service: Service) -> None:
    late = request([(b"content-type", b"text/plain"), (b"content-length", b"10")], b"")
    async with connected(service) as connection:
        await connection.send(late)
        refused = await connection.answer()
        await closed_after(connection)

    assert refused.status == 415


async def test_body_in_too_many_chunks_is_refused(service: Service) -> None:
    headers = [(b"content-type", b"application/json"), (b"transfer-encoding", b"chunked")]
    async with connected(service) as connection:
        await connection.send(request(headers, b"1\r\na\r\n" * (MAX_CHUNKS + 1)))
        answer = await connection.answer()
        await closed_after(connection)

    assert answer.status == 413


async def test_what_is_no_http_is_refused(service: Service) -> None:
    async with connected(service) as connection:
        await connection.send(b"hello\r\n\r\n")
        answer = await connection.answer()
        await closed_after(connection)

    assert answer.status == 400
    assert answer.json()["detail"] == "This is not a valid HTTP request."


async def test_handshake_that_is_none_is_refused(service: Service) -> None:
    sent = get(
        b"upgrade: websocket", b"connection: upgrade", b"content-length: 5", path=b"/graphql"
    )
    async with connected(service) as connection:
        await connection.send(sent)
        answer = await connection.answer()
        await closed_after(connection)

    assert answer.status == 400


async def test_requests_are_not_queued_without_end(service: Service) -> None:
    async with connected(service) as connection:
        await connection.send(get() * 1000)
        await closed_after(connection)

    assert (await service.http.get(f"{service.url}/healthz")).status_code == 200


@pytest.fixture
def large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The path of a file that no network holds as a whole."""
    (tmp_path / "large").write_bytes(bytes(20_000_000))
    monkeypatch.setattr("app.main.GRAPHIQL", tmp_path)
    return b"/graphiql/large"


@pytest.fixture
def dropped(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Is set when a connection is cut off."""
    event, drop = asyncio.Event(), HttpProtocol.drop

    def observed(connection: HttpProtocol) -> None:
        drop(connection)
        event.set()

    monkeypatch.setattr(HttpProtocol, "drop", observed)
    return event


async def test_client_that_does_not_read_its_answer_is_cut_off(
    hasty: None, large_file: bytes, dropped: asyncio.Event, service: Service
) -> None:
    async with connected(service) as connection, asyncio.timeout(DEADLINE):
        connection.stop_reading()
        await connection.send(get(path=large_file))
        await dropped.wait()


async def test_answers_that_are_not_read_are_bounded_in_total(
    large_file: bytes,
    dropped: asyncio.Event,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.edge.connection_bounds.MAX_HELD_BYTES", 500_000)
    async with AsyncExitStack() as stack, asyncio.timeout(DEADLINE):
        while not dropped.is_set():
            connection = await stack.enter_async_context(connected(service))
            connection.stop_reading()
            await connection.send(get(path=large_file))
        assert (await service.http.get(f"{service.url}/healthz")).status_code == 200


def test_connections_are_kept_alive_longer_than_proxies_reuse_them(settings: Settings) -> None:
    assert make_server(settings, print).config.timeout_keep_alive > 60


class SentPieces(asyncio.Transport):
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.pieces.append(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


async def test_head_of_an_answer_leaves_with_the_beginning_of_its_body() -> None:
    sent = SentPieces()
    answer = JoinedWrites(sent, asyncio.get_running_loop())

    answer.write(b"head,")
    answer.write(b"body")
    answer.write(b"more")

    assert sent.pieces == [b"head,body", b"more"]


async def test_head_that_nothing_follows_is_sent_in_the_same_turn() -> None:
    sent = SentPieces()
    answer = JoinedWrites(sent, asyncio.get_running_loop())

    answer.write(b"head")
    await asyncio.sleep(0)

    assert sent.pieces == [b"head"]


async def test_head_is_sent_before_its_connection_is_closed() -> None:
    sent = SentPieces()
    answer = JoinedWrites(sent, asyncio.get_running_loop())

    answer.write(b"head")
    answer.close()

    assert sent.pieces == [b"head"]
    assert sent.closed
