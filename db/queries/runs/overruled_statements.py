"""The last statements of portals about parts of members that were corrected."""

from collections.abc import Mapping

from sqlalchemy import delete, insert

from db.sessions import WriteSession
from db.tables.models import OverruledStatement
from db.vocabulary import PortalId


async def save_overruled(
    session: WriteSession, portal_id: PortalId, fingerprints: Mapping[str, str]
) -> None:
    """Keeps the fingerprints of these parts, in the place of older ones."""
    for part, fingerprint in fingerprints.items():
        of_part = (OverruledStatement.portal_id == portal_id, OverruledStatement.part == part)
        await session.run(delete(OverruledStatement).where(*of_part))
        values = {"portal_id": portal_id, "part": part, "fingerprint": fingerprint}
        await session.run(insert(OverruledStatement).values(values))
