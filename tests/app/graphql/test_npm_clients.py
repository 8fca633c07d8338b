"""The published clients of both protocols, against the running service."""

from contextlib import AsyncExitStack

import httpx
import pytest

from app.server import running
from app.settings import Settings
from tests.support.builders import created, deactivated
from tests.support.npm_clients import PROTOCOLS, client
from tests.support.service import DEADLINE, Service

CHANGES = """subscription ($after: ChangeCursor) { memberChanges(after: $after) { __typename
    ... on StreamHeartbeat { cursor } ... on ResyncRequired { cursor reason }
    ... on MemberChange { cursor operation member { givenName } } } }"""
SET_ACCESS = """mutation ($level: AccessLevel!) {
    setRoleAccess(input: {code: "member", accessLevel: $level}) { __typename } }"""

pytestmark = [pytest.mark.child_process, pytest.mark.parametrize("protocol", PROTOCOLS)]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here is a matter of the database."""
    return sqlite_url


async def test_client_is_told_of_changes_as_they_come(protocol: str, service: Service) -> None:
    async with client(protocol, service, CHANGES) as subscriber:
        first = await subscriber.message()
        await service.tell(created("Kari"), created("Per"))
        changes = [await subscriber.message() for _ in range(2)]

    assert first["__typename"] == "StreamHeartbeat"
    assert [change["member"]["givenName"] for change in changes] == ["Kari", "Per"]


async def test_client_that_is_cut_off_by_a_restart_misses_and_repeats_nothing(
    protocol: str, settings: Settings
) -> None:
    async with httpx.AsyncClient(timeout=DEADLINE) as http, AsyncExitStack() as first:
        url = await first.enter_async_context(running(settings))
        service = Service(url, http, settings)
        async with client(protocol, service, CHANGES, reconnect=True) as subscriber:
            await subscriber.message()
            await service.tell(created("Kari"), created("Per"))
            seen = [await subscriber.message() for _ in range(2)]
            await first.aclose()
            assert await subscriber.said() == {"cut": True}
            async with running(settings.model_copy(update={"port": httpx.URL(url).port})):
                await service.tell(created("Mona"), created("Ida"))
                while len(seen) < 4:
                    message = await subscriber.message()
                    if message["__typename"] != "StreamHeartbeat":
                        seen.append(message)

    assert [change["member"]["givenName"] for change in seen] == ["Kari", "Per", "Mona", "Ida"]


async def test_stream_that_cannot_go_on_is_completed_after_saying_so(
    protocol: str, service: Service
) -> None:
    async with client(protocol, service, CHANGES) as subscriber:
        await subscriber.message()
        await service.data(SET_ACCESS, level="PEER_MENTOR")
        last = await subscriber.message()
        end = await subscriber.said()

    assert last["reason"] == "ACCESS_CHANGED"
    assert end == {"completed": True}


async def test_member_whose_membership_ends_is_cut_off_for_good(
    protocol: str, service: Service
) -> None:
    await service.tell(created("Kari"))

    async with client(protocol, service, CHANGES, "Kari", reconnect=True) as subscriber:
        await subscriber.message()
        await service.tell(deactivated("Kari"))
        end = await subscriber.said()
        while "result" in end and "errors" not in end["result"]:
            end = await subscriber.said()

    if protocol == "graphql-ws":
        assert end["failed"]["code"] == 4403
    else:
        (error,) = end["result"]["errors"]
        assert error["extensions"]["code"] == "MEMBER_INACTIVE"


async def test_refused_operation_tells_its_code(protocol: str, service: Service) -> None:
    async with client(protocol, service, CHANGES, after="nonsense") as subscriber:
        end = await subscriber.said()

    errors = end["result"]["errors"]
    assert [error["extensions"]["code"] for error in errors] == ["BAD_USER_INPUT"]
