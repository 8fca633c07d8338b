"""What the log tells: ids and sources, never who somebody is or what they carry."""

import logging

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from app.settings import Settings
from tests.support.builders import created, deactivated, event, updated
from tests.support.service import Service

SECRETS = ["Hemmelig", "Navnesen", "hemmelig@example.no", "+4790000001"]
PROFILE = {
    "givenName": "Hemmelig",
    "familyName": "Navnesen",
    "email": "hemmelig@example.no",
    "phone": "+4790000001",
}


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(
        _env_file=None,  # type: ignore[call-arg]  # pydantic-settings takes it at run time
        database_url=database_url,
        port=0,
        log_level="debug",
    )


async def break_database(url: str) -> None:
    """From now on, whoever writes or reads of members fails."""
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE members RENAME TO gone"))
    await engine.dispose()


async def test_log_names_nobody_and_holds_no_token_whatever_goes_wrong(
    service: Service, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    token = service.token("Kari")
    by_name = '{ members(filter: {search: "Hemmelig"}) { totalCount } }'

    await service.tell(created("Kari", profile=PROFILE), updated("Kari", 1, profile=PROFILE))
    await service.ask(by_name, token=token)
    await service.ask(by_name, token=token + "x")
    await service.deliver(event("membership-updated", "Kari", 2, profile={"email": ["Hemmelig"]}))
    await service.deliver(b'{"Hemmelig": ')
    await service.deliver(created("Kari", profile=PROFILE), webhook_signature="v1,AAAA")
    await break_database(settings.database_url)
    answers = [await service.ask(by_name), await service.ask(by_name, token=token)]
    await service.deliver(deactivated("Kari", 5, profile=PROFILE))

    assert all(answer["errors"] for answer in answers)
    log = caplog.text
    assert "Request " in log  # Something was told after all.
    for secret in [*SECRETS, token, token.rpartition(".")[2]]:
        assert secret not in log
        assert secret not in str(answers)
