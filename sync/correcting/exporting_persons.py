"""Exports what is held about a person, for the person: the right of access."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from db.database import Database
from db.queries.log.audit_trail import Act, record_act
from db.queries.log.personal_data import LookedAt, exported_rows, kept_back, looks_at
from db.queries.log.traces import Traces, entries_about
from db.queries.members.member_pages import member_ids
from db.queries.members.merges import merges_of, survivors
from db.vocabulary import AuditAction, PortalId, read_portal_id
from sync.errors import PersonUnknownError

EXPLANATION = {
    "nb": "Dette er alt Likeperson Sync har lagret om personen med denne id-en. «data» viser hver "
    "tabell. «lookedAt» viser når noen har sett på eller gjort noe med hendelsene om personen. "
    "«keptBack» sier hva som ikke er med, og hvorfor.",
    "en": "This is all that Likeperson Sync holds about the person with this id. `data` has each "
    "table. `lookedAt` tells when somebody looked at the events about the person, or did something "
    "with them. `keptBack` says what is left out, and why.",
}


class PersonalData(msgspec.Struct, frozen=True, rename="camel"):
    """The document: what is held, who has looked when, and what is kept back and why."""

    explanation: dict[str, str]
    portal_ids: list[PortalId]
    exported_at: datetime
    data: dict[str, list[dict[str, Any]]]
    looked_at: list[LookedAt]
    kept_back: dict[str, str]


async def export_person(
    database: Database, portal_id: str, actor: str, clock: Callable[[], datetime]
) -> PersonalData:
    """Returns what is held about a person, under all ids that were merged, after recording that it
    was exported. Raises PersonUnknownError or DatabaseUnavailableError."""
    id = read_portal_id(portal_id)
    if id is None:
        raise PersonUnknownError(f"{portal_id!r} is no id of the portal.")
    now = clock()
    # All bodies are searched for the person, which must hold up nobody who writes.
    async with database.read(snapshot=True) as session:
        merged = await session.find(survivors([id]))
        id = merged.get(id, id)
        merges = await merges_of(session, [id])
        ids = sorted({id, *(each for merge in merges for each in merge[:2])})
        member_id = next(iter(await member_ids(session, [id])), None)
        entries = [entry.row.id for entry in await entries_about(session, member_id, ids)]
        person = Traces(ids, member_id, entries)
        data = await exported_rows(session, person)
        if not data:
            raise PersonUnknownError(f"Nothing is held about {id}.")
        looked_at = await looks_at(session, entries, ids)
    async with database.write() as session:
        await record_act(session, Act(actor, AuditAction.PERSON_EXPORTED, entries), now)
    return PersonalData(EXPLANATION, ids, now, data, looked_at, kept_back())
