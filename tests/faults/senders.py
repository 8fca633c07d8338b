"""Many senders at once, and what each of them was promised.

They follow Dataverse's rule: one retry, only on 502, 503 and 504. A connection that breaks is no
answer: the sender goes on to the next event.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import httpx

from app.settings import DEVELOPMENT_WEBHOOK_SECRET
from tests.faults.process import PATIENCE
from tests.support.builders import body_of, guid, organization, role
from tests.support.service import signed_headers
from tests.sync.model import Told

RETRIED = {502, 503, 504}
SOURCE = "portal"
CHAPTERS = ["HLF Oslo", "HLF Viken", "HLF Bergen", "HLF Vestland"]
CODES = ["member", "peer-mentor", "coordinator", "organization-administrator", "storyteller"]


@dataclass(slots=True)
class Sent:
    """An event, how often it went out, and how often it was answered in the 200s."""

    event_id: str
    event: dict[str, Any]
    tries: int = 0
    acknowledged: int = 0

    @property
    def told(self) -> Told:
        return Told(SOURCE, self.event_id, self.event)


class Story:
    """Events about few members, so that many concern the same one, not quite in order."""

    def __init__(self, chance: random.Random, members: int) -> None:
        self._chance = chance
        self._members = [f"Member {number}" for number in range(members)]
        self._start = datetime.now(UTC) - timedelta(days=3)
        self._told = 0

    def next(self) -> dict[str, Any]:
        self._told += 1
        type = self._chance.choices(
            [
                "membership-created",
                "membership-updated",
                "role-updated",
                "membership-deactivated",
                "membership-reactivated",
            ],
            [4, 4, 3, 1, 1],
        )[0]
        late = self._chance.choice([0, 0, 0, self._chance.uniform(0, 30)])
        when = self._start + timedelta(seconds=self._told - late)
        member = {"id": guid(self._chance.choice(self._members)), **self._profile()}
        return {
            "type": type,
            "timestamp": when.isoformat(),
            "data": {"member": member, **self._further(type)},
        }

    def _profile(self) -> dict[str, str | None]:
        fields = ["memberNumber", "givenName", "familyName", "email", "phone"]
        stated = self._chance.sample(fields, self._chance.randint(0, len(fields)))
        return {name: f"{name} {self._told}" for name in stated}

    def _further(self, type: str) -> dict[str, Any]:
        further: dict[str, Any] = {}
        if type == "membership-created" or self._chance.random() < 0.2:
            child, parent = self._chance.sample(CHAPTERS, 2)
            further["organization"] = organization(child, self._chance.choice([None, parent]))
        if type in ("membership-created", "role-updated"):
            codes = self._chance.sample(CODES, self._chance.randint(0, 3))
            further["roles"] = [
                role(code, self._chance.choice([None, *CHAPTERS])) for code in codes
            ]
        return further


@dataclass
class Senders:
    """Runs inside `async with`, and only while `go`; leaving it lets each finish its delivery."""

    url: str
    count: int
    chance: random.Random
    members: int = 40
    secret: str = DEVELOPMENT_WEBHOOK_SECRET
    sent: list[Sent] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)
    broken: int = 0
    without_retry_after: int = 0

    async def __aenter__(self) -> Self:
        self._story = Story(self.chance, self.members)
        self._go = asyncio.Event()
        self._leaving = False
        self._answered = asyncio.Condition()
        # The service closes what was idle for five seconds; a request on its way then is lost.
        limits = httpx.Limits(
            max_connections=None, max_keepalive_connections=self.count, keepalive_expiry=1
        )
        self._http = httpx.AsyncClient(timeout=PATIENCE, limits=limits)
        self._tasks = [asyncio.create_task(self._send_on()) for _ in range(self.count)]
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        self._leaving = True
        self._go.set()
        if kind is not None:
            for task in self._tasks:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=kind is not None)
        await self._http.aclose()

    def go(self) -> None:
        self._go.set()

    def pause(self) -> None:
        """No new deliveries; those that are under way go on."""
        self._go.clear()

    @property
    def acknowledged(self) -> list[Sent]:
        return [one for one in self.sent if one.acknowledged]

    async def acknowledgements(self, more: int) -> None:
        """Returns after so many further answers in the 200s."""
        await self._answers(lambda status: 200 <= status < 300, more)

    async def refusals(self, more: int) -> None:
        """Returns after so many further answers that ask to try again."""
        await self._answers(lambda status: status in RETRIED, more)

    async def _answers(self, counts: Any, more: int) -> None:
        def seen() -> int:
            return sum(number for status, number in self.answers.items() if counts(status))

        goal = seen() + more
        async with asyncio.timeout(PATIENCE), self._answered:
            await self._answered.wait_for(lambda: seen() >= goal or self._failed())
        for task in self._tasks:
            if task.done():
                await task

    def _failed(self) -> bool:
        return any(task.done() for task in self._tasks)

    async def _send_on(self) -> None:
        try:
            await self._go.wait()
            while not self._leaving:
                await self._deliver(self._next())
                await self._go.wait()
        finally:
            async with self._answered:
                self._answered.notify_all()

    def _next(self) -> Sent:
        """Sometimes one that was sent before: a portal tells things twice."""
        if self.sent and self.chance.random() < 0.1:
            return self.chance.choice(self.sent[-200:])
        one = Sent(f"evt_{len(self.sent):07}", self._story.next())
        self.sent.append(one)
        return one

    async def _deliver(self, one: Sent) -> None:
        if await self._post(one) in RETRIED:
            await self._post(one)

    async def _post(self, one: Sent) -> int | None:
        body = body_of(one.event)
        headers = signed_headers(body, one.event_id, self.secret)
        one.tries += 1
        try:
            answer = await self._http.post(
                f"{self.url}/webhooks/{SOURCE}", content=body, headers=headers
            )
        except (httpx.NetworkError, httpx.RemoteProtocolError):
            self.broken += 1
            return None
        self.answers[answer.status_code] += 1
        one.acknowledged += answer.is_success
        if answer.status_code in RETRIED and "retry-after" not in answer.headers:
            self.without_retry_after += 1
        async with self._answered:
            self._answered.notify_all()
        return answer.status_code
