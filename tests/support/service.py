"""The service as its users meet it: over real sockets, at a URL."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import httpx
from gql import Client, gql
from gql.transport.websockets import WebsocketsTransport
from standardwebhooks import Webhook

from app.auth.own_tokens import mint
from app.settings import DEVELOPMENT_WEBHOOK_SECRET, Settings
from tests.support.builders import body_of, guid

DEADLINE = 10.0
"""Seconds after which something that is waited for counts as never happening."""


@dataclass
class Service:
    """`token` is of an operator unless a test says otherwise."""

    url: str
    http: httpx.AsyncClient
    settings: Settings = field(default_factory=Settings)

    def token(self, member: str | None = None, lifetime: timedelta = timedelta(hours=1)) -> str:
        """For the member of this (builders') name, or for an operator."""
        subject = guid(member) if member else "test"
        return mint(self.settings, subject, operator=member is None, lifetime=lifetime)

    async def deliver(
        self,
        event: dict[str, Any] | bytes,
        event_id: str | None = None,
        *,
        secret: str = DEVELOPMENT_WEBHOOK_SECRET,
        source: str = "portal",
        **headers: str,
    ) -> httpx.Response:
        """Signed by the `standardwebhooks` package; given headers (_ for -) replace its own."""
        body = event if isinstance(event, bytes) else body_of(event)
        signed = signed_headers(body, event_id or f"evt_{uuid.uuid4().hex}", secret)
        signed |= {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post(f"{self.url}/webhooks/{source}", content=body, headers=signed)

    async def tell(self, *events: dict[str, Any]) -> None:
        """Deliver them one after the other; each must be taken."""
        for event in events:
            response = await self.deliver(event)
            assert response.status_code == 200, response.text

    async def ask(
        self, query: str, *, member: str | None = None, token: str | None = None, **variables: Any
    ) -> dict[str, Any]:
        """Data and errors of the GraphQL answer, without what it says of its cost."""
        response = await self.http.post(
            f"{self.url}/graphql",
            json={"query": query, "variables": variables},
            headers={"Authorization": f"Bearer {token or self.token(member)}"},
        )
        answer: dict[str, Any] = response.json()
        answer.pop("extensions", None)
        return answer

    async def data(self, query: str, **given: Any) -> dict[str, Any]:
        """The data; errors fail the test."""
        answer = await self.ask(query, **given)
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    @asynccontextmanager
    async def subscribe(
        self,
        subscription: str,
        *,
        member: str | None = None,
        token: str | None = None,
        **variables: Any,
    ) -> AsyncIterator["Stream"]:
        """Over graphql-transport-ws, as a client other than our own speaks it."""
        transport = WebsocketsTransport(
            url=self.url.replace("http", "ws", 1) + "/graphql",
            init_payload={"authorization": f"Bearer {token or self.token(member)}"},
            subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL],
        )
        async with Client(transport=transport) as session:
            document = gql(subscription)
            document.variable_values = variables
            messages = session.subscribe(document)
            try:
                yield Stream(messages)
            finally:
                await messages.aclose()


class Stream:
    """The messages of one subscription field, in order."""

    def __init__(self, messages: Any) -> None:
        self._messages = messages

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> dict[str, Any]:
        data = await asyncio.wait_for(anext(self._messages), DEADLINE)
        (message,) = data.values()
        found: dict[str, Any] = message
        return found

    async def next(self, type_name: str) -> dict[str, Any]:
        """The next message of this type; others are passed over."""
        async for message in self:
            if message["__typename"] == type_name:
                return message
        raise AssertionError(f"The stream ended before a {type_name} came.")


def signed_headers(
    body: bytes, event_id: str, secret: str, at: datetime | None = None
) -> dict[str, str]:
    now = at or datetime.now(UTC)
    signature = Webhook(secret).sign(event_id, now, body.decode("utf-8", "surrogateescape"))
    return {
        "content-type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
    }
