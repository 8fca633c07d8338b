"""What changes in the portal holds at once: on every process, for requests, sockets and streams."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from app.settings import Settings
from tests.faults.process import ServiceProcess
from tests.support.answers import codes
from tests.support.builders import created, deactivated, reactivated, role, role_updated, updated
from tests.support.service import DEADLINE, Service
from tests.support.sockets import Socket, opened

MEMBERS = """subscription { memberChanges { __typename ... on ResyncRequired { reason }
    ... on MemberChange { operation member { givenName phone } } } }"""
VIEWER = """subscription { viewerChanges { __typename
    ... on ViewerChange { viewer { accessLevel } } } }"""
ME = "{ viewer { accessLevel member { givenName } } }"


@pytest.fixture
async def processes(postgres_url: str, tmp_path: Path) -> AsyncIterator[list[Service]]:
    """Two of them, on one database."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=DEADLINE))
        running = []
        for name in ("a", "b"):
            folder = tmp_path / name
            folder.mkdir()
            process = stack.enter_context(ServiceProcess(postgres_url, folder))
            process.start()
            running.append(process)
        await asyncio.gather(*(process.ready() for process in running))
        yield [Service(process.url, http) for process in running]


@asynccontextmanager
async def watching(service: Service, token: str, query: str) -> AsyncIterator[Socket]:
    """A socket with one subscription, past its first heartbeat."""
    async with opened(service.url, token) as socket:
        assert (await socket.next())["type"] == "connection_ack"
        await socket.subscribe("1", query)
        (message,) = (await socket.next())["payload"]["data"].values()
        assert message["__typename"] == "StreamHeartbeat"
        yield socket


@asynccontextmanager
async def event_stream(service: Service, token: str) -> AsyncIterator[AsyncIterator[str]]:
    """The lines of a subscription over SSE, past its first heartbeat."""
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
    url = f"{service.url}/graphql"
    async with service.http.stream("POST", url, json={"query": MEMBERS}, headers=headers) as answer:
        assert answer.status_code == 200
        lines = answer.aiter_lines()
        async for line in lines:
            if "StreamHeartbeat" in line:
                break
        else:
            raise AssertionError("The stream ended before its first heartbeat.")
        yield lines


async def errors_until_the_end(lines: AsyncIterator[str]) -> list[str]:
    """The codes of the errors that a stream ends with."""
    found = []
    async with asyncio.timeout(DEADLINE):
        async for line in lines:
            if line.startswith("data: {"):
                found += codes(json.loads(line.removeprefix("data: ")))
    return found


async def next_change(socket: Socket) -> dict[str, Any]:
    """The next message of the subscription that is no heartbeat."""
    while True:
        (message,) = (await socket.next())["payload"]["data"].values()
        if message["__typename"] != "StreamHeartbeat":
            found: dict[str, Any] = message
            return found


async def test_deactivated_member_is_out_on_every_process_at_once(
    processes: list[Service], record_property: Callable[[str, object], None]
) -> None:
    first, second = processes
    await first.tell(created("Kari"), created("Ola"))
    token, of_another = first.token("Kari"), first.token("Ola")
    async with AsyncExitStack() as stack:
        sockets, streams, others = [], [], []
        for service in processes:
            sockets.append(await stack.enter_async_context(watching(service, token, MEMBERS)))
            sockets.append(await stack.enter_async_context(watching(service, token, VIEWER)))
            sockets.append(await stack.enter_async_context(opened(service.url, token)))
            streams.append(await stack.enter_async_context(event_stream(service, token)))
            others.append(await stack.enter_async_context(watching(service, of_another, MEMBERS)))

        await first.tell(deactivated("Kari"))
        answered = time.monotonic()
        asked = [await service.ask(ME, token=token) for service in processes]
        closed = await asyncio.gather(*(socket.closed() for socket in sockets))
        ended = await asyncio.gather(*(errors_until_the_end(lines) for lines in streams))
        record_property("seconds until everything was closed", time.monotonic() - answered)

        assert [codes(answer) for answer in asked] == [["MEMBER_INACTIVE"]] * 2
        assert closed == [4403] * len(sockets)
        assert ended == [["MEMBER_INACTIVE"]] * len(streams)
        await first.tell(updated("Ola", 2, profile={"phone": "1"}))
        for socket in others:
            assert (await next_change(socket))["member"] == {"givenName": "Ola", "phone": "1"}
    for service in processes:
        async with opened(service.url, token) as again:
            assert await again.closed() == 4403

    # And back again, with the token of before.
    await second.tell(reactivated("Kari", 3))
    for service in processes:
        viewer = (await service.data(ME, token=token))["viewer"]
        assert viewer == {"accessLevel": "MEMBER", "member": {"givenName": "Kari"}}


