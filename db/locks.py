"""Locks on what a transaction is going to change, held until it ends.

They are taken by name, all at once and before anything is read: a statement on PostgreSQL sees
what was committed when it began, so one that waits for a row sees old rows beside it. All
processes take them in one order, so that none waits for another in a circle. SQLite has a single
writer and needs none.

Who shares a lock may rely on what it protects staying as it is, and leaves it so.
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


def locking(alone: Collection[LockName], shared: Collection[LockName] = ()) -> str:
    """The statement that takes them, without parameters."""
    modes = {_key(name): False for name in shared} | {_key(name): True for name in alone}
    wanted = sorted(modes.items())
    keys = ",".join(str(key) for key, _ in wanted)
    whole = ",".join("t" if is_alone else "f" for _, is_alone in wanted)
    return (
        "SELECT CASE WHEN alone THEN pg_advisory_xact_lock(key)::text "  # noqa: S608  (numbers)
        "ELSE pg_advisory_xact_lock_shared(key)::text END "
        f"FROM unnest('{{{keys}}}'::bigint[], '{{{whole}}}'::bool[]) AS wanted(key, alone)"
    )


def _key(name: LockName) -> int:
    """Two names of one key only wait for each other without need."""
    digest = hashlib.blake2b(name.encode(), digest_size=8, person=b"likeperson").digest()
    return int.from_bytes(digest, signed=True)
