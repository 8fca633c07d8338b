"""The metrics of all worker processes on one page, each series with the label `worker`.

Each worker tells its own over a socket in a folder that only they can read. Whichever of them is
asked for `/metrics` asks all the others.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

ANSWER_SECONDS = 2.0


class _Merged(Collector):
    def __init__(self, pages: dict[str, str]) -> None:
        self._pages = pages

    def collect(self) -> Iterable[Metric]:
        merged: dict[str, Metric] = {}
        for worker, page in self._pages.items():
            for family in text_string_to_metric_families(page):
                into = merged.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                for sample in family.samples:
                    labels = {**sample.labels, "worker": worker}
                    into.add_sample(sample.name, labels, sample.value)
        return merged.values()


class SharedMetrics:
    """Tells the page of this worker to the others, and asks them for theirs."""

    def __init__(self, folder: Path, slot: int, page: Callable[[], bytes]) -> None:
        self._folder = folder
        self._slot = slot
        self._page = page

    @asynccontextmanager
    async def told(self) -> AsyncIterator[None]:
        # Beside that of the worker that it replaces; the newer one is asked.
        own = self._folder / f"{self._slot}-{id(self):x}.metrics"
        server = await asyncio.start_unix_server(self._answer, own)
        try:
            yield
        finally:
            own.unlink(missing_ok=True)
            server.close()

    async def page(self) -> bytes:
        """Returns the pages of all workers as one. One that does not answer is left out."""
        sockets = sorted(self._folder.glob("*.metrics"), key=lambda file: file.stat().st_mtime)
        newest = {file.name.partition("-")[0]: file for file in sockets}
        pages = await asyncio.gather(*(_asked(file) for file in newest.values()))
        found = dict(zip(newest, pages, strict=True))
        registry = CollectorRegistry()
        registry.register(_Merged({slot: page for slot, page in sorted(found.items()) if page}))
        return generate_latest(registry)

    async def _answer(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            writer.write(self._page())
            await writer.drain()
        writer.close()


async def _asked(file: Path) -> str:
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_unix_connection(file)
            try:
                return (await reader.read()).decode()
            finally:
                writer.close()
    return ""
