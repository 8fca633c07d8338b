"""A small real webhook receiver: verifies signatures, answers as told, remembers what came."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from standardwebhooks import Webhook, WebhookVerificationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

SECRET = "whsec_c2ltdWxhdGVkLXBvcnRhbC1zZWNyZXQtMDAwMQ=="


@dataclass(slots=True)
class Receiver:
    """`answers` are given first, in order; after that every verified delivery is a success."""

    url: str = ""
    answers: list[Response] = field(default_factory=list)
    attempts: list[str] = field(default_factory=list)
    # Event id -> body, of the deliveries answered with success.
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    # Set when a test waits for a number of attempts.
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    wanted: int = 0
    # The addresses connections came from: one each.
    peers: set[tuple[str, int]] = field(default_factory=set)
    in_flight: int = 0
    most_in_flight: int = 0

    async def receive(self, request: Request) -> Response:
        body = await request.body()
        try:
            payload = Webhook(SECRET).verify(body, dict(request.headers))
        except WebhookVerificationError:
            return JSONResponse({"title": "Unauthorized", "status": 401}, 401)
        if request.client is not None:
            self.peers.add((request.client.host, request.client.port))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            # Lets other deliveries in, so that the most in flight is what the sender allows.
            await asyncio.sleep(0)
            return self._answer(request.headers["webhook-id"], payload)
        finally:
            self.in_flight -= 1

    def _answer(self, event_id: str, payload: dict[str, Any]) -> Response:
        self.attempts.append(event_id)
        if self.wanted and len(self.attempts) >= self.wanted:
            self.enough.set()
        if self.answers:
            return self.answers.pop(0)
        outcome = "UNCHANGED" if event_id in self.events else "UPDATED"
        self.events[event_id] = payload
        return JSONResponse({"id": event_id, "status": "SUCCESS", "outcome": outcome})


@contextlib.asynccontextmanager
async def running_receiver() -> AsyncIterator[Receiver]:
    """The receiver behind a real uvicorn on a free port."""
    receiver = Receiver()
    app = Starlette(routes=[Route("/webhooks/portal", receiver.receive, methods=["POST"])])
    config = uvicorn.Config(app, lifespan="off", ws="none", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    # Listening before uvicorn starts: connections wait in the backlog, and no test has to.
    # asyncio switches Nagle's algorithm off only for sockets made with an explicit protocol;
    # with it on, every answer on a kept connection takes 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(128)
        receiver.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield receiver
        finally:
            server.should_exit = True
            await serving


def unused_url() -> str:
    """An address on this machine where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}"


def body_of(raw: bytes) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(raw)
    return decoded
