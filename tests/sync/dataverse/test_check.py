"""The check of a mapping against its environment: what is right, what is wrong, what to do."""

from collections.abc import AsyncIterator
from http import HTTPStatus

import httpx
import pytest

from sync.dataverse.access_tokens import FixedToken
from sync.dataverse.check import Finding, check_mapping
from sync.dataverse.mapping import PortalMapping, parse_mapping
from sync.dataverse.web_api import WebApi
from sync.simulator.dataverse.served_api import Fault
from tests.support.dataverse import TOKEN, Dataverse, simulated_dataverse


@pytest.fixture
async def dataverse() -> AsyncIterator[Dataverse]:
    async with simulated_dataverse() as dataverse:
        dataverse.member("Kari")
        yield dataverse


async def wrong(dataverse: Dataverse, mapping: PortalMapping | None = None) -> list[Finding]:
    async with httpx.AsyncClient() as http:
        api = WebApi(http, dataverse.url, FixedToken(TOKEN), attempts=1)
        findings = [one async for one in check_mapping(api, mapping or dataverse.mapping())]
    assert any(finding.advice is None for finding in findings)
    return [finding for finding in findings if finding.advice is not None]


async def test_mapping_that_fits_has_nothing_wrong(dataverse: Dataverse) -> None:
    assert await wrong(dataverse) == []


@pytest.mark.parametrize(
    ("right", "mistaken", "told"),
    [
        ('"emailaddress1"', '"emailadress1"', "emailadress1"),
        ('entity = "new_verv"', 'entity = "new_vervv"', "new_vervv"),
        ('entity_set = "new_vervs"', 'entity_set = "new_verv"', "new_vervs"),
    ],
)
async def test_name_that_the_environment_does_not_have_is_told(
    dataverse: Dataverse, right: str, mistaken: str, told: str
) -> None:
    text = dataverse.mapping_text().replace(right, mistaken)

    findings = await wrong(dataverse, parse_mapping(text, "min-side.toml"))

    assert any(told in f"{finding.what} {finding.advice}" for finding in findings)


async def test_table_whose_changes_are_not_tracked_is_told(dataverse: Dataverse) -> None:
    dataverse.tables.by_set["new_vervs"].tracked = False

    (finding,) = await wrong(dataverse)

    assert finding.what == "change tracking of new_verv"
    assert finding.advice is not None
    assert "Track changes" in finding.advice


async def test_table_that_may_not_be_read_is_told(dataverse: Dataverse) -> None:
    dataverse.web.fail_after(1, Fault(HTTPStatus.FORBIDDEN))

    (finding,) = await wrong(dataverse)

    assert finding.what == "reading rows of contact"
