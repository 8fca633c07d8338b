"""Locks on what a transaction is going to change, held until it ends.

They are advisory locks of PostgreSQL, taken by name, all at once and before anything is read. A
statement on PostgreSQL sees what was committed when it began: one that waits for the lock of a row
would see the rows beside it as they were before. All processes take their locks in one order, so
that no two wait for each other. SQLite has a single writer and needs no locks.

An exclusive lock keeps everybody else out. Whoever shares a lock may rely on what it protects, and
must not change it.
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


def tree_lock() -> LockName:
    """Returns the lock on which chapter is above which."""
    return LockName("tree of organizations")


def role_catalogue_lock() -> LockName:
    """Returns the lock on what roles give."""
    return LockName("role catalogue")


def body_retention_lock() -> LockName:
    """Returns the lock of the process that removes the bodies of old entries."""
    return LockName("body retention")


def locking(exclusive: Collection[LockName], shared: Collection[LockName] = ()) -> str:
    """Returns the statement that takes these locks; it has no parameters."""
    wanted = lock_keys(exclusive, shared)
    keys = ",".join(str(key) for key, _ in wanted)
    modes = ",".join("t" if is_exclusive else "f" for _, is_exclusive in wanted)
    return (
        "SELECT CASE WHEN exclusive THEN pg_advisory_xact_lock(key)::text "  # noqa: S608  (numbers)
        "ELSE pg_advisory_xact_lock_shared(key)::text END "
        f"FROM unnest('{{{keys}}}'::bigint[], '{{{modes}}}'::bool[]) AS wanted(key, exclusive)"
    )


def lock_keys(
    exclusive: Collection[LockName], shared: Collection[LockName]
) -> list[tuple[int, bool]]:
    """Returns PostgreSQL's key of each lock and whether it is exclusive, in the common order."""
    modes = {_key(name): False for name in shared} | {_key(name): True for name in exclusive}
    return sorted(modes.items())


class ProcessLocks:
    """Exclusive locks between the transactions of one process, held without asking the database."""

    def __init__(self) -> None:
        self._held: set[LockName] = set()
        self._released = asyncio.Event()

    @asynccontextmanager
    async def held(self, names: Collection[LockName]) -> AsyncIterator[None]:
        """Takes all of them at once, so that no two transactions wait for each other."""
        while not self._held.isdisjoint(names):
            await self._released.wait()
        self._held.update(names)
        try:
            yield
        finally:
            self._held.difference_update(names)
            released, self._released = self._released, asyncio.Event()
            released.set()


def _key(name: LockName) -> int:
    """Returns a 64-bit hash. Two names with the same key only wait for each other needlessly."""
    digest = hashlib.blake2b(name.encode(), digest_size=8, person=b"likeperson").digest()
    return int.from_bytes(digest, signed=True)
