"""Compares what a source says with what is known, and records what differs as events of the
source.

Everything is read twice: first to find wrong lines and to count what would be taken away, then to
apply. So nothing is written of a file with a wrong line, and the deletion guard decides beforehand.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import chain, islice
from typing import TypeVar

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from db.database import Database
from db.queries.log.source_activity import RECONCILED
from db.queries.members.forgotten_persons import Tombstone, tombstones
from db.queries.members.known_members import (
    KnownOrganization,
    active_members_of,
    deactivations_since,
    known_members,
    known_organizations,
)
from db.queries.members.merges import survivors
from db.queries.runs.reconciliations import (
    Drift,
    RunCounts,
    add_drift,
    begin_run,
    drop_held,
    end_run,
    fail_run,
    held_items,
    hold,
    note_compared,
)
from db.vocabulary import (
    ActivationState,
    AttemptTrigger,
    DriftAction,
    PortalId,
    ReconciliationKind,
    SyncOutcome,
    SyncStatus,
)
from sync.applying.draft import STATE
from sync.events import Event, EventType, OrganizationStatement
from sync.reconcile.comparison import Difference, Why, compare
from sync.reconcile.files import Line, WrongLine
from sync.reconcile.guard import Guard, Removals
from sync.reconcile.holding import Holding
from sync.recording.deliveries import Delivery, Receipt, read_delivery
from sync.recording.record import record_deliveries

T = TypeVar("T")
BATCH = 100
CHUNK = 500
MOST_SHOWN = 1000
"""How many wrong lines and differences a report lists; beyond, it only counts them."""
DAY = timedelta(hours=24)
_ON_THE_WAY = timedelta(seconds=10)
"""How long a webhook may take, before it counts as missed."""
_LONGEST_DETAIL = 1000
NOTED_EVERY = 5000
"""After how many members a run notes how far it is, for those who look at it."""
_ACTIONS = {
    Why.COUNTS: DriftAction.APPLIED,
    Why.BEATEN: DriftAction.BEATEN,
    Why.CORRECTED: DriftAction.CORRECTED,
    Why.DISCARDED: DriftAction.DISCARDED,
}


@dataclass(frozen=True, slots=True)
class Options:
    """`complete`: who is not among the lines is no member. `release`: a person has overruled the
    deletion guard."""

    complete: bool = True
    dry_run: bool = False
    skip_wrong: bool = False
    release: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """A comparison to be made. `lines` gives the lines as often as it is called, as of `at`;
    `origin` says where they are from. `run` is the run that was begun for it, and `told`: a webhook
    should have told what differs."""

    source: str
    lines: Callable[[], Iterator[Line | WrongLine]]
    origin: str
    at: datetime
    options: Options = Options()
    kind: ReconciliationKind = ReconciliationKind.FILE
    run: int | None = None
    told: bool = False


@dataclass(slots=True)
class Report:
    """The findings and deeds of a run. The counts are of members; `differences` and `wrong` are the
    first of them."""

    read: int = 0
    equal: int = 0
    new: int = 0
    changed: int = 0
    deactivated: int = 0
    missing_there: int = 0
    out_of_scope: int = 0
    beaten: int = 0
    corrected: int = 0
    missed: int = 0
    held_memberships: int = 0
    held: list[str] = field(default_factory=list)
    held_because: str | None = None
    wrong_count: int = 0
    wrong: list[WrongLine] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    differing: int = 0
    outcomes: Counter[SyncOutcome] = field(default_factory=Counter)
    failed: int = 0

    @property
    def has_news(self) -> bool:
        """True if something that differs counts."""
        return bool(self.new or self.changed or self.deactivated)

    def add(self, difference: Difference) -> None:
        self.differing += 1
        if len(self.differences) < MOST_SHOWN:
            self.differences.append(difference)
        reasons = {one.why for one in difference.fields}
        self.beaten += Why.BEATEN in reasons
        self.corrected += Why.CORRECTED in reasons
        if not difference.counts:
            return
        if not difference.known:
            self.new += 1
        elif difference.deactivates:
            self.deactivated += 1
        else:
            self.changed += 1


Progress = Callable[[str, int], None]
"""Told what is being done and how many lines that was done with."""


async def reconcile(
    database: Database,
    request: Request,
    guard: Guard,
    clock: Callable[[], datetime],
    progress: Progress = lambda doing, lines: None,
) -> Report:
    """Compares, and applies what differs; a dry run only says so. The run is recorded.

    Raises FileFormatError, OSError or DatabaseUnavailableError.
    """
    run = _Run(database, request, guard, clock, progress)
    if request.run is not None:
        await run.complete(request.run)
    else:
        dry_run = request.options.dry_run
        async with recorded_run(
            database, request.source, request.kind, clock, dry_run=dry_run
        ) as id:
            await run.complete(id)
    return run.report


@asynccontextmanager
async def recorded_run(
    database: Database,
    source: str,
    kind: ReconciliationKind,
    clock: Callable[[], datetime],
    *,
    dry_run: bool = False,
) -> AsyncIterator[int]:
    """Records a run that begins here. Leaving it with an error says so of the run."""
    async with database.write() as session:
        id = await begin_run(session, source, kind, clock(), dry_run=dry_run)
    try:
        yield id
    except Exception as error:
        detail = (str(error) or type(error).__name__)[:_LONGEST_DETAIL]
        async with database.write() as session:
            await fail_run(session, id, detail, clock())
        raise


class _Run:
    def __init__(
        self,
        database: Database,
        request: Request,
        guard: Guard,
        clock: Callable[[], datetime],
        progress: Progress,
    ) -> None:
        self._database = database
        self._request = request
        self._guard = guard
        self._clock = clock
        self._progress = progress
        self._organizations: dict[PortalId, KnownOrganization] = {}
        self._first_line: dict[PortalId, int] = {}
        self._absent: list[PortalId] = []
        self._holding = Holding(())
        self._merged: dict[PortalId, PortalId] = {}
        self._stand_ins: list[Line] = []
        self._id: int | None = None
        self.report = Report()

    async def complete(self, id: int) -> None:
        """Does everything, and records it as the run with this id."""
        self._id = id
        await self.survey()
        options = self._request.options
        if self.report.wrong_count and not (options.skip_wrong or options.dry_run):
            async with self._database.write() as session:
                detail = f"{self.report.wrong_count} lines are wrong, so nothing was applied."
                await fail_run(session, id, detail, self._clock())
            return
        if self._request.options.dry_run:
            await self._keep_drift(id)
        else:
            await self._settle(id)
            if self.report.has_news:
                await self._apply()
        async with self._database.write() as session:
            await end_run(session, id, self._counts(), self._clock())

    async def _settle(self, id: int) -> None:
        """Keeps what differs and what is held, before anything is applied."""
        now = self._clock()
        held = self._holding.held(self._request.source, id, self._request.at, now)
        over = self._holding.over(self._was_compared)
        drift = list(self._drift())
        if held or over or drift:
            async with self._database.write() as session:
                await drop_held(session, over)
                await hold(session, held)
                await add_drift(session, id, drift)

    async def _keep_drift(self, id: int) -> None:
        drift = list(self._drift())
        if drift:
            async with self._database.write() as session:
                await add_drift(session, id, drift)

    def _was_compared(self, portal_id: PortalId) -> bool:
        return self._request.options.complete or portal_id in self._first_line

    def _drift(self) -> Iterator[Drift]:
        for difference in self.report.differences:
            id = difference.portal_id
            for one in difference.fields:
                action = _ACTIONS[one.why]
                if one.why is Why.COUNTS and self._request.options.dry_run:
                    action = DriftAction.FOUND
                elif one.why is Why.COUNTS and self._holding.holds(id, one.field):
                    action = DriftAction.HELD
                yield Drift(id, one.field, one.there, one.here, action)

    def _counts(self) -> RunCounts:
        report = self.report
        held = len(report.held)
        return RunCounts(
            compared=report.read + report.missing_there,
            created=report.new,
            updated=report.changed,
            deactivated=max(0, report.deactivated - report.held_memberships),
            missing=report.missing_there,
            missed=report.missed,
            held=held,
            unlisted=report.differing - len(report.differences),
        )

    async def survey(self) -> None:
        """Reads and compares everything, and writes nothing."""
        async with self._database.read() as session:
            self._organizations = await known_organizations(session)
            self._holding = Holding(await held_items(session, self._request.source))
        removals = Removals()
        of_merged: list[Line] = []
        async for line, difference in self._compared("Comparing", self._read_and_check()):
            self.report.read += 1
            if self._id is not None and self.report.read % NOTED_EVERY == 0:
                async with self._database.write() as session:
                    await note_compared(session, self._id, self.report.read)
            if line.event.member_id in self._merged:
                of_merged.append(line)
            else:
                self._judge(line, difference, removals)
        self._let_stand_in(of_merged)
        async for line, difference in self._compared("Comparing", iter(self._stand_ins)):
            self._judge(line, difference, removals)
        await self._look_for_absent(removals)
        if self._request.options.release:
            return
        verdict = self._guard.verdict(removals)
        self._holding.decide(everything=verdict is not None)
        self.report.held = self._holding.names()
        self.report.held_memberships = sum(
            self._holding.holds(one.portal_id, STATE) for one in removals.differences
        )
        if self.report.held:
            self.report.held_because = verdict or "they were held before, and nobody has decided"

    def _judge(self, line: Line, difference: Difference | None, removals: Removals) -> None:
        if difference is None:
            self.report.equal += 1
        elif _is_out_of_scope(line, difference):
            self.report.out_of_scope += 1
        else:
            self._note(line, difference, removals)

    def _let_stand_in(self, of_merged: Sequence[Line]) -> None:
        """Takes a line of an id that was merged into another one for one of the person who lives
        on, if none has the other id.

        Not in a delta: it tells that the merged row has ended, and of the other one nothing. No
        more does the end of a membership count in a file that is not complete.
        """
        is_delta = self._request.kind is ReconciliationKind.DELTA
        for line in of_merged:
            survivor = self._merged[line.event.member_id]
            ends = line.event.state is ActivationState.INACTIVE
            if (
                is_delta
                or survivor in self._first_line
                or (ends and not self._request.options.complete)
            ):
                self.report.out_of_scope += 1
                continue
            self._first_line[survivor] = line.number
            event = replace(line.event, member_id=survivor)
            self._stand_ins.append(Line(line.number, event, line.body, line.dated))

    def _note(self, line: Line, difference: Difference, removals: Removals) -> None:
        self.report.add(difference)
        happened_at = line.event.happened_at
        due = happened_at is None or happened_at < self._request.at - _ON_THE_WAY
        self.report.missed += difference.counts and self._request.told and due
        removals.add(difference)
        self._holding.find(difference)

    def _read_and_check(self) -> Iterator[Line]:
        """Yields the lines that can be read; the others go into the report."""
        for line in self._request.lines():
            if isinstance(line, WrongLine):
                self._add_wrong(line)
                continue
            known = self._first_line.setdefault(line.event.member_id, line.number)
            if known != line.number:
                reason = f"is about {line.event.member_id}, as line {known} is"
                self._add_wrong(WrongLine(line.number, reason))
                continue
            yield line

    def _add_wrong(self, line: WrongLine) -> None:
        self.report.wrong_count += 1
        if len(self.report.wrong) < MOST_SHOWN:
            self.report.wrong.append(line)

    async def _look_for_absent(self, removals: Removals) -> None:
        since = self._clock() - DAY
        async with self._database.read() as session:
            removals.earlier = await deactivations_since(session, self._request.source, since)
            async for member in active_members_of(session, self._request.source):
                removals.active[member.home] += 1
                if self._request.options.complete and member.portal_id not in self._first_line:
                    self._absent.append(member.portal_id)
        async for line, difference in self._absent_differences():
            self._note(line, difference, removals)
            self.report.missing_there += difference.counts

    async def _absent_differences(self) -> AsyncIterator[tuple[Line, Difference]]:
        lines = (self._line_of_absence(portal_id) for portal_id in self._absent)
        async for line, difference in self._compared("Looking for who is missing", lines):
            if difference is not None:
                yield line, difference

    def _line_of_absence(self, portal_id: PortalId) -> Line:
        """Returns the line by which a complete file states that somebody who is absent is no
        member."""
        document = {
            "type": EventType.MEMBERSHIP_DEACTIVATED,
            "timestamp": self._request.at.astimezone(UTC).isoformat(),
            "data": {
                "member": {"id": portal_id},
                "reason": f"Not in {self._request.origin}.",
            },
        }
        body = msgspec.json.encode(document)
        content = read_delivery(self._request.source, "", self._request.at, body).content
        return Line(0, content, body, dated=False)  # type: ignore[arg-type]  # it is an event

    async def _compared(
        self, doing: str, lines: Iterator[Line]
    ) -> AsyncIterator[tuple[Line, Difference | None]]:
        done = 0
        for chunk in chunks(lines, CHUNK):
            async with self._database.read() as session:
                ids = [line.event.member_id for line in chunk]
                known = await known_members(session, ids)
                merged = await session.find(survivors(ids))
                forgotten = await session.find(tombstones(ids))
            self._merged.update(merged)
            for line in chunk:
                if line.event.member_id in merged:
                    # Whether it says anything of the person is known once all lines are read.
                    yield line, None
                    continue
                member = known.get(line.event.member_id)
                if member is None and _is_out(line.event, forgotten):
                    # Drift lines would tell of the person again.
                    yield line, None
                    continue
                difference = compare(line.event, member, self._organizations, dated=line.dated)
                self._learn(line.event.organization)
                if difference is not None:
                    difference = self._holding.without_discarded(difference)
                yield line, difference
            done += len(chunk)
            self._progress(doing, done)

    def _learn(self, stated: OrganizationStatement | UnsetType | None) -> None:
        """Leaves the news of a chapter, which every line repeats, to the first line."""
        if isinstance(stated, OrganizationStatement):
            known = self._organizations.get(stated.id, KnownOrganization(None, None))
            name = stated.name if isinstance(stated.name, str) else known.name
            parent = known.parent if stated.parent_id is UNSET else stated.parent_id
            self._organizations[stated.id] = KnownOrganization(name, parent)

    async def _apply(self) -> None:
        """Records what differs and counts, without what is held."""
        async with self._database.read() as session:
            self._organizations = await known_organizations(session)
        lines = (
            line
            for line in self._request.lines()
            if isinstance(line, Line) and self._first_line.get(line.event.member_id) == line.number
        )
        absent = (self._line_of_absence(portal_id) for portal_id in self._absent)
        waiting: list[Delivery] = []
        for doing, source in (
            ("Applying", chain(lines, self._stand_ins)),
            ("Ending memberships", absent),
        ):
            async for line, difference in self._compared(doing, source):
                if difference is None or not difference.counts:
                    continue
                if _is_out_of_scope(line, difference):
                    continue
                body = self._body(line, difference)
                if body is not None:
                    waiting.append(self._delivery(body))
                if len(waiting) == BATCH:
                    await self._record(waiting)
                    waiting = []
        if waiting:
            await self._record(waiting)

    def _body(self, line: Line, difference: Difference) -> bytes | None:
        """Returns the event of the line, without what is held, discarded or corrected; None if
        nothing is left of it."""
        left_out = {
            one.field
            for one in difference.fields
            if one.why in (Why.CORRECTED, Why.DISCARDED)
            or self._holding.holds(difference.portal_id, one.field)
        }
        if not left_out:
            return line.body
        if line.number == 0:
            return None
        document = msgspec.json.decode(line.body)
        data = document["data"]
        if document["type"] != EventType.MEMBERSHIP_STATED:
            return None
        for name in left_out:
            data.pop(name, None)
            data["member"].pop(name, None)
        left = {one.field for one in difference.fields if one.why is Why.COUNTS} - left_out
        return msgspec.json.encode(document) if left else None

    def _delivery(self, body: bytes) -> Delivery:
        event_id = f"{RECONCILED}{sha256(body).hexdigest()[:40]}"
        delivery = read_delivery(self._request.source, event_id, self._clock(), body)
        return replace(delivery, trigger=AttemptTrigger.RECONCILIATION)

    async def _record(self, deliveries: Sequence[Delivery]) -> None:
        for receipt in await record_deliveries(self._database, deliveries):
            self._count(receipt)

    def _count(self, receipt: Receipt) -> None:
        if receipt.outcome is not None:
            self.report.outcomes[receipt.outcome] += 1
        self.report.failed += receipt.status is SyncStatus.FAILED


def _is_out_of_scope(line: Line, difference: Difference) -> bool:
    """Says whether the line is of somebody unknown here who is no member there."""
    return not difference.known and line.event.state is ActivationState.INACTIVE


def chunks(items: Iterator[T], size: int) -> Iterator[list[T]]:
    """Yields lists of this size, the last one shorter."""
    while chunk := list(islice(items, size)):
        yield chunk


def _is_out(event: Event, forgotten: Mapping[PortalId, Tombstone]) -> bool:
    """Returns True for a person who was forgotten and whom such a statement does not bring back."""
    tombstone = forgotten.get(event.member_id)
    if tombstone is None:
        return False
    return not tombstone.by_retention or event.state is ActivationState.INACTIVE
