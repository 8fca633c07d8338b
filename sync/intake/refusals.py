"""Refused deliveries: warns the operator, and stores how many there were for all processes."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import Self

from db.database import Database
from db.errors import ConcurrentWriteError, DatabaseUnavailableError
from db.queries.log.refusal_counts import RefusalCount, add_refusals, delete_refusals_before
from sync.errors import RefusalReason, VerificationError

logger = logging.getLogger(__name__)

STORE_SECONDS = 10.0
WARNING_SECONDS = 60.0
KEPT = timedelta(days=7)

_EXPLANATIONS = {
    RefusalReason.HEADER_MISSING: "a header is missing; it comes from another program, or the "
    "scheme of the source differs",
    RefusalReason.HEADER_MALFORMED: "a header is malformed",
    RefusalReason.TIMESTAMP_STALE: "its time is not ours",
    RefusalReason.SIGNATURE_WRONG: "the signature is wrong; the secret differs, or somebody tries",
    RefusalReason.KEY_WRONG: "the key is wrong; it differs, or somebody tries",
}


@dataclass(slots=True)
class _Tally:
    """`unstored` and `untold` deliveries were refused since the last write and warning."""

    refused_at: datetime
    skew_seconds: int | None = None
    unstored: int = 0
    untold: int = 0
    silent_until: float = 0.0


class Refusals:
    """Counts refusals by source and reason; a task stores the counts inside `async with`.

    Whoever sends forged deliveries causes no more than a write in ten seconds, and a warning a
    minute for each reason.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._tallies: dict[tuple[str, RefusalReason], _Tally] = {}
        self._noted = asyncio.Event()
        self._storing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="refusals")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            # A write that has begun is finished, so that its counts are neither lost nor doubled.
            async with self._storing:
                self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._store()

    def note(self, source: str, error: VerificationError) -> None:
        """Counts one refused delivery."""
        now = self._clock()
        tally = self._tallies.setdefault((source, error.reason), _Tally(now))
        tally.refused_at = now
        if error.skew_seconds is not None:
            tally.skew_seconds = error.skew_seconds
        tally.unstored += 1
        tally.untold += 1
        self._noted.set()
        if monotonic() >= tally.silent_until:
            logger.warning("%s", _warning(source, error, tally.untold))
            tally.untold = 0
            tally.silent_until = monotonic() + WARNING_SECONDS

    async def _run(self) -> None:
        while True:
            await self._noted.wait()
            await asyncio.sleep(STORE_SECONDS)
            self._noted.clear()
            await self._store()

    async def _store(self) -> None:
        async with self._storing:
            counts = self._take_counts()
            if not counts:
                return
            try:
                async with self._database.write() as session:
                    await add_refusals(session, counts)
                    await delete_refusals_before(session, self._clock() - KEPT)
            except (DatabaseUnavailableError, ConcurrentWriteError):
                self._put_back(counts)
            except Exception:
                # The task must go on: any error may pass, such as one while a database is restored.
                logger.exception("The number of refused deliveries could not be stored.")

    def _take_counts(self) -> list[RefusalCount]:
        counts = []
        for (source, reason), tally in self._tallies.items():
            if tally.unstored:
                counts.append(
                    RefusalCount(
                        source, reason, tally.unstored, tally.refused_at, tally.skew_seconds
                    )
                )
                tally.unstored, tally.skew_seconds = 0, None
        return counts

    def _put_back(self, counts: list[RefusalCount]) -> None:
        for count in counts:
            tally = self._tallies[count.source, RefusalReason(count.reason)]
            tally.unstored += count.count
            if tally.skew_seconds is None:
                tally.skew_seconds = count.skew_seconds
        self._noted.set()


def _warning(source: str, error: VerificationError, count: int) -> str:
    """Returns what the operator reads. Nothing in it comes from the sender but a measured skew."""
    text = f"A delivery of the source {source} is refused: {_EXPLANATIONS[error.reason]}"
    if error.skew_seconds is not None:
        side = "ahead of" if error.skew_seconds > 0 else "behind"
        text = (
            f"A delivery of the source {source} is refused: it is signed rightly, {side} our clock "
            f"by {abs(error.skew_seconds)} s; one of the two clocks is wrong, or it is an old one"
        )
    return f"{text} ({error.reason}; {count} since the last warning)."
