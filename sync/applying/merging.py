"""Merges of persons: two ids of the portal are of one, and so is all that is stated of either.

Each part of the person is what the newest statement about any of the ids says, so it does not
matter in which order merges and statements arrive.
"""

from collections.abc import Collection

from db.queries.members.member_records import MemberRecord
from db.queries.members.merges import StatedMerge
from db.stamp import NEVER
from db.tables.profile import PROFILE_FIELDS
from db.vocabulary import PortalId
from sync.applying.draft import ORGANIZATION, ROLES, STATE


def with_merge(merges: Collection[StatedMerge], new: StatedMerge) -> list[StatedMerge]:
    """Returns the merges with another one; of the same one stated twice, the first counts."""
    pairs = {(merge.merged_id, merge.into_id): merge for merge in merges}
    known = pairs.get((new.merged_id, new.into_id))
    if known is None or new.stamp < known.stamp:
        pairs[new.merged_id, new.into_id] = new
    return list(pairs.values())


def survivor_of(merges: Collection[StatedMerge]) -> tuple[PortalId, set[StatedMerge]]:
    """Returns the id under which the person lives on, and the merges that are refused.

    They count from the oldest on. One is refused when its ids are of one person already and the
    id that should live on is not the one that does.
    """
    lives_on = {id: id for merge in merges for id in (merge.merged_id, merge.into_id)}
    refused = set()
    survivor = PortalId("")
    for merge in sorted(merges, key=lambda merge: merge.stamp):
        gone, survivor = lives_on[merge.merged_id], lives_on[merge.into_id]
        if gone == survivor and merge.merged_id == survivor:
            refused.add(merge)
        for id, known in lives_on.items():
            if known == gone:
                lives_on[id] = survivor
    return survivor, refused


def join(kept: MemberRecord, gone: MemberRecord) -> None:
    """Gives the kept record the parts of which the other one holds the newer statement."""
    newer = {part for part, stamp in gone.as_of.items() if stamp > kept.as_of.get(part, NEVER)}
    kept.as_of |= {part: gone.as_of[part] for part in newer}
    kept.state_profile(
        {field: getattr(gone.profile, field) for field in PROFILE_FIELDS.keys() & newer}
    )
    if ORGANIZATION in newer:
        kept.organization_id = gone.organization_id
    if ROLES in newer:
        kept.roles, kept.unlisted_roles = dict(gone.roles), gone.unlisted_roles
    if STATE in newer:
        kept.state, kept.state_changed_at = gone.state, gone.state_changed_at
