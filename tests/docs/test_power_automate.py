"""The recipe for Power Automate: its bodies, filled in as a flow does, say what it promises."""

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from app.server import running
from app.settings import Settings, SourceSettings
from tests.support.builders import guid
from tests.support.service import DEADLINE, Service

RECIPE = Path(__file__).parents[2] / "docs" / "integrate" / "power-automate.md"
SOURCE, STATED, DELETED = (
    json.loads(block)
    for block in re.findall(r"```json\n(.*?)```", RECIPE.read_text("utf-8"), re.DOTALL)
)
KEY = "a key that is long enough"
COLUMN = re.compile(r"triggerOutputs\(\)\?\['body/(\w+)'\]")
STATE = re.compile(r"if\(equals\((\w*), 0\), '(\w+)', '(\w+)'\)")
MEMBER = """query($id: String!) { member(by: {portalId: $id}) {
    givenName familyName email phone state organization { portalId } } }"""
KARI = {
    "contactid": guid("Kari"),
    "modifiedon": "2026-11-23T09:30:00Z",
    "versionnumber": 1042,
    "firstname": "Kari",
    "lastname": 'Nord"mann',
    "emailaddress1": "kari@example.no",
    "telephone1": None,
    "_parentcustomerid_value": guid("HLF Oslo"),
    "statecode": 0,
}


def filled_in(value: Any, row: dict[str, Any]) -> Any:
    """Puts the columns of the row into the texts, as the expressions of a flow do."""
    if isinstance(value, dict):
        return {name: filled_in(one, row) for name, one in value.items()}
    return re.sub(r"@\{(.*?)\}", lambda found: _evaluated(found[1], row), value)


def _evaluated(expression: str, row: dict[str, Any]) -> str:
    if expression == "utcNow()":
        return datetime.now(UTC).isoformat()
    plain = COLUMN.sub(
        lambda found: "" if row[found[1]] is None else str(row[found[1]]), expression
    )
    if choice := STATE.fullmatch(plain):
        return choice[2] if choice[1] == "0" else choice[3]
    assert "(" not in plain, expression
    return plain


@pytest.fixture
async def service(sqlite_url: str) -> AsyncIterator[Service]:
    given = SOURCE["flow"] | {"secrets": [SecretStr(KEY)]}
    settings = Settings(
        database_url=sqlite_url,
        port=0,
        log_level="warning",
        sources={"flow": SourceSettings(**given)},
    )
    async with running(settings) as url, httpx.AsyncClient(timeout=DEADLINE) as http:
        yield Service(url, http, settings)


async def run_flow(service: Service, body: dict[str, Any], **columns: Any) -> dict[str, Any]:
    response = await service.http.post(
        f"{service.url}/webhooks/flow",
        json=filled_in(body, KARI | columns),
        headers={"X-Portal-Key": KEY},
    )
    assert response.status_code == 200, response.text
    found: dict[str, Any] = (await service.data(MEMBER, id=guid("Kari")))["member"]
    return found


async def test_flow_tells_of_a_contact_as_it_is(service: Service) -> None:
    added = await run_flow(service, STATED)
    ended = await run_flow(
        service, STATED, modifiedon="2026-11-24T09:30:00Z", emailaddress1=None, statecode=1
    )
    late = await run_flow(service, STATED, versionnumber=1041, telephone1="+4790000000")

    assert added == {
        "givenName": "Kari",
        "familyName": 'Nord"mann',
        "email": "kari@example.no",
        "phone": None,
        "state": "ACTIVE",
        "organization": {"portalId": guid("HLF Oslo")},
    }
    assert ended == added | {"email": None, "state": "INACTIVE"}
    assert late == ended


async def test_contact_that_is_deleted_is_no_member(service: Service) -> None:
    await run_flow(service, STATED)

    gone = await run_flow(service, DELETED)

    assert gone["state"] == "INACTIVE"
