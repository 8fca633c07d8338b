"""Persisted queries as Apollo's and urql's clients use them: a hash first, then the text."""

import asyncio
import hashlib
import json
from typing import Any

import pytest

from schema.engine.stored.persisted_queries import PersistedQueries
from schema.engine.stored.trusted_documents import document_id
from tests.support.builders import created
from tests.support.javascript import NODE, PACKAGES, install_packages
from tests.support.service import Service

QUERY = "query Names { members { edges { node { displayName } } } }"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here is a matter of the database."""
    return sqlite_url


def hashed(text: str) -> dict[str, Any]:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": digest}}}


async def post(service: Service, body: dict[str, Any]) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {service.token()}"}
    response = await service.http.post(f"{service.url}/graphql", json=body, headers=headers)
    answer: dict[str, Any] = response.json()
    return answer


async def test_unknown_hash_is_answered_with_what_clients_look_for(service: Service) -> None:
    answer = await post(service, hashed(QUERY))

    [error] = answer["errors"]
    assert error["message"] == "PersistedQueryNotFound"
    assert error["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"
    assert "data" not in answer


async def test_query_is_known_by_its_hash_once_it_was_sent_with_it(service: Service) -> None:
    await service.tell(created("Kari"))
    first = await post(service, {"query": QUERY, **hashed(QUERY)})

    again = await post(service, hashed(QUERY))

    assert again["data"] == first["data"]
    assert again["data"]["members"]["edges"] == [{"node": {"displayName": "Kari Nordmann"}}]


async def test_text_of_another_hash_is_refused_and_not_kept(service: Service) -> None:
    mixed = await post(service, {"query": "{ viewer { accessLevel } }", **hashed(QUERY)})

    asked = await post(service, hashed(QUERY))

    assert mixed["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert asked["errors"][0]["message"] == "PersistedQueryNotFound"


async def test_query_that_is_not_valid_is_not_kept(service: Service) -> None:
    await post(service, {"query": "{ nonsense }", **hashed("{ nonsense }")})

    asked = await post(service, hashed("{ nonsense }"))

    assert asked["errors"][0]["message"] == "PersistedQueryNotFound"


@pytest.mark.child_process
@pytest.mark.parametrize("by_get", [False, True], ids=["POST", "GET"])
@pytest.mark.parametrize("kind", ["apollo", "urql"])
async def test_published_client_sends_the_text_once(
    service: Service, kind: str, by_get: bool
) -> None:
    await service.tell(created("Kari"))
    await asyncio.to_thread(install_packages)
    order = {
        "kind": kind,
        "byGet": by_get,
        "url": f"{service.url}/graphql",
        "token": service.token(),
        "query": QUERY,
    }

    client = await asyncio.create_subprocess_exec(
        NODE, PACKAGES / "persisted.mjs", json.dumps(order), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await client.communicate()

    said = json.loads(output)
    for answer in said["answers"]:
        assert "error" not in answer
        [edge] = answer["data"]["members"]["edges"]
        assert edge["node"]["displayName"] == "Kari Nordmann"
    assert [request["text"] for request in said["sent"]] == [False, True, False]
    assert said["sent"][2]["method"] == ("GET" if by_get else "POST")


def test_queries_that_were_not_asked_for_longest_are_forgotten_first() -> None:
    kept = PersistedQueries(characters=30)
    first, second, third = (f"{{ field{n} {{ id }} }}" for n in range(3))
    kept.keep(first[:14])
    kept.keep(second[:14])
    assert kept.text(document_id(first[:14])) is not None

    kept.keep(third[:14])

    known = [kept.text(document_id(text[:14])) is not None for text in (first, second, third)]
    assert known == [True, False, True]
