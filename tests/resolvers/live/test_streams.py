"""Streams that subscribers share: what is the same for many is done once, and nobody notices."""

import asyncio
import gc
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest

from db.errors import DatabaseUnavailableError
from db.feed import changes
from db.feed.change_feed import Listener, LiveFeed
from db.feed.changes import feed_head
from db.feed.retention import Keep, prune_changes
from db.publication import CommittedChange
from db.sessions import ReadSession
from db.vocabulary import MemberId, Position
from resolvers import members
from resolvers.live import shared_stream, streams
from resolvers.live.change_batch import ChangeBatch
from resolvers.live.projections import NO_MEMBER
from resolvers.live.shared_stream import SharedStream
from schema.types.opaque import row_id
from tests.support.bare_sockets import CHANGES, Socket, names, socket
from tests.support.builders import (
    created,
    deactivated,
    guid,
    organization,
    role,
    role_updated,
    updated,
)
from tests.support.opened import opened, put_back
from tests.support.service import DEADLINE, Service
from tests.support.statements import recorded

COORDINATORS = 5
# What a member's organization belongs to is read while the message is executed.
LOOKED_UP = CHANGES.replace("givenName phone", "givenName organization { parent { name } }")
VIEWER = "subscription { viewerChanges { __typename } }"
SET_ACCESS = """mutation { setRoleAccess(input: {code: "member", accessLevel: PEER_MENTOR}) {
  __typename } }"""


@asynccontextmanager
async def subscribed(
    service: Service, members: Sequence[str | None], query: str = CHANGES, **variables: Any
) -> AsyncIterator[list[Socket]]:
    """A socket for each of them, past its first heartbeat."""
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(socket(service, m)) for m in members]
        for one in sockets:
            await one.subscribe(query=query, **variables)
            await one.values(1)
        yield sockets


async def chapter_of_coordinators(service: Service) -> list[str]:
    coordinators = [f"Coordinator {number}" for number in range(COORDINATORS)]
    for name in coordinators:
        await service.tell(created(name, roles=[role("coordinator", "HLF Oslo")]))
    return coordinators


_moments = itertools.count(10)


async def statements_of_a_change(service: Service, sockets: Sequence[Socket]) -> int:
    """Of the delivery and of what it sets off; the feed polls meanwhile, so the fewest of some."""
    counts = []
    for when in itertools.islice(_moments, 4):
        with recorded() as statements:
            await service.tell(updated("Kari", when, profile={"phone": str(when)}))
            for one in sockets:
                await one.values(1)
        counts.append(len(statements))
    return min(counts)


async def test_subscribers_who_see_the_same_cost_the_database_no_more_than_one(
    service: Service,
) -> None:
    coordinators = await chapter_of_coordinators(service)
    await service.tell(created("Kari"))

    async with subscribed(service, coordinators[:1]) as one:
        alone = await statements_of_a_change(service, one)
    async with subscribed(service, coordinators) as all_of_them:
        together = await statements_of_a_change(service, all_of_them)

    assert together == alone


async def test_subscribers_share_wherever_they_began(service: Service) -> None:
    await service.tell(created("Kari", organization=organization("Oslo", "County")))

    async with subscribed(service, [None], LOOKED_UP) as one:
        alone = await statements_of_a_change(service, one)
    async with AsyncExitStack() as stack:
        sockets: list[Socket] = []
        for number in range(COORDINATORS):
            place = (await service.data("{ members { changeCursor } }"))["members"]["changeCursor"]
            opened = subscribed(service, [None], LOOKED_UP, after=place)
            sockets += await stack.enter_async_context(opened)
            await service.tell(created(f"Per {number}"))
            for each in sockets:
                await each.values(1)
        together = await statements_of_a_change(service, sockets)

    assert together == alone


async def test_subscribers_who_see_different_things_share_what_is_read(service: Service) -> None:
    coordinators = await chapter_of_coordinators(service)
    await service.tell(created("Kari"))

    async with subscribed(service, coordinators[:1]) as one:
        alone = await statements_of_a_change(service, one)
    async with subscribed(service, [coordinators[0], None, "Kari"]) as different:
        together = await statements_of_a_change(service, different)

    # Kari's own stream looks whether she still sees the same.
    assert together <= alone + 4


