"""The law of the portal: whatever is lost, repeated, reordered, refused or cut short, the members
end as the rows of the portal say."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.database import Database
from db.vocabulary import ActivationState
from sync.dataverse.access_tokens import FixedToken
from sync.dataverse.connected_portal import DataversePortal
from sync.dataverse.errors import PortalError
from sync.dataverse.reader import MessageReader
from sync.dataverse.web_api import WebApi
from sync.reconcile.guard import Guard
from sync.reconcile.poller import PortalPoller, Schedule
from sync.recording.record import record_deliveries
from sync.recording.worker import retry_due
from sync.simulator.dataverse.served_api import Fault, SimulatedWebApi
from tests.support.builders import guid
from tests.support.dataverse import TOKEN, WEB_ROLES, Dataverse, tables
from tests.support.opened import opened
from tests.sync.recorded_events import world_of

NAMES = ["Kari", "Per", "Mona"]
DAILY = Schedule(poll=timedelta(minutes=1), full=timedelta(days=1))
FAULTS = [
    Fault(HTTPStatus.TOO_MANY_REQUESTS, retry_after=1),
    Fault(HTTPStatus.SERVICE_UNAVAILABLE),
    Fault(HTTPStatus.UNAUTHORIZED),
    Fault(HTTPStatus.OK, body={"value": "garbled"}),
    Fault(HTTPStatus.OK, body={"value": [{}]}),
]

names = st.sampled_from(NAMES)
columns = st.fixed_dictionaries(
    {},
    optional={
        "firstname": st.sampled_from(["Kåre", "Liv", None]),
        "statecode": st.sampled_from([0, 1]),
        "new_ermedlem": st.booleans(),
        "new_verv": st.sampled_from([None, "100000000", "100000000,100000002"]),
    },
)
steps = st.one_of(
    st.tuples(st.just("put"), names, columns),
    st.tuples(st.just("put"), names, columns),
    st.tuples(st.just("delete"), names),
    st.tuples(st.just("role"), names, st.booleans()),
    st.tuples(st.just("link"), names),
    # The message of any earlier change, or of none: lost is what is never drawn.
    st.tuples(st.just("message"), names),
    st.tuples(st.just("retry")),
    st.tuples(st.just("poll")),
    st.tuples(st.just("day")),
    st.tuples(st.just("fault"), st.integers(0, 3), st.sampled_from(FAULTS)),
    st.tuples(st.just("expire")),
)


@dataclass
class Ahead:
    """A clock that runs ahead."""

    by: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.by


@dataclass
class History:
    """A portal, and a database that is told of it."""

    database: Database
    dataverse: Dataverse
    poller: PortalPoller
    portal: DataversePortal
    clock: Ahead
    messages: int = 0

    async def take(self, step: tuple[Any, ...]) -> None:
        kind, *given = step
        if kind == "put":
            self.dataverse.member(given[0], **given[1])
        elif kind == "delete":
            if guid(given[0]) in self.dataverse.tables.by_set["contacts"].rows:
                self.dataverse.tables.delete("contacts", guid(given[0]))
        elif kind == "role":
            self.role(*given)
        elif kind == "link":
            self.dataverse.tables.link("contacts", WEB_ROLES, guid(given[0]), name="Likeperson")
        elif kind == "message":
            await self.deliver(given[0])
        elif kind == "retry":
            await retry_due(self.database, self.clock, {"min-side": self.portal})
        elif kind == "poll":
            await self.poll()
        elif kind == "day":
            self.clock.by += timedelta(days=1)
            await self.poll()
        elif kind == "fault":
            self.dataverse.web.fail_after(*given)
        else:
            self.dataverse.web.end_links()

    def role(self, name: str, held: bool) -> None:
        id = guid(f"role of {name}")
        rows = self.dataverse.tables.by_set["new_vervs"].rows
        if held:
            given = {"new_contactid": guid(name), "new_vervtype": 100000003}
            self.dataverse.tables.put("new_vervs", id, **given)
        elif id in rows:
            self.dataverse.tables.delete("new_vervs", id)

    async def deliver(self, name: str) -> None:
        self.messages += 1
        body = {
            "MessageName": "Update",
            "PrimaryEntityName": "contact",
            "PrimaryEntityId": guid(name),
            "OrganizationId": "4ef5b371-e89e-e711-8122-000d3aa2331c",
            "OperationId": str(self.messages % 5),
            "InputParameters": [],
        }
        reader = MessageReader(self.dataverse.mapping(), reads_rows=True)
        now = datetime.now(UTC)
        read = reader("min-side", "", now, {}, json.dumps(body).encode())
        await record_deliveries(self.database, list(read))

    async def poll(self) -> None:
        # After an error, the next poll goes on from where this one began.
        with suppress(PortalError):
            await self.poller.poll()

    async def settle(self) -> None:
        """The portal is well again, and a day passes."""
        self.dataverse.web.faults.clear()
        self.clock.by += timedelta(days=2)
        while await retry_due(self.database, self.clock, {"min-side": self.portal}):
            pass
        await self.poller.poll()

    def truth(self) -> dict[str, tuple[bool, str | None, frozenset[str]]]:
        """By id: active, given name and role codes, by the rows alone."""
        contacts = self.dataverse.tables.by_set["contacts"]
        roles = self.dataverse.tables.by_set["new_vervs"].rows.values()
        told = {}
        for id, row in contacts.rows.items():
            if not row["new_ermedlem"] or row["statecode"] != 0:
                continue
            codes = {
                {"100000000": "member", "100000002": "coordinator"}[choice]
                for choice in (row["new_verv"] or "").split(",")
                if choice
            }
            held = any(role["new_contactid"] == id for role in roles)
            linked = id in contacts.links.get(WEB_ROLES, {})
            codes |= {"peer-mentor"} if held or linked else set()
            told[id] = (True, row["firstname"], frozenset(codes))
        return told


@asynccontextmanager
async def history(template: Path) -> AsyncIterator[History]:
    web = SimulatedWebApi(tables())
    web.accept(TOKEN)
    dataverse = Dataverse(web, "http://dataverse.example")

    async def no_sleep(seconds: float) -> None:
        pass

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "likeperson.db"
        shutil.copy(template, file)
        async with (
            opened(f"sqlite+aiosqlite:///{file}") as database,
            httpx.AsyncClient(transport=httpx.ASGITransport(web.app())) as http,
        ):
            api = WebApi(
                http, dataverse.url, FixedToken(TOKEN), page_size=2, attempts=2, sleep=no_sleep
            )
            ahead = Ahead()
            portal = DataversePortal(api, dataverse.mapping(), ahead)
            guard = Guard(count=1000, share=1)
            poller = PortalPoller(database, "min-side", portal, DAILY, guard, ahead)
            yield History(database, dataverse, poller, portal, ahead)


async def ends_as_the_portal_says(template: Path, taken: list[tuple[Any, ...]]) -> None:
    async with history(template) as told:
        for step in taken:
            await told.take(step)
        await told.settle()

        people = (await world_of(told.database)).people
        active = {
            id: (True, person.profile["givenName"], frozenset(code for code, _, _ in person.roles))
            for id, person in people.items()
            if person.state is ActivationState.ACTIVE
        }
        assert active == told.truth()


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(taken=st.lists(steps, max_size=14))
def test_members_end_as_the_rows_of_the_portal_say(
    sqlite_template: Path, taken: list[tuple[Any, ...]]
) -> None:
    asyncio.run(ends_as_the_portal_says(sqlite_template, taken))
