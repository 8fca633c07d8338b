"""The survey: looks at the log, the sources, the runs and the register for what is wrong."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from db.queries.chapters.national_body import NationalBody
from db.queries.log.concern_entries import (
    ConcernEntries,
    Extent,
    extent_of,
    extents_of_unsettled,
    extents_since,
    times_of,
    types_of,
)
from db.queries.log.concern_records import ConcernKey, RememberedConcern
from db.queries.log.refusal_counts import RefusalCount, refusals_since
from db.queries.log.source_activity import (
    has_applied_since,
    has_delivered_since,
    last_applied,
    last_received,
)
from db.queries.members.register_faults import RegisterFaults, active_members, register_faults
from db.queries.runs.reconciliations import (
    beaten_in,
    held_by_source,
    last_runs,
    missed_since,
)
from db.sessions import ReadSession
from db.vocabulary import ConcernKind, ReconciliationStatus
from sync.concerns.standing import PASSING, NoticedConcern
from sync.events import CORRECTION

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
PATIENCE = timedelta(minutes=1)
"""How long an event may wait before it is a concern."""
FEW = 10
"""How many overtaken events a day, refusals an hour or deactivations an hour are no concern."""
SHARE_OF_MEMBERS = 0.02
"""The share of the active members whose deactivation within an hour is a concern."""
MOST_TIMES = 5000
NAMED_TYPES = 3
_OF_THE_LAST_DAY = (ConcernKind.OVERTAKEN, ConcernKind.MASS_DEACTIVATION)

Remembered = Mapping[ConcernKey, RememberedConcern]


@dataclass(frozen=True, slots=True)
class Watched:
    """What the settings say. `storage_fault` returns a sentence while the storage fails."""

    sources: Sequence[str]
    longest_silence: timedelta
    national_body: NationalBody
    storage_fault: Callable[[], str | None] = lambda: None


async def survey(
    session: ReadSession,
    watched: Watched,
    shared: int,
    remembered: Remembered,
    now: datetime,
) -> list[NoticedConcern]:
    """Returns all that is noticed now, in any order. `shared` member numbers were counted before,
    since that takes as long as there are members."""
    found = [it async for it in _of_entries(session, remembered, now)]
    found += [it async for it in _of_deactivations(session, remembered, now)]
    found += [it async for it in _of_refusals(session, now)]
    found += [it async for it in _of_silence(session, watched, now)]
    found += [it async for it in _of_runs(session, watched, now)]
    found += _of_register(await register_faults(session, watched.national_body), shared)
    fault = watched.storage_fault()
    if fault is not None:
        found.append(NoticedConcern(ConcernKey(ConcernKind.STORAGE, ""), 1, fault))
    return found


_TEXTS = {
    ConcernKind.REFUSED_DEACTIVATION: "{} deactivation(s) could not be applied.",
    ConcernKind.REJECTIONS: "{} event(s) could not be read.",
    ConcernKind.UNKNOWN_TYPES: "{} event(s) are of a type that is not known here",
    ConcernKind.DEAD: "{} event(s) could not be applied and are no longer tried.",
}


async def _of_entries(
    session: ReadSession, remembered: Remembered, now: datetime
) -> AsyncIterator[NoticedConcern]:
    for key, extent in (await extents_of_unsettled(session)).items():
        entries = entries_of(key, remembered, now)
        if key.kind is ConcernKind.WAITING:
            if extent.oldest is not None and now - extent.oldest > PATIENCE:
                since = _moment(extent.oldest)
                detail = f"{extent.count} event(s) have been waiting since {since}."
                yield _noticed(entries, extent, detail)
            continue
        left = extent if entries.since is None else await extent_of(session, entries)
        if not left.count:
            continue
        detail = _TEXTS[key.kind].format(left.count)
        if key.kind is ConcernKind.UNKNOWN_TYPES:
            types = await types_of(session, entries, most=NAMED_TYPES)
            detail += f": {', '.join(types)}."
        yield _noticed(entries, left, detail)
    kind = ConcernKind.OVERTAKEN
    for source in await extents_since(session, kind, now - DAY):
        entries = entries_of(ConcernKey(kind, source), remembered, now)
        extent = await extent_of(session, entries)
        if extent.count > FEW:
            detail = f"{extent.count} events of the last day came after newer ones, or tied."
            yield _noticed(entries, extent, detail)


def entries_of(key: ConcernKey, remembered: Remembered, now: datetime) -> ConcernEntries:
    """Returns the entries of a concern: of a passing one those that came after it was acknowledged,
    if it was, and of some kinds those of the last day."""
    known = remembered.get(key)
    given = known.acknowledgement if known and key.kind in PASSING else None
    times = [now - DAY] if key.kind in _OF_THE_LAST_DAY else []
    times += [given.at] if given else []
    return ConcernEntries(key.kind, key.source, max(times, default=None))


def _noticed(entries: ConcernEntries, extent: Extent, detail: str) -> NoticedConcern:
    key = ConcernKey(entries.kind, entries.source)
    return NoticedConcern(key, extent.count, detail, extent.oldest)


async def _of_deactivations(
    session: ReadSession, remembered: Remembered, now: datetime
) -> AsyncIterator[NoticedConcern]:
    kind = ConcernKind.MASS_DEACTIVATION
    for source, extent in (await extents_since(session, kind, now - DAY)).items():
        if source == CORRECTION or extent.count <= FEW:
            continue
        entries = entries_of(ConcernKey(kind, source), remembered, now)
        limit = max(FEW, int(SHARE_OF_MEMBERS * await active_members(session)))
        times = await times_of(session, entries, most=MOST_TIMES)
        bursts = [
            earlier
            for later, earlier in zip(times, times[limit:], strict=False)
            if later - earlier <= HOUR
        ]
        if bursts:
            detail = f"{len(times)} members were deactivated by webhooks in the last day."
            yield NoticedConcern(ConcernKey(kind, source), len(times), detail, min(bursts))


async def _of_refusals(session: ReadSession, now: datetime) -> AsyncIterator[NoticedConcern]:
    by_source: dict[str, list[RefusalCount]] = {}
    for refusal in await refusals_since(session, now - DAY):
        by_source.setdefault(refusal.source, []).append(refusal)
    lately: Counter[str] = Counter()
    for refusal in await refusals_since(session, now - HOUR) if by_source else ():
        lately[refusal.source] += refusal.count
    for source, refusals in by_source.items():
        last = max(it.last_refused_at for it in refusals)
        if lately[source] <= FEW and await has_delivered_since(session, source, last):
            continue
        count = sum(it.count for it in refusals)
        reasons = ", ".join(f"{it.reason} {it.count}" for it in refusals)
        detail = f"{count} deliveries of the last day were refused: {reasons}."
        skews = [it.skew_seconds for it in refusals if it.skew_seconds is not None]
        if skews:
            side = "ahead of" if skews[-1] > 0 else "behind"
            detail += f" The sender's clock is {abs(skews[-1])} s {side} ours."
        yield NoticedConcern(ConcernKey(ConcernKind.REFUSALS, source), count, detail)


async def _of_silence(
    session: ReadSession, watched: Watched, now: datetime
) -> AsyncIterator[NoticedConcern]:
    for source in watched.sources:
        if await has_applied_since(session, source, now - watched.longest_silence):
            continue
        if await last_received(session, source) is None:
            key = ConcernKey(ConcernKind.NEVER_RECEIVED, source)
            detail = "Nothing has ever come from this source."
            yield NoticedConcern(key, 1, detail, ripens=watched.longest_silence)
            continue
        last = await last_applied(session, source)
        detail = (
            f"No event has been applied since {_moment(last)}."
            if last
            else ("Events come, and none of them could be applied.")
        )
        key = ConcernKey(ConcernKind.SILENCE, source)
        # One that has never been applied may have come just now.
        ripens = timedelta(0) if last else watched.longest_silence
        yield NoticedConcern(key, 1, detail, last, ripens)


async def _of_runs(
    session: ReadSession, watched: Watched, now: datetime
) -> AsyncIterator[NoticedConcern]:
    for source, held in (await held_by_source(session)).items():
        detail = f"{held.number} removal(s) are held back."
        key = ConcernKey(ConcernKind.HELD, source)
        yield NoticedConcern(key, held.number, detail, held.since)
    for source, missed in (await missed_since(session, now - DAY)).items():
        if missed:
            detail = f"{missed} change(s) of the last day were told by no webhook."
            yield NoticedConcern(ConcernKey(ConcernKind.MISSED_WEBHOOKS, source), missed, detail)
    for source, run in (await last_runs(session, watched.sources)).items():
        key = ConcernKey(ConcernKind.DRIFT, source)
        if run.status is ReconciliationStatus.FAILED:
            detail = f"The last comparison failed: {run.detail or 'no reason is known'}"
            yield NoticedConcern(key, 1, detail, run.finished_at)
        elif beaten := await beaten_in(session, run.id):
            detail = f"{beaten} difference(s) of the last comparison were left as they are."
            yield NoticedConcern(key, beaten, detail, run.finished_at)


def _of_register(faults: RegisterFaults, shared: int) -> list[NoticedConcern]:
    homeless = (faults.homeless_members or 0) + (faults.homeless_chapters or 0)
    counts = {
        ConcernKind.UNDECIDED_ROLES: (
            faults.undecided_roles,
            f"{faults.undecided_roles} role(s) give the access of a member until somebody decides.",
        ),
        ConcernKind.HOMELESS: (
            homeless,
            f"{faults.homeless_members} active member(s) and {faults.homeless_chapters} chapter(s) "
            "belong to nobody.",
        ),
        ConcernKind.CYCLE: (
            faults.in_cycle,
            f"{faults.in_cycle} chapters are below each other in a circle.",
        ),
        ConcernKind.SECOND_ROOT: (
            faults.second_roots or 0,
            f"{faults.second_roots} chapter(s) stand beside the national body.",
        ),
        ConcernKind.SHARED_MEMBER_NUMBER: (
            shared,
            f"{shared} member number(s) are those of several active members.",
        ),
    }
    return [
        NoticedConcern(ConcernKey(kind, ""), count, detail)
        for kind, (count, detail) in counts.items()
        if count
    ]


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