async def test_change_of_one_viewers_rights_ends_their_subscription_and_no_other(
    service: Service,
) -> None:
    first, *others = await chapter_of_coordinators(service)

    async with subscribed(service, [first, *others]) as (hers, *theirs):
        await service.tell(role_updated(first, 1, roles=[role("member")]))
        ((_, last),) = await hers.values(1)
        assert (await hers.received())["type"] == "complete"
        await service.tell(created("Kari"))
        told = [names(await one.values(2)) for one in theirs]

    assert last["reason"] == "ACCESS_CHANGED"
    assert told == [[("1", first), ("1", "Kari")]] * len(theirs)


async def test_one_viewer_who_becomes_inactive_takes_nobody_along(service: Service) -> None:
    first, *others = await chapter_of_coordinators(service)

    async with subscribed(service, [first, *others]) as (_, *theirs):
        await service.tell(deactivated(first, 1), created("Kari"))
        told = [names(await one.values(2)) for one in theirs]

    assert told == [[("1", first), ("1", "Kari")]] * len(theirs)


async def test_stream_that_is_cut_off_with_the_membership_is_no_error(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """Its viewer is being looked up at that moment, and nobody is there any more to be refused."""
    people = [f"Kari {number}" for number in range(5)]
    await service.tell(*(created(name) for name in people))

    for name in people:
        async with socket(service, name) as one:
            await one.subscribe(query="subscription { viewerChanges { __typename } }")
            await one.values(1)
            await service.tell(deactivated(name, 1))
            async with asyncio.timeout(DEADLINE):
                await one.connection.wait_closed()
        # A change of somebody else is read after all that, and in a batch of its own.
        await service.tell(created(f"{name}'s friend"))
    gc.collect()

    assert [r.getMessage() for r in caplog.records if r.levelname == "ERROR"] == []


async def test_subscriber_from_the_past_and_one_of_the_present_are_told_the_same(
    service: Service,
) -> None:
    async with subscribed(service, [None]) as (present,):
        await present.subscribe("place")
        ((_, place),) = await present.values(1)
        await present.send(type="complete", id="place")
        total = 30

        async def deliver() -> None:
            for number in range(total):
                await service.tell(created(f"M{number}"))

        delivering = asyncio.create_task(deliver())
        late = []
        async with AsyncExitStack() as stack:
            for _ in range(4):
                one = await stack.enter_async_context(socket(service))
                await one.subscribe(after=place["cursor"])
                late.append(asyncio.create_task(one.values(1 + total)))
                # As long as one takes, so that they begin in different places of the delivery.
                await service.data("{ members { changeCursor } }")
            live = await present.values(total)
            await delivering
            for told in await asyncio.gather(*late):
                assert told[1:] == live


async def test_subscriptions_with_other_variables_or_another_text_do_not_share(
    service: Service,
) -> None:
    await service.tell(created("Kari", organization=organization("Oslo")))
    await service.tell(created("Per", organization=organization("Bergen")))
    data = await service.data("{ organizations { edges { node { id name } } } }")
    ids = {e["node"]["name"]: e["node"]["id"] for e in data["organizations"]["edges"]}
    other_text = CHANGES.replace("givenName phone", "givenName")

    async with socket(service) as one:
        await one.subscribe("Oslo", organizationId=ids["Oslo"])
        await one.subscribe("Bergen", organizationId=ids["Bergen"])
        await one.subscribe("both", other_text)
        await one.values(3)
        await service.tell(updated("Kari", 1, profile={"phone": "1"}))
        first = dict(await one.values(2))
        await service.tell(updated("Per", 1, profile={"phone": "2"}))
        second = dict(await one.values(2))

    assert first["Oslo"]["member"] == {"givenName": "Kari", "phone": "1"}
    assert second["Bergen"]["member"] == {"givenName": "Per", "phone": "2"}
    assert first["both"]["member"] == {"givenName": "Kari"}


async def test_chapter_that_comes_below_the_one_asked_for_asks_to_resync(
    service: Service,
) -> None:
    """Its members have come into the filter without changing."""
    await service.tell(
        created("Kari", organization=organization("Oslo")),
        created("Per", organization=organization("Frogner")),
    )
    data = await service.data("{ organizations { edges { node { id name } } } }")
    ids = {e["node"]["name"]: e["node"]["id"] for e in data["organizations"]["edges"]}

    async with socket(service) as one:
        await one.subscribe("Oslo", organizationId=ids["Oslo"])
        await one.subscribe("all")
        await one.values(2)
        moved = organization("Frogner", "Oslo")
        await service.tell(updated("Per", 1, organization=moved, profile={"phone": "1"}))
        told = dict(await one.values(1))
        while len(told) < 2:
            message = await one.received()
            if message["type"] == "next":
                (told[message["id"]],) = message["payload"]["data"].values()

    assert told["Oslo"]["reason"] == "ACCESS_CHANGED"
    assert told["all"]["member"]["givenName"] == "Per"


async def test_database_that_was_put_back_asks_to_resync(service: Service) -> None:
    """What was told since may be another thing there, and what comes next stands in its place."""
    await service.tell(created("Kari"))

    async with subscribed(service, [None]) as (one,), opened(service.settings.database_url) as db:
        await service.tell(*(created(f"Member {number}") for number in range(3)))
        await one.values(3)
        async with db.read() as session:
            head = await feed_head(session)
        await put_back(db, head.position - 3)
        await service.tell(created("Ola"))
        ((_, told),) = await one.values(1)

    assert told["reason"] == "CURSOR_EXPIRED"


async def test_subscriptions_whose_variables_decide_what_is_told_do_not_share(
    service: Service,
) -> None:
    query = CHANGES.replace("subscription (", "subscription ($phone: Boolean!, ")
    query = query.replace("givenName phone", "givenName phone @include(if: $phone)")

    async with socket(service) as one:
        await one.subscribe("with", query, phone=True)
        await one.subscribe("without", query, phone=False)
        await one.values(2)
        await service.tell(created("Kari", profile={"givenName": "Kari", "phone": "1"}))
        told = dict(await one.values(2))

    assert told["with"]["member"] == {"givenName": "Kari", "phone": "1"}
    assert told["without"]["member"] == {"givenName": "Kari"}


async def test_who_is_seen_by_a_role_alone_is_shown_though_no_roles_are_asked_for(
    service: Service,
) -> None:
    await service.tell(
        created(
            "Ada", organization=organization("Oslo"), roles=[role("organization-administrator")]
        ),
        created("Kari", organization=organization("Bergen"), roles=[role("peer-mentor", "Oslo")]),
    )
    log = """subscription ($after: ChangeCursor) { syncLogChanges(after: $after) { __typename
        ... on SyncLogChange { entry { member { givenName } } } } }"""

    async with subscribed(service, ["Ada"]) as (hers,):
        await service.tell(updated("Kari", 1, profile={"phone": "1"}))
        ((_, change),) = await hers.values(1)
    place = (await service.data("{ members { changeCursor } }"))["members"]["changeCursor"]
    await service.tell(
        updated("Kari", 2, organization=organization("Oslo")),
        updated("Kari", 3, organization=organization("Bergen")),
    )
    async with subscribed(service, ["Ada"], log, after=place) as (hers,):
        ((_, entry),) = await hers.values(1)

    assert change["member"] == {"givenName": "Kari", "phone": "1"}
    assert entry["entry"] == {"member": {"givenName": "Kari"}}


class Reading:
    """What reads for subscribers, in the place of the real thing: it waits, or fails."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.begun = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.failures = 0

    async def __call__(self, *given: Any) -> Any:
        self.begun.set()
        await self.may_go_on.wait()
        if self.failures:
            self.failures -= 1
            raise DatabaseUnavailableError
        return await self._real(*given)


@pytest.mark.parametrize(
    ("query", "place"),
    [
        (CHANGES, "resolvers.live.change_batch.member_views"),
        (LOOKED_UP, "schema.types.loading.organizations_by_id"),
    ],
    ids=["before it is executed", "while it is executed"],
)
async def test_message_that_the_database_fails_comes_whole_and_later(
    service: Service, monkeypatch: pytest.MonkeyPatch, query: str, place: str
) -> None:
    module, _, name = place.rpartition(".")
    reading = Reading(getattr(import_module(module), name))
    reading.failures = 1
    reading.may_go_on.set()
    monkeypatch.setattr(place, reading)

    async with subscribed(service, [None], query) as (one,):
        await service.tell(created("Kari", organization=organization("Oslo", "County")))
        message = await one.received()

    assert reading.failures == 0
    assert "errors" not in message["payload"], message
    assert message["payload"]["data"]["memberChanges"]["member"]["givenName"] == "Kari"


async def test_subscriber_who_leaves_takes_no_reading_from_the_others(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    coordinator, *_ = await chapter_of_coordinators(service)
    reading = Reading(members.member_views)

    async with subscribed(service, [coordinator, None]) as (leaving, staying):
        monkeypatch.setattr("resolvers.live.change_batch.member_views", reading)
        await service.tell(created("Kari"))
        await reading.begun.wait()
        await leaving.send(type="complete", id="1")
        await leaving.send(type="ping")
        assert (await leaving.received())["type"] == "pong"
        reading.may_go_on.set()

        assert names(await staying.values(1)) == [("1", "Kari")]


@pytest.fixture
def _hasty_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the start of the service on."""
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.2)


