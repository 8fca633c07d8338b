"""The intake: a bounded queue that records deliveries in batches, one transaction for each batch.

Deliveries that arrive while transactions are under way share the next one. When the queue is full,
further deliveries are refused, and their senders send them again later.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from sync.errors import OverloadedError
from sync.recording.deliveries import Delivery, Receipt

logger = logging.getLogger(__name__)

Recorder = Callable[[Sequence[Delivery]], Awaitable[list[Receipt]]]

WaitingDelivery = tuple[Delivery, asyncio.Future[Receipt]]

BATCH = 100
SMALLEST_BATCH = 4
"""Fewer are not worth a transaction beside another one that is under way."""
MAX_WAITING = 1000
LONGEST_WAIT = 20.0
"""Seconds, checked once a second. Less than senders wait: Dataverse gives up after a minute."""


class Intake:
    """Records deliveries; used as an async context manager. Leaving the block waits until every
    accepted delivery is recorded."""

    def __init__(self, record: Recorder, *, at_once: int = 1) -> None:
        """Makes a queue that runs at most `at_once` transactions at the same time."""
        self._record = record
        self._at_once = at_once
        self._waiting: deque[WaitingDelivery] = deque()
        self._under_way: dict[asyncio.Task[None], int] = {}
        self._unanswered: deque[tuple[float, asyncio.Future[Receipt]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False

    async def __aenter__(self) -> "Intake":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        while self._under_way:
            await asyncio.wait(self._under_way)
        if self._timer is not None:
            self._timer.cancel()

    @property
    def waiting(self) -> int:
        """The number of deliveries that wait for a transaction."""
        return len(self._waiting)

    async def submit(self, delivery: Delivery) -> Receipt:
        """Returns the receipt after the commit. Raises OverloadedError, or what `record` raises."""
        if self._closing:
            raise OverloadedError("The service is stopping.")
        if len(self._waiting) >= MAX_WAITING:
            raise OverloadedError(f"{MAX_WAITING} deliveries are waiting already.")
        loop = asyncio.get_running_loop()
        receipt: asyncio.Future[Receipt] = loop.create_future()
        self._waiting.append((delivery, receipt))
        self._unanswered.append((loop.time() + LONGEST_WAIT, receipt))
        if self._timer is None:
            self._timer = loop.call_later(1, self._turn_away, loop)
        self._begin_batches()
        return await receipt

    def _turn_away(self, loop: asyncio.AbstractEventLoop) -> None:
        """Refuses the deliveries that waited too long. There is one timer for all of them: a timer
        for each would cost more than parsing it."""
        now = loop.time()
        while self._unanswered and (self._unanswered[0][1].done() or self._unanswered[0][0] <= now):
            _, receipt = self._unanswered.popleft()
            if not receipt.done():
                # It may still be recorded; then what the sender repeats is a repetition.
                receipt.set_exception(
                    OverloadedError(f"The delivery waited longer than {LONGEST_WAIT:.0f} seconds.")
                )
        self._timer = None
        if self._unanswered:
            self._timer = loop.call_later(1, self._turn_away, loop)

    def _begin_batches(self) -> None:
        """Divides the waiting deliveries among the free transactions. The batches are of similar
        size: senders that wait for an answer come back together. A few deliveries wait for more
        while other batches are under way."""
        while self._waiting and len(self._under_way) < self._at_once:
            busy = sum(self._under_way.values())
            if len(self._waiting) < busy / 2:
                return
            even_share = -(-(len(self._waiting) + busy) // self._at_once)
            size = min(BATCH, len(self._waiting), max(even_share, SMALLEST_BATCH))
            batch = [self._waiting.popleft() for _ in range(size)]
            task = asyncio.create_task(self._flush(batch), name="intake")
            self._under_way[task] = size
            task.add_done_callback(self._batch_ended)

    def _batch_ended(self, done: asyncio.Task[None]) -> None:
        del self._under_way[done]
        self._begin_batches()

    async def _flush(self, batch: list[WaitingDelivery]) -> None:
        try:
            receipts = await self._record([delivery for delivery, _ in batch])
        except Exception as error:
            # Every sender gets the error as an answer, and the intake continues.
            for _, waiting in batch:
                if not waiting.done():
                    waiting.set_exception(error)
            return
        for (_, waiting), receipt in zip(batch, receipts, strict=True):
            if not waiting.done():
                waiting.set_result(receipt)
