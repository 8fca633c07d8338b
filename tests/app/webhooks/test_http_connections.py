"""HTTP/1.1 connections: several requests on one, pipelined, half sent or without a body."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from tests.faults.wire import Answer, Connection, good_request, request
from tests.support.builders import created
from tests.support.service import Service


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
