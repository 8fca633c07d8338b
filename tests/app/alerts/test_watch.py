"""Concerns that begin, last and end are told, each once, whichever process looks."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from app.alerts.alert_messages import AlertMessage
from app.alerts.quiet_hours import QuietHours
from app.alerts.watch import LEASE, REMINDER, SETTLED, AlertWatch
from db.database import Database
from db.vocabulary import ConcernKind
from sync.concerns.concern_texts import TEXTS
from sync.concerns.standing import StandingConcern
from tests.support.commands import ROOT
from tests.support.opened import opened

DEAD = StandingConcern(ConcernKind.DEAD, None, "2 event(s) could not be applied.")
SILENCE = StandingConcern(ConcernKind.SILENCE, "min-side")


@dataclass
class Mailbox:
    """Takes messages, or refuses them while it is closed."""

    messages: list[AlertMessage] = field(default_factory=list)
    closed: bool = False

    async def send(self, message: AlertMessage) -> int:
        if self.closed:
            return 0
        self.messages.append(message)
        return 1


class Story:
    """A watch with a clock and concerns that the test sets."""

    def __init__(self, database: Database, quiet: str | None = None) -> None:
        self.now = datetime(2026, 11, 26, 12, tzinfo=UTC)
        self.standing: list[StandingConcern] = []
        self.mailbox = Mailbox()
        self._database = database
        self._quiet = None if quiet is None else QuietHours.parse(quiet)

    def watch(self) -> AlertWatch:
        async def read() -> Sequence[StandingConcern]:
            return self.standing

        return AlertWatch(
            self._database,
            read,
            self.mailbox,
            lambda: self.now,
            quiet=self._quiet,
            link="https://sync.example/driftsstatus",
        )

    async def look(self, *standing: StandingConcern, after: timedelta = timedelta(0)) -> list[str]:
        """Looks with these concerns after so long; returns the bodies of what was told."""
        self.now += after
        self.standing = list(standing)
        before = len(self.mailbox.messages)
        await self.watch().look()
        return [message.body for message in self.mailbox.messages[before:]]


async def test_concern_is_told_when_it_begins_and_when_it_is_over_and_not_in_between(
    database_url: str,
) -> None:
    minute = timedelta(minutes=1)
    async with opened(database_url) as database:
        story = Story(database)

        (begun,) = await story.look(DEAD, SILENCE)
        between = await story.look(DEAD, SILENCE, after=minute)
        gone = await story.look(DEAD, after=minute)
        (over,) = await story.look(DEAD, after=SETTLED)
        later = await story.look(DEAD, after=minute)

    assert TEXTS["DEAD"].norwegian in begun
    assert TEXTS["DEAD"].english_advice in begun
    assert "[min-side]" in begun
    assert DEAD.detail in begun
    assert "https://sync.example/driftsstatus" in begun
    assert between == gone == later == []
    assert over.startswith("Over\n")
    assert "[min-side]" in over
    assert TEXTS["DEAD"].norwegian not in over


async def test_concern_that_comes_and_goes_is_told_once(database_url: str) -> None:
    async with opened(database_url) as database:
        story = Story(database)
        told = await story.look(DEAD)
        for _ in range(5):
            told += await story.look(after=SETTLED / 2)
            told += await story.look(DEAD, after=SETTLED / 4)

    assert len(told) == 1


async def test_concern_that_lasts_is_told_again_once_a_day(database_url: str) -> None:
    async with opened(database_url) as database:
        story = Story(database)
        await story.look(DEAD)

        told = [await story.look(DEAD, after=REMINDER / 4) for _ in range(8)]

    assert [len(bodies) for bodies in told] == [0, 0, 0, 1, 0, 0, 0, 1]
    assert "Varer ved" in told[3][0]


async def test_what_nobody_took_is_told_again(database_url: str) -> None:
    async with opened(database_url) as database:
        story = Story(database)
        story.mailbox.closed = True
        lost = await story.look(DEAD)
        story.mailbox.closed = False

        told = await story.look(DEAD, after=timedelta(seconds=30))

    assert lost == []
    assert len(told) == 1


async def test_several_processes_tell_once(database_url: str) -> None:
    async with opened(database_url) as one, opened(database_url) as other:
        story, second = Story(one), Story(other)
        story.standing = second.standing = [DEAD]
        second.mailbox = story.mailbox
        watches = [story.watch(), second.watch(), story.watch(), second.watch()]

        await asyncio.gather(*(watch.look() for watch in watches), return_exceptions=True)
        story.now = second.now = story.now + timedelta(seconds=30)
        await asyncio.gather(*(watch.look() for watch in watches), return_exceptions=True)

    assert len(story.mailbox.messages) == 1


async def test_process_that_died_while_it_told_is_followed_by_another(database_url: str) -> None:
    async with opened(database_url) as database:
        story = Story(database)

        async def dies(_message: AlertMessage) -> int:
            raise asyncio.CancelledError

        await story.look()
        story.standing = [DEAD]
        story.mailbox.send = dies  # type: ignore[assignment,method-assign]  # it is cut off
        with pytest.raises(asyncio.CancelledError):
            await story.watch().look()
        story.mailbox = Mailbox()

        told = await story.look(DEAD, after=LEASE)

    assert len(told) == 1


async def test_nobody_is_told_anything_in_quiet_hours_and_what_stands_at_their_end_is(
    database_url: str,
) -> None:
    async with opened(database_url) as database:
        story = Story(database, "22:00-07:00")
        story.now = datetime(2026, 11, 26, 21, 30, tzinfo=UTC)  # 22:30 in Oslo.
        night = await story.look(DEAD, SILENCE)
        morning = await story.look(DEAD, after=timedelta(hours=8, minutes=31))

    assert night == []
    (body,) = morning
    assert TEXTS["DEAD"].norwegian in body
    assert TEXTS["SILENCE"].norwegian not in body


@pytest.mark.parametrize(
    ("hours", "quiet"),
    [("22:00-07:00", [22, 23, 0, 6]), ("08:00-16:00", [8, 15]), ("00:00-01:00", [0])],
)
def test_quiet_hours_are_those_of_oslo_in_summer_and_winter(hours: str, quiet: list[int]) -> None:
    span = QuietHours.parse(hours)

    for month, offset in ((1, 1), (7, 2)):
        midnight = datetime(2026, month, 2, tzinfo=UTC) - timedelta(hours=offset)
        held = [it for it in range(24) if span.hold(midnight + timedelta(hours=it))]
        assert sorted(held) == sorted(quiet) or set(quiet) <= set(held)
        assert len(held) == {"22:00-07:00": 9, "08:00-16:00": 8, "00:00-01:00": 1}[hours]


@pytest.mark.parametrize("text", ["", "22", "22:00", "22:00-", "25:00-07:00", "07:00-07:00", "x-y"])
def test_what_are_no_hours_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="22:00-07:00"):
        QuietHours.parse(text)


def test_every_kind_of_concern_has_a_message_in_both_languages() -> None:
    schema = (ROOT / "schema" / "schema.graphql").read_text(encoding="utf-8")
    listed = re.search(
        r"^enum (?:SyncConcern|ConcernKind) \{$(.*?)^\}", schema, re.MULTILINE | re.DOTALL
    )
    assert listed is not None
    kinds = set(re.findall(r"^  ([A-Z_]+)$", listed[1], re.MULTILINE))

    assert kinds
    assert kinds <= TEXTS.keys()
    for text in TEXTS.values():
        assert text.norwegian != text.english
        assert text.norwegian_advice.endswith(".")
        assert text.english_advice.endswith(".")
