"""Locks on what a transaction is going to change, held until it ends.

They are taken by name, all at once and before anything is read: a statement on PostgreSQL sees
what was committed when it began, so one that waits for a row sees old rows beside it. All
processes take them in one order, so that none waits for another in a circle. SQLite has a single
writer and needs none.
"""

import hashlib
from collections.abc import Collection
from typing import NewType

from db.vocabulary import PortalId

LockName = NewType("LockName", str)


def member_lock(portal_id: PortalId) -> LockName:
    return LockName(f"member {portal_id}")


def organization_lock(portal_id: PortalId) -> LockName:
    return LockName(f"organization {portal_id}")


def locking(names: Collection[LockName]) -> str:
    """The statement that takes them, without parameters."""
    keys = ",".join(map(str, sorted({_key(name) for name in names})))
    return f"SELECT pg_advisory_xact_lock(key) FROM unnest('{{{keys}}}'::bigint[]) AS key"  # noqa: S608


def _key(name: LockName) -> int:
    """Two names of one key only wait for each other without need."""
    digest = hashlib.blake2b(name.encode(), digest_size=8, person=b"likeperson").digest()
    return int.from_bytes(digest, signed=True)
