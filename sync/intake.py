"""The intake: deliveries that arrive together are recorded together, in one transaction.

While one transaction commits, whatever arrives waits and shares the next one. What waits is
bounded; more is turned away, to be sent again later.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from sync.deliveries import Delivery, Receipt
from sync.errors import OverloadedError

logger = logging.getLogger(__name__)

Recorder = Callable[[Sequence[Delivery]], Awaitable[list[Receipt]]]

BATCH = 100
MAX_WAITING = 1000
LONGEST_WAIT = 20.0
"""Seconds, less than the senders' own patience: a minute with Dataverse."""


class Intake:
    """Runs inside `async with`; leaving it finishes what was accepted."""

    def __init__(self, record: Recorder) -> None:
        self._record = record
        self._waiting: deque[tuple[Delivery, asyncio.Future[Receipt]]] = deque()
        self._arrived = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Intake":
        self._task = asyncio.create_task(self._run(), name="intake")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        self._arrived.set()
        if self._task is not None:
            with suppress(asyncio.CancelledError):
                await self._task

    async def submit(self, delivery: Delivery) -> Receipt:
        """Returns after the commit. Raises OverloadedError, or what the recorder raises."""
        if self._closing:
            raise OverloadedError("The service is stopping.")
        if len(self._waiting) >= MAX_WAITING:
            raise OverloadedError("Too many deliveries are waiting.")
        receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._waiting.append((delivery, receipt))
        self._arrived.set()
        try:
            async with asyncio.timeout(LONGEST_WAIT):
                return await receipt
        except TimeoutError as error:
            # It may be recorded yet. What is sent again is then a repetition.
            raise OverloadedError("The delivery waited too long.") from error

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            while self._waiting:
                size = min(BATCH, len(self._waiting))
                await self._flush([self._waiting.popleft() for _ in range(size)])
            if self._closing:
                return
            self._arrived.clear()

    async def _flush(self, batch: list[tuple[Delivery, asyncio.Future[Receipt]]]) -> None:
        try:
            receipts = await self._record([delivery for delivery, _ in batch])
        except Exception as error:
            # Whatever it is, the senders are told and the intake goes on.
            for _, waiting in batch:
                if not waiting.done():
                    waiting.set_exception(error)
            return
        for (_, waiting), receipt in zip(batch, receipts, strict=True):
            if not waiting.done():
                waiting.set_result(receipt)