@pytest.mark.usefixtures("_hasty_heartbeats")
async def test_heartbeats_come_again_and_again_and_carry_the_latest_place(
    service: Service,
) -> None:
    async with subscribed(service, [None, None]) as sockets:
        for one in sockets:
            ((_, heartbeat),) = await one.values(1)
            assert heartbeat["__typename"] == "StreamHeartbeat"
        await service.tell(created("Kari"))
        place = (await service.data("{ members { changeCursor } }"))["members"]["changeCursor"]
        for one in sockets:
            told: list[dict[str, Any]] = []
            while [value["__typename"] for value in told[-2:]] != ["StreamHeartbeat"] * 2:
                told += [value for _, value in await one.values(1)]

            assert told[-1]["cursor"] == place
            assert [v["operation"] for v in told if v["__typename"] == "MemberChange"] == ["ADDED"]


@pytest.mark.usefixtures("_hasty_heartbeats")
async def test_heartbeats_tell_the_time(service: Service) -> None:
    query = "subscription { viewerChanges { ... on StreamHeartbeat { serverTime } } }"

    async with subscribed(service, [None], query) as (one,):
        times = [value["serverTime"] for _, value in await one.values(12)]

    assert len(set(times)) > 1
    assert times == sorted(times)


async def test_chapter_that_came_below_the_one_asked_for_meanwhile_asks_to_resync(
    service: Service,
) -> None:
    await service.tell(
        created("Kari", organization=organization("Oslo")),
        created("Per", organization=organization("Frogner")),
    )
    data = await service.data("{ organizations { edges { node { id name } } } }")
    ids = {e["node"]["name"]: e["node"]["id"] for e in data["organizations"]["edges"]}
    place = (await service.data("{ members { changeCursor } }"))["members"]["changeCursor"]
    await service.tell(updated("Per", 1, organization=organization("Frogner", "Oslo")))

    async with socket(service) as one:
        await one.subscribe("Oslo", organizationId=ids["Oslo"], after=place)
        told = [value for _, value in await one.values(2)]

    assert told[1]["reason"] == "ACCESS_CHANGED"


