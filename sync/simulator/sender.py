"""Sends events as signed webhooks, at most twice each, as Dataverse does."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
import msgspec
from standardwebhooks import Webhook

from sync.simulator.event_bodies import PortalEvent

RETRIED_STATUSES = frozenset({502, 503, 504})
LONGEST_PAUSE = 2.0
_USUAL_PAUSE = 0.2
_WEBHOOK_PATH = re.compile(r"/webhooks/([^/?#]+)/?$")


@dataclass(frozen=True, slots=True)
class SendResult:
    """The result of one delivery. `http_status` is None if there was no answer."""

    event_id: str
    http_status: int | None
    # From the answer, in lower case: success and created, skipped and stale …
    status: str | None
    outcome: str | None
    detail: str | None
    # From the first attempt to the last answer, including the pause.
    seconds: float
    attempts: int

    @property
    def accepted(self) -> bool:
        return self.http_status is not None and 200 <= self.http_status < 300


class _Answer(msgspec.Struct, frozen=True):
    # In a problem document the status is a number, and there may be only a title.
    status: str | int | None = None
    outcome: str | None = None
    detail: str | None = None
    title: str | None = None


def source_of(url: str) -> str | None:
    """Returns the source that a webhook's URL names, or None for the URL of a service."""
    found = _WEBHOOK_PATH.search(url)
    return found[1] if found else None


def address_of(url: str, source: str) -> str:
    """Returns the URL of the webhook; `source` counts only if the URL names none."""
    whole = url.rstrip("/")
    return whole if source_of(url) else f"{whole}/webhooks/{source}"


class Sender:
    """Signs events and posts them to one source of a service. It can be used concurrently.

    `url` is that of the service, or of its webhook. The caller owns the client and closes it.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        client: httpx.AsyncClient,
        *,
        source: str = "portal",
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._address = address_of(url, source)
        self._webhook = Webhook(secret)
        self._client = client
        self._pause = pause

    async def send(self, event: PortalEvent) -> SendResult:
        """Sends the event, and once more after 502, 503, 504 or a broken connection.

        Errors of the network and of the service are in the result and raise nothing.
        """
        started = time.perf_counter()
        attempts = 1
        answer = await self._attempt(event)
        if isinstance(answer, httpx.TransportError) or answer.status_code in RETRIED_STATUSES:
            await self._pause(_pause_before_retry(answer))
            attempts = 2
            answer = await self._attempt(event)
        return _result_of(event, answer, time.perf_counter() - started, attempts)

    async def _attempt(self, event: PortalEvent) -> httpx.Response | httpx.TransportError:
        # Each attempt is signed anew, since the receiver refuses an old timestamp.
        headers = self._headers(event, datetime.now(UTC))
        try:
            return await self._client.post(self._address, content=event.body, headers=headers)
        except httpx.UnsupportedProtocol:
            # The address is wrong; trying again does not help.
            raise
        except httpx.TransportError as error:
            # Refused, reset or timed out; it is unknown whether the event arrived.
            return error

    def _headers(self, event: PortalEvent, now: datetime) -> dict[str, str]:
        return {
            "content-type": "application/json",
            "webhook-id": event.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._webhook.sign(event.id, now, event.body.decode()),
        }


def _pause_before_retry(answer: httpx.Response | httpx.TransportError) -> float:
    if isinstance(answer, httpx.Response):
        asked = answer.headers.get("retry-after", "")
        if asked.isdecimal():
            return min(float(asked), LONGEST_PAUSE)
    return _USUAL_PAUSE


def _result_of(
    event: PortalEvent,
    answer: httpx.Response | httpx.TransportError,
    seconds: float,
    attempts: int,
) -> SendResult:
    if isinstance(answer, httpx.TransportError):
        detail = str(answer) or type(answer).__name__
        return SendResult(event.id, None, None, None, detail, seconds, attempts)
    said = _said(answer)
    return SendResult(
        event_id=event.id,
        http_status=answer.status_code,
        status=said.status.lower() if isinstance(said.status, str) else None,
        outcome=said.outcome.lower() if said.outcome else None,
        detail=said.detail or said.title,
        seconds=seconds,
        attempts=attempts,
    )


def _said(answer: httpx.Response) -> _Answer:
    try:
        return msgspec.json.decode(answer.content, type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # For example the error page of a proxy; the status code is enough.
        return _Answer()
