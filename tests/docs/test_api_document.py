"""What docs/build/api.md says is so: its queries are executed, its limits are those that hold."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from graphql import OperationDefinitionNode, OperationType, parse

from app.graphql.http import MAX_BODY_BYTES
from app.graphql.websocket import Close
from app.settings import Settings
from schema.engine.checks.limits import LIMITS, TRUSTED_LIMITS
from schema.errors import ApiError
from tests.support.answers import codes, refused_arguments
from tests.support.builders import created
from tests.support.service import Service

TEXT = (Path(__file__).parents[2] / "docs" / "build" / "api.md").read_text(encoding="utf-8")
EXAMPLES = {
    re.search(r"(?:query|mutation|subscription) (\w+)", text)[1]: text  # type: ignore[index]  # named all
    for text in re.findall(r"^```graphql\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
}


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here is a matter of the database."""
    return sqlite_url


def is_subscription(text: str) -> bool:
    (operation,) = parse(text).definitions
    return (
        isinstance(operation, OperationDefinitionNode)
        and operation.operation is OperationType.SUBSCRIPTION
    )


QUERIES = {name for name, text in EXAMPLES.items() if not is_subscription(text)}


@pytest.mark.parametrize("name", sorted(QUERIES - {"TooMany"}))
async def test_query_of_the_document_is_answered(service: Service, name: str) -> None:
    await service.tell(created("Kari"))

    page = await service.data("{ members { changeCursor } }")
    needed = {"after": page["members"]["changeCursor"]} if name == "Missed" else {}
    answer = await service.ask(EXAMPLES[name], **needed)

    assert codes(answer) == [], answer
    assert answer["data"]


async def test_page_is_followed_by_its_changes_as_the_document_says(service: Service) -> None:
    start = await service.data(EXAMPLES["Start"])
    await service.tell(created("Kari", profile={"givenName": "Kari"}))

    after = start["members"]["changeCursor"]
    async with service.subscribe(EXAMPLES["Changes"], after=after) as changes:
        change = await changes.next("MemberChange")

    assert (change["operation"], change["member"]["displayName"]) == ("ADDED", "Kari")


async def test_error_of_the_document_names_its_argument(service: Service) -> None:
    assert refused_arguments(await service.ask(EXAMPLES["TooMany"])) == ["first"]


async def test_every_error_has_the_id_of_its_request_and_so_has_every_answer(
    service: Service,
) -> None:
    url = f"{service.url}/graphql"
    for body, headers in (
        ({"query": EXAMPLES["TooMany"]}, {"Authorization": f"Bearer {service.token()}"}),
        ({"query": "{"}, {}),
        ({"query": "{ members { totalCount } }"}, {}),
        ({}, {}),
        ({"query": "{ roles { code } }"}, {"Authorization": "Bearer x"}),
    ):
        response = await service.http.post(
            url, json=body, headers={**headers, "X-Request-Id": "of-the-caller.1"}
        )
        other = await service.http.post(url, json=body, headers={**headers, "X-Request-Id": "a b"})

        for error in response.json()["errors"]:
            assert error["extensions"]["requestId"] == "of-the-caller.1"
        assert response.headers["x-request-id"] == "of-the-caller.1"
        (id,) = {error["extensions"]["requestId"] for error in other.json()["errors"]}
        assert other.headers["x-request-id"] == id != "a b"
    problem = await service.http.get(f"{service.url}/nothing")
    assert problem.headers["x-request-id"]


async def test_example_of_a_cost_costs_what_the_document_says(service: Service) -> None:
    response = await service.http.post(
        f"{service.url}/graphql",
        json={"query": EXAMPLES["ThirtyOne"]},
        headers={"Authorization": f"Bearer {service.token()}"},
    )

    most = Settings().max_query_cost
    assert response.json()["extensions"]["cost"] == {"requested": 31, "allowed": most}
    assert f"may cost {most}" in " ".join(TEXT.split())
    assert f"{Settings().max_query_seconds:.0f} seconds" in TEXT


async def test_cost_is_told_of_what_was_executed_and_not_of_what_was_refused(
    service: Service,
) -> None:
    told = {}
    for text in (EXAMPLES["ThirtyOne"], EXAMPLES["TooMany"], "{", "{ nothing }"):
        response = await service.http.post(
            f"{service.url}/graphql",
            json={"query": text},
            headers={"Authorization": f"Bearer {service.token()}"},
        )
        told[text] = "cost" in response.json().get("extensions", {})

    assert list(told.values()) == [True, True, False, False]
    assert "a query or mutation that was executed names the cost" in " ".join(TEXT.split())


def test_limits_of_the_document_are_those_that_hold() -> None:
    rows = re.findall(r"^\| ([a-z ]+) \| (\d+) \| (\d+) \|$", TEXT, re.MULTILINE)

    assert {name.replace(" ", "_"): (int(sent), int(known)) for name, sent, known in rows} == {
        field.name: (getattr(LIMITS, field.name), getattr(TRUSTED_LIMITS, field.name))
        for field in fields(LIMITS)
    }
    assert f"at most {MAX_BODY_BYTES} bytes" in TEXT


def test_every_code_is_explained() -> None:
    explained = set(re.findall(r"^\| `([A-Z_]+)` \|", TEXT, re.MULTILINE))

    assert explained == {ApiError.code, *(error.code for error in ApiError.__subclasses__())}


def test_every_code_that_closes_a_socket_is_explained() -> None:
    explained = set(re.findall(r"^\| (\d{4}) \|", TEXT, re.MULTILINE))

    # 1009 is sent by the server itself, for a message that is too large.
    assert explained == {"1009", *(str(code.value) for code in Close)}
