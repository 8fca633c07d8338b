"""Delivers events the way Dataverse does: signed, posted, tried twice at the very most."""

import asyncio
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


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one delivery. `http_status` is None if no answer came at all."""

    event_id: str
    http_status: int | None
    # What the service said of the event, in lower case: success/created, skipped/stale …
    status: str | None
    outcome: str | None
    detail: str | None
    # From the first attempt to the last answer, pauses included.
    seconds: float
    attempts: int

    @property
    def accepted(self) -> bool:
        return self.http_status is not None and 200 <= self.http_status < 300


class _Answer(msgspec.Struct, frozen=True):
    # A problem document has a number for its status and may say only a title.
    status: str | int | None = None
    outcome: str | None = None
    detail: str | None = None
    title: str | None = None


class Sender:
    """Signs and posts events to one source of one service; safe to use concurrently.

    The client belongs to the caller, who closes it.
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
        self._address = f"{url.rstrip('/')}/webhooks/{source}"
        self._webhook = Webhook(secret)
        self._client = client
        self._pause = pause

    async def send(self, event: PortalEvent) -> Receipt:
        """Deliver once, and once more after a 502, 503, 504 or a broken connection.

        Raises nothing for what the network or the service does: the receipt says it.
        """
        started = time.perf_counter()
        attempts = 1
        answer = await self._attempt(event)
        if isinstance(answer, httpx.TransportError) or answer.status_code in RETRIED_STATUSES:
            await self._pause(_pause_before_retry(answer))
            attempts = 2
            answer = await self._attempt(event)
        return _receipt(event, answer, time.perf_counter() - started, attempts)

    async def _attempt(self, event: PortalEvent) -> httpx.Response | httpx.TransportError:
        # Signed anew for every attempt: the receiver refuses a stale timestamp.
        headers = self._headers(event, datetime.now(UTC))
        try:
            return await self._client.post(self._address, content=event.body, headers=headers)
        except httpx.UnsupportedProtocol:
            # A mistake in the address, not the weather.
            raise
        except httpx.TransportError as error:
            # Refused, reset or timed out: whether the event arrived is unknown.
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


def _receipt(
    event: PortalEvent,
    answer: httpx.Response | httpx.TransportError,
    seconds: float,
    attempts: int,
) -> Receipt:
    if isinstance(answer, httpx.TransportError):
        detail = str(answer) or type(answer).__name__
        return Receipt(event.id, None, None, None, detail, seconds, attempts)
    said = _said(answer)
    return Receipt(
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
        # A proxy's error page, say: the status code tells enough.
        return _Answer()