async def test_heartbeat_follows_many_changes_that_the_viewer_may_not_see(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_stream, "HIDDEN_CHANGES", 10)
    await service.tell(created("Kari"))

    async with subscribed(service, ["Kari"]) as (hers,):
        for number in range(20):
            await service.tell(created(f"M{number}"))
        ((_, heartbeat),) = await hers.values(1)
        assert heartbeat["__typename"] == "StreamHeartbeat"
        await service.tell(updated("Kari", 1, profile={"phone": "1"}))
        await hers.subscribe("2", after=heartbeat["cursor"])
        told = names([value for value in await hers.values(3) if "member" in value[1]])

    assert sorted(told) == [("1", "Kari"), ("2", "Kari")]


async def test_messages_look_the_same_whether_or_not_they_hold_what_must_be_looked_up(
    service: Service,
) -> None:
    """What can be read off the member is written in a shorter way than what has a resolver."""
    fields = "__typename id displayName state updatedAt roles { role { accessLevel } since }"
    plain = CHANGES.replace("givenName phone", f"givenName {fields}")
    looked_up = plain.replace(fields, f"{fields} organization {{ name parent {{ name }} }}")

    async with socket(service) as one:
        await one.subscribe("plain", plain)
        await one.subscribe("looked up", looked_up)
        await one.values(2)
        await service.tell(created("Kari", organization=organization("Oslo", "County")))
        told = dict(await one.values(2))

    assert told["looked up"]["member"].pop("organization")["name"] == "Oslo"
    assert told["looked up"] == told["plain"]
    assert list(told["plain"]["member"]) == [
        "givenName", "__typename", "id", "displayName", "state", "updatedAt", "roles"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("resolvers.live.change_batch.member_views", id="while it runs"),
        pytest.param("schema.subscriptions.member_filter", id="while it begins"),
    ],
)
async def test_surprise_on_the_way_to_a_subscriber_is_logged_and_not_told(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, place: str
) -> None:
    def surprise(*_: object) -> None:
        raise TypeError("Nobody is to read this.")

    monkeypatch.setattr(place, surprise)

    async with socket(service) as one:
        await one.subscribe()
        await service.tell(created("Kari"))
        told = await one.received()
        if "data" in told["payload"] and told["payload"]["data"]:
            told = await one.received()  # That was the first heartbeat.

    (error,) = told["payload"] if told["type"] == "error" else told["payload"]["errors"]
    assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    assert "Nobody" not in str(told)
    (logged,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "Nobody is to read this." in str(logged.exc_info)


@pytest.mark.parametrize("kept", [0, 1], ids=["all of them", "the first of them"])
async def test_changes_pruned_before_a_subscriber_catches_up_ask_to_resync(
    service: Service, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    place = (await service.data("{ members { changeCursor } }"))["members"]["changeCursor"]
    await service.tell(created("Kari"), created("Per"))

    async with opened(service.settings.database_url) as database:

        async def pruned_and_read(
            session: ReadSession, position: Position, *, limit: int
        ) -> list[CommittedChange]:
            await prune_changes(database, Keep(timedelta(days=1), kept), datetime.now(UTC))
            async with database.read() as later:
                return await changes.changes_after(later, position, limit=limit)

        monkeypatch.setattr("resolvers.live.shared_stream.changes_after", pruned_and_read)
        async with socket(service) as one:
            await one.subscribe(after=place)
            told = [value for _, value in await one.values(2)]
            end = await one.received()

    assert told[0] == {"__typename": "StreamHeartbeat", "cursor": place}
    assert (told[1]["__typename"], told[1]["reason"]) == ("ResyncRequired", "CURSOR_EXPIRED")
    assert end["type"] == "complete"


@pytest.fixture
def lost_by_the_process(monkeypatch: pytest.MonkeyPatch) -> set[Position]:
    """Positions that live streams are not told of, as if the process had read the feed too late."""
    lost: set[Position] = set()
    subscribe = LiveFeed.subscribe

    def forgetful(
        feed: LiveFeed, listener: Listener, on_feed_replaced: Callable[[], None]
    ) -> AbstractContextManager[None]:
        def heard(found: Sequence[CommittedChange]) -> None:
            if rest := [change for change in found if change.position not in lost]:
                listener(rest)

        return subscribe(feed, heard, on_feed_replaced)

    monkeypatch.setattr(LiveFeed, "subscribe", forgetful)
    return lost


async def lose_the_next(service: Service, lost: set[Position], count: int) -> None:
    async with opened(service.settings.database_url) as database, database.read() as session:
        head = (await feed_head(session)).position
    lost.update(Position(head + number + 1) for number in range(count))


async def test_changes_that_the_process_missed_are_read_from_the_database(
    lost_by_the_process: set[Position], service: Service
) -> None:
    async with subscribed(service, [None]) as (one,):
        await lose_the_next(service, lost_by_the_process, 2)
        await service.tell(created("Kari"), created("Per"), created("Ola"))
        told = names(await one.values(3))
        await service.tell(created("Anne"))
        told += names(await one.values(1))

    assert told == [("1", name) for name in ("Kari", "Per", "Ola", "Anne")]


async def test_stream_reads_only_the_changes_that_came_after_it_was_live(
    lost_by_the_process: set[Position], service: Service
) -> None:
    await service.tell(created("Kari"))

    async with subscribed(service, ["Kari"]) as (hers,):
        await service.tell(created("Per"), created("Ola"))
        async with opened(service.settings.database_url) as database:
            await prune_changes(database, Keep(timedelta(days=1), 0), datetime.now(UTC))
        await lose_the_next(service, lost_by_the_process, 1)
        await service.tell(updated("Kari", 1, profile={"phone": "1"}), created("Anne"))

        assert names(await hers.values(1)) == [("1", "Kari")]


async def test_stream_with_too_long_a_backlog_reads_it_from_the_database(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = Reading(members.member_views)
    everybody = [f"M{number}" for number in range(6)]
    positions: list[Position] = []

    async def noted(
        session: ReadSession, position: Position, *, limit: int
    ) -> list[CommittedChange]:
        positions.append(position)
        return await changes.changes_after(session, position, limit=limit)

    async with subscribed(service, [None]) as (one,):
        monkeypatch.setattr(shared_stream, "MAX_BACKLOG", 2)
        monkeypatch.setattr("resolvers.live.shared_stream.changes_after", noted)
        monkeypatch.setattr("resolvers.live.change_batch.member_views", reading)
        for name in everybody:
            await service.tell(created(name))
        await reading.begun.wait()
        reading.may_go_on.set()
        told = names(await one.values(len(everybody)))
        await service.tell(created("Kari"))
        told += names(await one.values(1))

    assert told == [("1", name) for name in [*everybody, "Kari"]]
    assert positions


@pytest.fixture
def offers(monkeypatch: pytest.MonkeyPatch) -> Counter[MemberId | None]:
    """How often changes were offered to streams of one member, or to those that are for anybody."""
    counts: Counter[MemberId | None] = Counter()
    offer = SharedStream.offer

    def counted(stream: SharedStream[Any], batch: ChangeBatch, due: list[CommittedChange]) -> None:
        counts[stream.selection.projection.only_member] += 1
        offer(stream, batch, due)

    monkeypatch.setattr(SharedStream, "offer", counted)
    return counts


async def member_id(service: Service, name: str) -> MemberId:
    query = "query ($id: String!) { member(by: {portalId: $id}) { id } }"
    found = await service.data(query, id=guid(name))
    return MemberId(row_id(found["member"]["id"], "Member", "id"))


async def test_streams_of_one_member_are_offered_the_changes_of_that_member_alone(
    service: Service, offers: Counter[MemberId | None]
) -> None:
    await service.tell(created("Kari"), created("Per"))
    ids = {name: await member_id(service, name) for name in ("Kari", "Per")}

    async with AsyncExitStack() as stack:
        sockets = {m: await stack.enter_async_context(socket(service, m)) for m in ids}
        operators = await stack.enter_async_context(socket(service))
        for one in [*sockets.values(), operators]:
            await one.subscribe("viewer", VIEWER)
        for one in sockets.values():
            await one.subscribe("members")
            await one.values(2)
        await operators.values(1)
        offers.clear()
        await service.tell(updated("Kari", 1, profile={"phone": "1"}))
        told = await sockets["Kari"].values(2)
        of_one_member = dict(offers)
        await service.data(SET_ACCESS)
        for one in [*sockets.values(), operators]:
            await one.values(1)

    assert {id for id, _ in told} == {"viewer", "members"}
    assert of_one_member == {ids["Kari"]: 2}
    assert set(offers) == {*ids.values(), NO_MEMBER}
