"""Ids and cursors that were not made by this API are refused, whatever they hold."""

import base64
from typing import Any

import pytest

from schema.errors import BadUserInputError
from schema.types.opaque import parse_change_cursor
from tests.support.answers import codes, refused_arguments
from tests.support.builders import created
from tests.support.service import Service

NUMBERS = {
    "thousands of digits": "9" * 5_000,
    "digits with leading zeros": "01",
    "many zeros": "0" * 5_000,
    "a number no row has": str(2**63),
    "digits of another script": "٣",
    "a sign": "+1",
    "none": "",
}


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here is a matter of the database."""
    return sqlite_url


def opaque(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)
async def test_id_with_a_foreign_number_is_refused(service: Service, number: str) -> None:
    answer = await service.ask(
        "query ($id: ID!) { node(id: $id) { id } }", id=opaque(f"Member:{number}")
    )

    assert refused_arguments(answer) == ["id"]


@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)
def test_change_cursor_with_a_foreign_number_is_refused(number: str) -> None:
    with pytest.raises(BadUserInputError, match="not a change cursor"):
        parse_change_cursor(opaque(f"feed:{number}"), "after")


@pytest.mark.parametrize("number", ["9" * 5_000, "-" + "9" * 5_000, str(2**31)])
@pytest.mark.parametrize(
    "query",
    [
        "{{ members(first: {}) {{ edges {{ cursor }} }} }}",
        "{{ node(id: {}) {{ id }} }}",
        "{{ members(filter: {{search: {}}}) {{ edges {{ cursor }} }} }}",
        "query ($n: Int = {}) {{ members(first: $n) {{ edges {{ cursor }} }} }}",
    ],
)
async def test_number_of_any_length_in_a_document_is_refused(
    service: Service, query: str, number: str
) -> None:
    answer = await service.ask(query.format(number))

    assert set(codes(answer)) == {"BAD_USER_INPUT"}


@pytest.mark.parametrize("number", ["9" * 5_000, "-" + "9" * 5_000, str(2**64), "1e400"])
@pytest.mark.parametrize("type", ["Int", "ID!", "[ID!]", "DateTime", "Float", "ChangeCursor"])
async def test_number_of_any_length_in_a_variable_is_refused(
    service: Service, type: str, number: str
) -> None:
    query = f"query ($n: {type}) {{ viewer {{ accessLevel }} }}"
    body = f'{{"query": "{query}", "variables": {{"n": {number}}}}}'

    response = await service.http.post(
        f"{service.url}/graphql",
        content=body,
        headers={
            "Authorization": f"Bearer {service.token()}",
            "Content-Type": "application/json",
        },
    )

    assert response.status_code < 500
    assert set(codes(response.json())) == {"BAD_USER_INPUT"}


async def test_malformed_id_is_null_in_its_place_with_an_error(service: Service) -> None:
    await service.tell(created("Kari"))
    found = await service.data("{ members { edges { node { id displayName } } } }")
    kari = found["members"]["edges"][0]["node"]
    absent = opaque("Member:9999")

    answer: dict[str, Any] = await service.ask(
        "query ($ids: [ID!]!) { nodes(ids: $ids) { id ... on Member { displayName } } }",
        ids=[kari["id"], "nonsense", absent, opaque("Member:01"), kari["id"]],
    )

    assert answer["data"]["nodes"] == [kari, None, None, None, kari]
    assert [error["path"] for error in answer["errors"]] == [["nodes", 1], ["nodes", 3]]
    assert refused_arguments(answer) == ["ids", "ids"]
