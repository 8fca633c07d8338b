"""The intake: deliveries that arrive together are recorded together, in one transaction.

While transactions are under way, whatever arrives waits and shares the next one. What waits is
bounded; more is turned away, to be sent again later.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from sync.deliveries import Delivery, Receipt
from sync.errors import OverloadedError

logger = logging.getLogger(__name__)

Recorder = Callable[[Sequence[Delivery]], Awaitable[list[Receipt]]]

Waiting = tuple[Delivery, asyncio.Future[Receipt]]

BATCH = 100
SMALLEST_SHARE = 4
"""So few are not worth a transaction of their own beside another."""
MAX_WAITING = 1000
LONGEST_WAIT = 20.0
"""Seconds, to the next full one; less than the senders' own patience: a minute with Dataverse."""


class Intake:
    """Runs inside `async with`; leaving it finishes what was accepted."""

    def __init__(self, record: Recorder, *, at_once: int = 1) -> None:
        """`at_once`: how many transactions get on beside each other."""
        self._record = record
        self._at_once = at_once
        self._waiting: deque[Waiting] = deque()
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

    async def submit(self, delivery: Delivery) -> Receipt:
        """Returns after the commit. Raises OverloadedError, or what the recorder raises."""
        if self._closing:
            raise OverloadedError("The service is stopping.")
        if len(self._waiting) >= MAX_WAITING:
            raise OverloadedError("Too many deliveries are waiting.")
        loop = asyncio.get_running_loop()
        receipt: asyncio.Future[Receipt] = loop.create_future()
        self._waiting.append((delivery, receipt))
        self._unanswered.append((loop.time() + LONGEST_WAIT, receipt))
        if self._timer is None:
            self._timer = loop.call_later(1, self._turn_away, loop)
        self._begin_batches()
        return await receipt

    def _turn_away(self, loop: asyncio.AbstractEventLoop) -> None:
        """Those who waited too long. One timer looks after all of them: a timer for each would cost
        more than reading what they sent."""
        now = loop.time()
        while self._unanswered and (self._unanswered[0][1].done() or self._unanswered[0][0] <= now):
            _, receipt = self._unanswered.popleft()
            if not receipt.done():
                # It may be recorded yet. What is sent again is then a repetition.
                receipt.set_exception(OverloadedError("The delivery waited too long."))
        self._timer = None
        if self._unanswered:
            self._timer = loop.call_later(1, self._turn_away, loop)

    def _begin_batches(self) -> None:
        """What waits is shared out, so that no transaction is much larger than the one beside it:
        senders that wait for an answer come back together. Few wait on for more."""
        while self._waiting and len(self._under_way) < self._at_once:
            busy = sum(self._under_way.values())
            if len(self._waiting) < busy / 2:
                return
            share = -(-(len(self._waiting) + busy) // self._at_once)
            size = min(BATCH, len(self._waiting), max(share, SMALLEST_SHARE))
            batch = [self._waiting.popleft() for _ in range(size)]
            task = asyncio.create_task(self._flush(batch), name="intake")
            self._under_way[task] = size
            task.add_done_callback(self._go_on)

    def _go_on(self, done: asyncio.Task[None]) -> None:
        del self._under_way[done]
        self._begin_batches()

    async def _flush(self, batch: list[Waiting]) -> None:
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
