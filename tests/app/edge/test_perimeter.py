"""The one layer around all routes: what becomes of errors that no route answers."""

import pytest
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from app.edge.bodies import RequestBodies
from app.edge.headers import SecurityHeaders
from app.edge.origins import OriginGuard
from app.edge.perimeter import Edge, Perimeter
from app.edge.request_times import RequestTimes


class Answer:
    """What a client gets, and what was reported of it."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.reported: list[tuple[str, str, int]] = []

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            self.body += message["body"]

    def report(self, route: str, method: str, status: int, _seconds: float) -> None:
        self.reported.append((route, method, status))


async def nothing_comes() -> Message:
    return {"type": "http.disconnect"}


def perimeter(answer: Answer, error: Exception, *, begun: bool = False) -> Perimeter:
    """Stands around a route that fails with this error, perhaps after its answer has begun."""

    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise error

    def answer_to(error: Exception) -> Response | None:
        return Response(status_code=404) if isinstance(error, HTTPException) else None

    edge = Edge(
        RequestTimes(frozenset({"/here"}), answer.report),
        SecurityHeaders(),
        OriginGuard((), strict=False),
        RequestBodies(1.0),
        answer_to,
    )
    return Perimeter(failing, edge)


SCOPE = {
    "type": "http",
    "method": "GET",
    "path": "/here",
    "scheme": "http",
    "headers": [(b"x-request-id", b"asked")],
}


async def test_unexpected_error_is_answered_like_every_request_and_told_to_the_server() -> None:
    answer = Answer()

    with pytest.raises(ZeroDivisionError):
        await perimeter(answer, ZeroDivisionError())(dict(SCOPE), nothing_comes, answer.send)

    assert answer.status == 500
    assert b"Unexpected error." in answer.body
    assert answer.headers[b"x-request-id"] == b"asked"
    assert answer.headers[b"x-content-type-options"] == b"nosniff"
    assert answer.reported == [("/here", "GET", 500)]


async def test_expected_error_is_an_answer_and_nothing_more() -> None:
    answer = Answer()

    await perimeter(answer, HTTPException(404))(dict(SCOPE), nothing_comes, answer.send)

    assert answer.status == 404
    assert answer.reported == [("/here", "GET", 404)]


async def test_answer_that_has_begun_does_not_become_another_one() -> None:
    answer = Answer()

    with pytest.raises(HTTPException):
        await perimeter(answer, HTTPException(404), begun=True)(
            dict(SCOPE), nothing_comes, answer.send
        )

    assert answer.status == 200
    assert answer.body == b""
    assert answer.reported == []
