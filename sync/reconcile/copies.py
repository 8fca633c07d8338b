"""A copy of what a portal says of its members, for the time of one run.

It is in a file without a name, so that memory stays flat and nothing is left behind.
"""

import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

from sync.reconcile.files import Line, WrongLine, read_event


@asynccontextmanager
async def copied(
    members: AsyncIterator[bytes], progress: Callable[[str, int], None] = lambda doing, lines: None
) -> AsyncIterator[Callable[[], Iterator[Line | WrongLine]]]:
    """Yields what reads the lines of the copy, as often as it is called.

    Raises what the portal raises, before anything is yielded: an incomplete copy is none.
    """
    with tempfile.TemporaryFile() as file:
        number = 0
        async for body in members:
            file.write(body + b"\n")
            number += 1
            if number % 500 == 0:
                progress("Reading the portal", number)

        def lines() -> Iterator[Line | WrongLine]:
            file.seek(0)
            for index, body in enumerate(file, start=1):
                yield read_event(index, body.rstrip(b"\n"), dated=False)

        yield lines