async def test_changed_role_changes_what_is_delivered_from_that_moment(
    processes: list[Service],
) -> None:
    first, second = processes
    await first.tell(created("Kari"), created("Ola"))
    token = first.token("Kari")
    for when, (code, level) in enumerate([("coordinator", "COORDINATOR"), ("member", "MEMBER")], 1):
        async with (
            watching(second, token, VIEWER) as viewer,
            watching(second, token, MEMBERS) as members,
        ):
            await first.tell(role_updated("Kari", when, roles=[role(code)]))

            # The app is told, and the stream ends: what it was opened for is no longer so.
            assert (await next_change(viewer))["viewer"] == {"accessLevel": level}
            while (last := await next_change(members))["__typename"] == "MemberChange":
                pass
            assert last["reason"] == "ACCESS_CHANGED"

        # The app's next session, with the token it has.
        for service in processes:
            now = (await service.data(ME, token=token))["viewer"]
            assert now["accessLevel"] == level
        async with watching(second, token, MEMBERS) as members:
            phone = str(when)
            await first.tell(
                updated("Ola", 10 + when, profile={"phone": phone}),
                updated("Kari", 10 + when, profile={"phone": phone}),
            )
            seen = [(await next_change(members))["member"]["givenName"]]
            if level == "COORDINATOR":
                seen.append((await next_change(members))["member"]["givenName"])
        assert seen == (["Ola", "Kari"] if level == "COORDINATOR" else ["Kari"])


async def test_socket_that_was_opened_before_its_person_was_known_ends_with_the_membership(
    service: Service,
) -> None:
    async with (
        opened(service.url, service.token("Kari")) as silent,
        opened(service.url, service.token("Kari")) as using,
        opened(service.url, service.token("Ola")) as other,
    ):
        for socket in (silent, using, other):
            assert (await socket.next())["type"] == "connection_ack"
        await service.tell(created("Kari"), created("Ola"))
        await using.subscribe("1", ME)
        answer = (await using.next())["payload"]["data"]["viewer"]
        await service.tell(deactivated("Kari"))

        assert answer["member"] == {"givenName": "Kari"}
        assert [await silent.closed(), await using.closed()] == [4403, 4403]
        await other.subscribe("1", ME)
        assert (await other.next())["type"] == "next"


async def test_person_who_comes_and_goes_at_once_loses_the_socket_as_well(
    service: Service,
) -> None:
    async with opened(service.url, service.token("Kari")) as socket:
        assert (await socket.next())["type"] == "connection_ack"
        await asyncio.gather(service.tell(created("Kari")), service.tell(deactivated("Kari")))

        assert await socket.closed() == 4403


@pytest.fixture
def settings(sqlite_url: str) -> Settings:
    return Settings(
        _env_file=None,  # type: ignore[call-arg]  # pydantic-settings takes it at run time
        database_url=sqlite_url,
        port=0,
        log_level="warning",
    )


@asynccontextmanager
async def until_the_token_ends(
    service: Service, member: str | None
) -> AsyncIterator[tuple[str, list[Socket], AsyncIterator[str]]]:
    """A token that ends soon, two sockets and a stream that were all opened with it in time. On a
    machine that was too slow for it, with one that ends later."""
    for seconds in (1, 2, 4, 8):
        token = service.token(member, timedelta(seconds=seconds))
        async with AsyncExitStack() as stack:
            try:
                socket = await stack.enter_async_context(watching(service, token, MEMBERS))
                idle = await stack.enter_async_context(opened(service.url, token))
                assert (await idle.next())["type"] == "connection_ack"
                stream = await stack.enter_async_context(event_stream(service, token))
            except (AssertionError, KeyError, ConnectionClosed):
                if (await service.ask(ME, token=token)).get("data") is not None:
                    raise
                continue
            yield token, [socket, idle], stream
            return
    raise AssertionError("No token lasted long enough.")


async def test_connection_ends_with_the_token_it_was_opened_with(service: Service) -> None:
    await service.tell(created("Kari"))
    for when, member in enumerate(["Kari", None], start=5):
        lasting = service.token(member, timedelta(days=365 * 1000))
        async with (
            watching(service, lasting, MEMBERS) as other,
            until_the_token_ends(service, member) as (ending, sockets, stream),
        ):
            assert [await socket.closed() for socket in sockets] == [4403] * len(sockets)
            assert await errors_until_the_end(stream) == ["UNAUTHENTICATED"]
            refused = await service.ask(ME, token=ending)
            assert codes(refused) == ["UNAUTHENTICATED"]

            phone = f"of {member}"
            await service.tell(updated("Kari", when, profile={"phone": phone}))
            assert (await next_change(other))["member"]["phone"] == phone
