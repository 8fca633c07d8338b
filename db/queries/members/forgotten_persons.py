"""Tombstones: which ids of the portal were forgotten, told only to those who name the id.

Each has a key of its own, so that no two digests can be compared. A bucket of sixteen bits finds
the few whose digests have to be made.
"""

import hmac
import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import NamedTuple

from sqlalchemy import insert, select, update

from db.driver.statements.any_of import any_of_parameter
from db.driver.statements.compiled_statements import CompiledStatement, SqlRow
from db.driver.statements.round_trips import Query
from db.sessions import WriteSession
from db.tables.models import ForgottenPerson
from db.vocabulary import MemberId, PortalId


class Tombstone(NamedTuple):
    """What is kept of a forgotten id: see the table."""

    id: int
    as_of: datetime
    begun_at: datetime | None
    by_retention: bool


_TOMBSTONES = CompiledStatement(
    select(
        ForgottenPerson.id,
        ForgottenPerson.as_of,
        ForgottenPerson.begun_at,
        ForgottenPerson.by_retention,
        ForgottenPerson.bucket,
        ForgottenPerson.key,
        ForgottenPerson.tombstone,
    ).where(any_of_parameter(ForgottenPerson.bucket, "buckets"))
)


def tombstones(portal_ids: Collection[PortalId]) -> Query[dict[PortalId, Tombstone]]:
    """Returns the tombstones of those of these ids that were forgotten."""
    by_bucket: dict[int, list[PortalId]] = {}
    for id in set(portal_ids):
        by_bucket.setdefault(_bucket(id), []).append(id)

    def read(rows: Sequence[SqlRow]) -> dict[PortalId, Tombstone]:
        return {
            id: Tombstone(*tombstone)
            for *tombstone, bucket, key, digest in rows
            for id in by_bucket[bucket]
            if hmac.compare_digest(_digest(key, id), digest)
        }

    return Query(_TOMBSTONES, {"buckets": list(by_bucket)}, read)


async def save_forgotten(
    session: WriteSession,
    portal_ids: Collection[PortalId],
    known: Mapping[PortalId, Tombstone],
    *,
    as_of: datetime,
    begun_at: datetime | None,
    by_retention: bool,
    member_id: MemberId | None,
    now: datetime,
) -> None:
    """Saves that these ids of one person are forgotten; `known` are their tombstones until now."""
    values = {
        "begun_at": begun_at,
        "by_retention": by_retention,
        "forgotten_at": now,
        **({} if member_id is None else {"last_member_id": member_id}),
    }
    for id in sorted(portal_ids):
        if id in known:
            newest = max(as_of, known[id].as_of)
            row = update(ForgottenPerson).where(ForgottenPerson.id == known[id].id)
            await session.run(row.values(**values, as_of=newest))
            continue
        key = secrets.token_hex(32)
        identity = {"bucket": _bucket(id), "key": key, "tombstone": _digest(key, id)}
        await session.run(insert(ForgottenPerson).values(**values, **identity, as_of=as_of))


async def save_beginning(session: WriteSession, tombstone: Tombstone) -> None:
    """Saves since when the person is known anew."""
    row = update(ForgottenPerson).where(ForgottenPerson.id == tombstone.id)
    await session.run(row.values(begun_at=tombstone.begun_at))


def _bucket(id: PortalId) -> int:
    return int.from_bytes(blake2b(id.encode(), digest_size=2, person=b"tombstone").digest())


def _digest(key: str, id: PortalId) -> str:
    return hmac.digest(bytes.fromhex(key), id.encode(), "sha256").hex()
