"""Locks on what a transaction is going to change, held until it ends.

They are taken by name, all at once and before anything is read: a statement on PostgreSQL sees
what was committed when it began, so one that waits for a row sees old rows beside it. All
processes take them in one order, so that none waits for another in a circle. SQLite has a single
writer and needs none.

Who shares a lock may rely on what it protects staying as it is, and leaves it so.

Whoever hopes that nobody else wants the same takes them only when it writes, without waiting, and
checks then that what it read is as it was.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import NewType

from db.vocabulary import PortalId

LockName = NewType("LockName", str)


def member_lock(portal_id: PortalId) -> LockName:
    return LockName(f"member {portal_id}")


def organization_lock(portal_id: PortalId) -> LockName:
    return LockName(f"organization {portal_id}")


def locking(alone: Collection[LockName], shared: Collection[LockName] = ()) -> str:
    """The statement that takes them, without parameters."""
    wanted = lock_keys(alone, shared)
    keys = ",".join(str(key) for key, _ in wanted)
    whole = ",".join("t" if is_alone else "f" for _, is_alone in wanted)
    return (
        "SELECT CASE WHEN alone THEN pg_advisory_xact_lock(key)::text "  # noqa: S608  (numbers)
        "ELSE pg_advisory_xact_lock_shared(key)::text END "
        f"FROM unnest('{{{keys}}}'::bigint[], '{{{whole}}}'::bool[]) AS wanted(key, alone)"
    )


def lock_keys(alone: Collection[LockName], shared: Collection[LockName]) -> list[tuple[int, bool]]:
    """As PostgreSQL knows them, and whether each is taken alone; in the order of all processes."""
    modes = {_key(name): False for name in shared} | {_key(name): True for name in alone}
    return sorted(modes.items())


class Claims:
    """Locks between the users of one process, which need not ask the database for them."""

    def __init__(self) -> None:
        self._claimed: set[LockName] = set()
        self._released = asyncio.Event()

    @asynccontextmanager
    async def held(self, names: Collection[LockName]) -> AsyncIterator[None]:
        """All at once, so that nobody waits for another in a circle."""
        while not self._claimed.isdisjoint(names):
            await self._released.wait()
        self._claimed.update(names)
        try:
            yield
        finally:
            self._claimed.difference_update(names)
            released, self._released = self._released, asyncio.Event()
            released.set()


def _key(name: LockName) -> int:
    """Two names of one key only wait for each other without need."""
    digest = hashlib.blake2b(name.encode(), digest_size=8, person=b"likeperson").digest()
    return int.from_bytes(digest, signed=True)
