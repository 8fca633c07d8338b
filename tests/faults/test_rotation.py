"""A source gets a new secret while its senders are at work."""

import base64
import random

import httpx
from pydantic import SecretStr

from app.server import running
from app.settings import Settings, SourceSettings
from tests.faults.evidence import check_promises
from tests.faults.senders import SOURCE, Senders
from tests.support.builders import body_of, created
from tests.support.service import signed_headers

OLD, NEW = (
    f"whsec_{base64.b64encode(text).decode()}" for text in (b"the old key" * 3, b"the new key" * 3)
)


def knowing(url: str, *secrets: str) -> Settings:
    source = SourceSettings(
        scheme="standard-webhooks", secrets=[SecretStr(secret) for secret in secrets]
    )
    return Settings(database_url=url, port=0, log_level="error", sources={SOURCE: source})


async def status_of_one_signed_with(secret: str, url: str, event_id: str) -> int:
    body = body_of(created("Kari"))
    async with httpx.AsyncClient() as http:
        answer = await http.post(
            f"{url}/webhooks/{SOURCE}",
            content=body,
            headers=signed_headers(body, event_id, secret),
        )
    return answer.status_code


async def test_no_delivery_is_refused_while_the_senders_change_to_the_new_secret(
    database_url: str,
) -> None:
    async with (
        running(knowing(database_url, OLD, NEW)) as url,
        Senders(url, 16, random.Random(11), secret=OLD) as senders,  # noqa: S311
    ):
        senders.go()
        await senders.acknowledgements(100)
        senders.secret = NEW
        await senders.acknowledgements(100)

    await check_promises(database_url, senders)
    assert set(senders.answers) == {200}
    assert senders.broken == 0

    async with running(knowing(database_url, NEW)) as url:
        assert await status_of_one_signed_with(OLD, url, "evt_old") == 401
        assert await status_of_one_signed_with(NEW, url, "evt_new") == 200
