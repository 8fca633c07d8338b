"""The base of what runs beside requests for as long as an async context is open."""

import asyncio
from contextlib import suppress
from typing import Self


class BackgroundTask:
    """Runs `_run` as a task inside `async with`. Leaving it cancels the task and waits for its end.

    Subclasses give `_run`, which should go on whatever happens, and the name of the task.
    """

    _task_name: str
    _task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name=self._task_name)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        raise NotImplementedError
