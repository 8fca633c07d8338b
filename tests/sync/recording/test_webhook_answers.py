"""The answers to deliveries, over HTTP: every case of them."""

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from standardwebhooks import Webhook

from app.server import running
from app.settings import DEVELOPMENT_WEBHOOK_SECRET, Settings
from sync.intake import queue
from sync.recording import record
from tests.support.builders import body_of, created, deactivated, guid, role, role_updated, updated
from tests.support.opened import opened, row_counts
from tests.support.postgres import PostgresCluster
from tests.support.service import DEADLINE, Service, signed_headers

SMALL = 2048
LOG = """query { syncLog { edges { node {
    eventId eventType status outcome detail deliveries attempts processedAt } } } }"""


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(
        database_url=database_url, port=0, log_level="warning", max_delivery_bytes=SMALL
    )


async def log_of(service: Service) -> list[dict[str, Any]]:
    data = await service.data(LOG)
    return [edge["node"] for edge in data["syncLog"]["edges"]]


async def stored(service: Service) -> dict[str, int]:
    """Returns how many rows each table has, but those of refused deliveries and of concerns."""
    async with opened(service.settings.database_url) as database:
        counts = await row_counts(database)
    del counts["refused_deliveries"]
    del counts["concerns"]
    return counts


def assert_is_problem(response: httpx.Response, status: int) -> None:
    """An RFC 9457 document that tells nothing of what is behind it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == status
    assert document["title"]
    for internal in ("Traceback", "sqlalchemy", "sqlite", "asyncpg", "secret", "whsec", ".py"):
        assert internal not in response.text


# Taken


async def test_event_that_was_applied_is_answered_200_with_what_it_did(service: Service) -> None:
    response = await service.deliver(created("Kari"), "evt_1")

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"id": "evt_1", "status": "success", "outcome": "created"}


async def test_event_with_nothing_left_to_do_is_answered_200(service: Service) -> None:
    await service.deliver(updated("Kari", 5, profile={"phone": "5"}), "evt_5")

    response = await service.deliver(updated("Kari", 1, profile={"phone": "1"}), "evt_1")

    assert response.status_code == 200
    answer = response.json()
    assert (answer["id"], answer["status"], answer["outcome"]) == ("evt_1", "skipped", "stale")


async def test_remark_about_an_event_is_in_the_answer(service: Service) -> None:
    response = await service.deliver(created("Kari", roles=[role("storyteller")]))

    assert "'storyteller'" in response.json()["detail"]


async def test_duplicate_is_answered_like_the_first_and_only_counted(service: Service) -> None:
    first = await service.deliver(created("Kari"), "evt_1")
    before = await stored(service)

    responses = [await service.deliver(created("Kari"), "evt_1") for _ in range(3)]

    assert [response.json() for response in responses] == [first.json()] * 3
    after = await stored(service)
    # The feed tells of the counter.
    assert {**after, "changes": 0} == {**before, "changes": 0}
    (entry,) = await log_of(service)
    assert entry["deliveries"] == 4
    assert entry["attempts"] == 1


async def test_duplicates_that_arrive_at_once_are_one_event(service: Service) -> None:
    responses = await asyncio.gather(
        *(service.deliver(created("Kari"), "evt_1") for _ in range(20))
    )

    assert {response.status_code for response in responses} == {200}
    assert {response.json()["outcome"] for response in responses} == {"created"}
    (entry,) = await log_of(service)
    assert entry["deliveries"] == 20


async def test_same_id_from_another_source_is_another_event(database_url: str) -> None:
    settings = settings_with(database_url, {"a": standard(SECRET_A), "b": standard(SECRET_B)})

    async with serving(settings) as service:
        first = await service.deliver(created("Kari"), "evt_1", secret=SECRET_A, source="a")
        second = await service.deliver(created("Ola"), "evt_1", secret=SECRET_B, source="b")

        assert [first.json()["outcome"], second.json()["outcome"]] == ["created", "created"]
        assert len(await log_of(service)) == 2


async def test_event_of_an_unknown_type_is_answered_200_and_logged_as_ignored(
    service: Service,
) -> None:
    response = await service.deliver({"type": "newsletter-opened", "data": 1}, "evt_1")

    assert response.status_code == 200
    answer = response.json()
    assert (answer["status"], answer["outcome"]) == ("skipped", "ignored")
    (entry,) = await log_of(service)
    assert entry["eventType"] == "newsletter-opened"
    assert (entry["status"], entry["outcome"]) == ("SKIPPED", "IGNORED")
    assert entry["processedAt"] is not None


# Taken, but not an event


async def test_same_id_with_a_different_body_is_answered_409_and_logged(service: Service) -> None:
    await service.deliver(created("Kari"), "evt_1")

    response = await service.deliver(deactivated("Kari"), "evt_1")
    again = await service.deliver(deactivated("Kari"), "evt_1")

    assert_is_problem(response, 409)
    assert_is_problem(again, 409)
    assert response.json()["id"] == "evt_1"
    conflict, first = await log_of(service)
    assert first["deliveries"] == 1
    assert conflict["status"] == "REJECTED"
    assert conflict["deliveries"] == 2
    assert conflict["detail"] == "The event id evt_1 was used before, for a different body."
    members = await service.data("{ members { edges { node { state } } } }")
    assert members["members"]["edges"] == [{"node": {"state": "ACTIVE"}}]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"{}", 422),
        (b"[]", 422),
        (b'{"type": "membership-created"}', 422),
        (body_of({**created(), "timestamp": "today"}), 422),
        (body_of(created(roles=[{}])), 422),
    ],
)
async def test_body_that_is_no_event_is_answered_with_the_reason_and_logged_as_rejected(
    service: Service, body: bytes, status: int
) -> None:
    headers = _signed(body, "evt_1")

    response = await service.http.post(
        f"{service.url}/webhooks/portal", content=body, headers=headers
    )

    assert_is_problem(response, status)
    assert response.json()["id"] == "evt_1"
    (entry,) = await log_of(service)
    assert (entry["eventId"], entry["status"]) == ("evt_1", "REJECTED")
    assert entry["detail"] == response.json()["detail"]
    assert (await stored(service))["members"] == 0


# Written otherwise


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, identity", "x"])
async def test_compressed_body_is_answered_415_before_the_signature_is_looked_at(
    service: Service, encoding: str
) -> None:
    response = await service.http.post(
        f"{service.url}/webhooks/portal",
        content=body_of(created("Kari")),
        headers={"content-type": "application/json", "content-encoding": encoding},
    )

    assert_is_problem(response, 415)
    assert response.headers["accept-encoding"] == "identity"
    assert (await stored(service))["sync_log"] == 0


async def test_body_that_says_it_is_not_compressed_is_taken(service: Service) -> None:
    response = await service.deliver(created("Kari"), content_encoding="Identity")

    assert response.status_code == 200


async def test_headers_may_have_the_names_of_svix(service: Service) -> None:
    body = body_of(created("Kari"))
    headers = {
        name.replace("webhook-", "svix-"): value for name, value in _signed(body, "evt_1").items()
    }

    response = await service.http.post(
        f"{service.url}/webhooks/portal", content=body, headers=headers
    )

    assert response.status_code == 200
    assert response.json()["id"] == "evt_1"


async def test_secret_may_be_written_without_the_padding_of_base64(database_url: str) -> None:
    secret = "whsec_" + base64.b64encode(b"c" * 25).decode()
    settings = settings_with(database_url, {"a": standard(secret.rstrip("="))})

    async with serving(settings) as service:
        response = await service.deliver(created("Kari"), secret=secret, source="a")

        assert response.status_code == 200


# Not believed: nothing is stored


@dataclass(frozen=True)
class Forgery:
    """What is done to a delivery that was signed rightly, and the reason that is counted."""

    name: str
    reason: str
    headers: dict[str, bytes | None]
    body: bytes | None = None

    def __str__(self) -> str:
        return self.name


def _signed(body: bytes, event_id: str, *, age: int = 0) -> dict[str, str]:
    """As `signed_headers`, for any bytes and any age in seconds."""
    key = base64.b64decode(DEVELOPMENT_WEBHOOK_SECRET.removeprefix("whsec_"))
    timestamp = str(int(time.time()) - age)
    return {
        "content-type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": _signature(key, event_id, timestamp, body),
    }


def _signature(key: bytes, event_id: str, timestamp: str, body: bytes) -> str:
    signed = f"{event_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


FORGERIES = [
    Forgery("no id", "header_missing", {"webhook-id": None}),
    Forgery("no timestamp", "header_missing", {"webhook-timestamp": None}),
    Forgery("no signature", "header_missing", {"webhook-signature": None}),
    Forgery("empty id", "header_missing", {"webhook-id": b""}),
    Forgery("id with a blank", "header_malformed", {"webhook-id": b"a b"}),
    Forgery("id that is too long", "header_malformed", {"webhook-id": b"x" * 201}),
    Forgery("id beyond ASCII", "header_malformed", {"webhook-id": "blåbær".encode()}),
    Forgery("timestamp in words", "header_malformed", {"webhook-timestamp": b"now"}),
    Forgery("timestamp with a sign", "header_malformed", {"webhook-timestamp": b"-1"}),
    Forgery("timestamp with a point", "header_malformed", {"webhook-timestamp": b"1764000000.5"}),
    Forgery(
        "timestamp in Arabic digits", "header_malformed", {"webhook-timestamp": "١٢٣".encode()}
    ),
    Forgery("timestamp of many digits", "header_malformed", {"webhook-timestamp": b"9" * 400}),
    Forgery("timestamp of 1970", "timestamp_stale", {"webhook-timestamp": b"1"}),
    Forgery("signature not base64", "signature_wrong", {"webhook-signature": b"v1,%%%"}),
    Forgery("signature beyond ASCII", "signature_wrong", {"webhook-signature": "v1,æøå".encode()}),
    Forgery("signature in no version", "signature_wrong", {"webhook-signature": b"deadbeef"}),
    Forgery("signature of another version", "signature_wrong", {"webhook-signature": b"v2,AAAA"}),
    Forgery("signature cut off", "signature_wrong", {"webhook-signature": b"v1,"}),
    Forgery(
        "signatures without end",
        "signature_wrong",
        {"webhook-signature": b"v1,AA==" + b" v1,AA==" * 500},
    ),
    Forgery("another body", "signature_wrong", {}, body_of(created("Eve"))),
    Forgery("another id", "signature_wrong", {"webhook-id": b"evt_2"}),
]


@pytest.mark.parametrize("forgery", FORGERIES, ids=str)
async def test_delivery_that_does_not_prove_its_source_is_answered_401_and_leaves_nothing(
    service: Service, forgery: Forgery
) -> None:
    body = body_of(created("Kari"))
    headers = {name.encode(): value.encode() for name, value in _signed(body, "evt_1").items()}
    for name, value in forgery.headers.items():
        del headers[name.encode()]
        if value is not None:
            headers[name.encode()] = value
    before = await stored(service)

    response = await service.http.post(
        f"{service.url}/webhooks/portal",
        content=forgery.body or body,
        headers=list(headers.items()),
    )

    assert_is_problem(response, 401)
    assert "detail" not in response.json()
    assert await stored(service) == before
    metrics = (await service.http.get(f"{service.url}/metrics")).text
    counter = "likeperson_deliveries_refused_total"
    assert f'{counter}{{reason="{forgery.reason}",source="portal"}} 1.0' in metrics


async def test_wrong_secret_is_answered_401(service: Service) -> None:
    before = await stored(service)

    response = await service.deliver(created("Kari"), secret=SECRET_A)

    assert_is_problem(response, 401)
    assert await stored(service) == before


@pytest.mark.parametrize(("age", "status"), [(290, 200), (-290, 200), (310, 401), (-310, 401)])
async def test_signature_is_good_for_five_minutes_either_way(
    service: Service, age: int, status: int
) -> None:
    body = body_of(created("Kari"))

    response = await service.http.post(
        f"{service.url}/webhooks/portal", content=body, headers=_signed(body, "evt_1", age=age)
    )

    assert response.status_code == status
    assert (await stored(service))["members"] == (status == 200)


# Not taken


async def test_unknown_source_is_answered_404(service: Service) -> None:
    before = await stored(service)

    response = await service.deliver(created("Kari"), source="nobody")

    assert_is_problem(response, 404)
    assert await stored(service) == before


async def test_other_method_is_answered_405(service: Service) -> None:
    response = await service.http.get(f"{service.url}/webhooks/portal")

    assert_is_problem(response, 405)
    assert response.headers["allow"] == "POST"


async def test_trailing_slash_is_never_answered_with_a_redirect(service: Service) -> None:
    body = body_of(created("Kari"))
    headers = signed_headers(body, "evt_1", DEVELOPMENT_WEBHOOK_SECRET)

    response = await service.http.post(
        f"{service.url}/webhooks/portal/", content=body, headers=headers
    )

    assert_is_problem(response, 404)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_content_that_is_not_json_is_answered_415(
    service: Service, content_type: str
) -> None:
    before = await stored(service)

    response = await service.deliver(created("Kari"), content_type=content_type)

    assert_is_problem(response, 415)
    assert await stored(service) == before


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/x+json"]
)
async def test_json_is_taken_under_any_of_its_names(service: Service, content_type: str) -> None:
    response = await service.deliver(created("Kari"), content_type=content_type)

    assert response.status_code == 200


@pytest.mark.parametrize(
    "framing",
    ["Content-Length: 2000000", "Transfer-Encoding: chunked"],
    ids=["more is announced than comes", "nothing is announced"],
)
async def test_delivery_that_is_too_large_is_answered_413_while_it_still_streams(
    service: Service, framing: str
) -> None:
    """The sender never sends the end, so the answer did not wait for it."""
    before = await stored(service)
    body = b"x" * (SMALL + 1)
    signed = _signed(body, "evt_1")
    head = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
    chunk = b"%x\r\n%s\r\n" % (len(body), body) if "chunked" in framing else body

    answer = await _answer_to_half_a_request(
        service, f"POST /webhooks/portal HTTP/1.1\r\nHost: x\r\n{framing}\r\n{head}\r\n", chunk
    )

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"application/problem+json" in answer
    assert await stored(service) == before


async def _answer_to_half_a_request(service: Service, head: str, content: bytes) -> bytes:
    address = urlsplit(service.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write(head.encode() + content)
        async with asyncio.timeout(DEADLINE):
            return await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()
        await writer.wait_closed()


async def test_delivery_of_the_largest_size_is_taken(service: Service) -> None:
    event = created("Kari")
    event["padding"] = ""
    event["padding"] = "x" * (SMALL - len(body_of(event)))

    response = await service.deliver(event)

    assert len(body_of(event)) == SMALL
    assert response.status_code == 200


# Not now


async def test_more_than_can_wait_is_answered_503_with_a_time_to_come_back(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "MAX_WAITING", 0)

    response = await service.deliver(created("Kari"))

    assert_is_problem(response, 503)
    assert int(response.headers["retry-after"]) > 0


async def test_surprise_is_answered_503_and_nothing_is_stored(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("the secret is hunter2")

    before = await stored(service)
    monkeypatch.setattr(record, "insert_entries", broken)

    response = await service.deliver(created("Kari"))

    assert_is_problem(response, 503)
    assert int(response.headers["retry-after"]) > 0
    assert await stored(service) == before


async def test_database_that_is_down_is_answered_503_and_the_same_delivery_is_taken_when_it_is_up(
    postgres: PostgresCluster, postgres_url: str
) -> None:
    settings = Settings(database_url=postgres_url, port=0, log_level="error")

    async with serving(settings) as service:
        await asyncio.to_thread(postgres.stop)
        down = await service.deliver(created("Kari"), "evt_1")
        await asyncio.to_thread(postgres.start)
        async with asyncio.timeout(DEADLINE):
            while (up := await service.deliver(created("Kari"), "evt_1")).status_code == 503:
                pass

    assert_is_problem(down, 503)
    assert int(down.headers["retry-after"]) > 0
    assert up.status_code == 200
    assert up.json()["outcome"] == "created"


# Sources

SECRET_A = "whsec_" + base64.b64encode(b"a" * 24).decode()
SECRET_B = "whsec_" + base64.b64encode(b"b" * 24).decode()


def standard(*secrets: str) -> dict[str, Any]:
    return {"scheme": "standard-webhooks", "secrets": list(secrets)}


def settings_with(database_url: str, sources: dict[str, Any]) -> Settings:
    return Settings(
        database_url=database_url,
        port=0,
        log_level="warning",
        sources=sources,
    )


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Service]:
    async with running(settings) as url, httpx.AsyncClient(timeout=DEADLINE) as http:
        yield Service(url, http, settings)


async def test_two_secrets_are_valid_at_once_while_one_replaces_the_other(
    sqlite_url: str,
) -> None:
    settings = settings_with(sqlite_url, {"portal": standard(SECRET_A, SECRET_B)})

    async with serving(settings) as service:
        old = await service.deliver(created("Kari"), secret=SECRET_A)
        new = await service.deliver(created("Ola"), secret=SECRET_B)
        neither = await service.deliver(created("Eve"))

    assert (old.status_code, new.status_code, neither.status_code) == (200, 200, 401)


async def test_one_good_signature_among_several_is_enough(sqlite_url: str) -> None:
    body = body_of(created("Kari"))
    headers = signed_headers(body, "evt_1", SECRET_A)
    headers["webhook-signature"] = f"v1a,x v1,AA== {headers['webhook-signature']}"

    async with serving(settings_with(sqlite_url, {"portal": standard(SECRET_A)})) as service:
        response = await service.http.post(
            f"{service.url}/webhooks/portal", content=body, headers=headers
        )

    assert response.status_code == 200


@pytest.mark.parametrize("secrets", [[], [""], ["   "]])
async def test_source_without_a_secret_is_off(sqlite_url: str, secrets: list[str]) -> None:
    settings = settings_with(sqlite_url, {"portal": standard(*secrets)})

    async with serving(settings) as service:
        response = await service.http.post(
            f"{service.url}/webhooks/portal",
            content=body_of(created("Kari")),
            headers={"content-type": "application/json"},
        )

    assert_is_problem(response, 404)


KEY = "nøkkel-med-norske-bokstaver"


@pytest.fixture
async def keyed(sqlite_url: str) -> AsyncIterator[Service]:
    """A service whose portal cannot sign."""
    source = {"scheme": "shared-key", "header": "X-Portal-Key", "secrets": ["first", KEY]}
    async with serving(settings_with(sqlite_url, {"portal": source})) as service:
        yield service


async def send_with_key(
    service: Service, event: dict[str, Any], key: bytes | None, **headers: str
) -> httpx.Response:
    given: list[tuple[bytes, bytes]] = [(b"content-type", b"application/json")]
    given += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    if key is not None:
        given.append((b"x-portal-key", key))
    return await service.http.post(
        f"{service.url}/webhooks/portal", content=body_of(event), headers=given
    )


@pytest.mark.parametrize("key", ["first", KEY])
async def test_shared_key_in_the_header_is_enough_where_that_is_the_scheme(
    keyed: Service, key: str
) -> None:
    response = await send_with_key(keyed, created("Kari"), key.encode(), webhook_id="evt_1")

    assert response.status_code == 200
    assert response.json()["id"] == "evt_1"


@pytest.mark.parametrize("key", [None, b"", b"wrong", b"firstly", b"\xff\xfe"])
async def test_wrong_shared_key_is_answered_401(keyed: Service, key: bytes | None) -> None:
    before = await stored(keyed)

    response = await send_with_key(keyed, created("Kari"), key)

    assert_is_problem(response, 401)
    assert await stored(keyed) == before


@pytest.mark.parametrize("event_id", ["", "evt 1", "x" * 201, "événement"])
async def test_id_that_would_not_be_taken_signed_is_not_taken_with_a_key(
    keyed: Service, event_id: str
) -> None:
    before = await stored(keyed)

    response = await send_with_key(keyed, created("Kari"), b"first", webhook_id=event_id)

    assert_is_problem(response, 401)
    assert await stored(keyed) == before


async def test_without_an_id_the_same_body_under_a_shared_key_is_the_same_event(
    keyed: Service,
) -> None:
    first = await send_with_key(keyed, created("Kari"), b"first")
    again = await send_with_key(keyed, created("Kari"), b"first")
    other = await send_with_key(keyed, role_updated("Kari", roles=[]), b"first")

    assert first.json() == again.json()
    assert first.json()["id"] != other.json()["id"]
    assert [entry["deliveries"] for entry in await log_of(keyed)] == [1, 2]


async def test_signed_delivery_does_not_open_a_source_that_wants_a_key(keyed: Service) -> None:
    response = await keyed.deliver(created("Kari"))

    assert_is_problem(response, 401)


async def test_signature_of_the_reference_package_is_the_one_we_make_here() -> None:
    """So that what these tests sign themselves, because it is no text, is signed rightly."""
    body, event_id = body_of(created("Åse")), "evt_1"

    Webhook(DEVELOPMENT_WEBHOOK_SECRET).verify(body, _signed(body, event_id))

    assert guid("Åse") in body.decode()


@pytest.mark.parametrize(
    "name", [b'"translation"', b'"tr\\u0061nslation"'], ids=["plain", "escaped"]
)
async def test_senders_cannot_speak_as_a_translation_does(service: Service, name: bytes) -> None:
    ahead = datetime.now(UTC) + timedelta(days=30)
    said = {**created("Kari"), "timestamp": ahead.isoformat()}
    spoken = b'{"readHere": true, "rejected": "no", "lookAt": "' + guid("Kari").encode() + b'"}'
    body = body_of(said)[:-1] + b", " + name + b": " + spoken + b"}"

    answer = (await service.deliver(body)).json()

    assert answer["status"] == "success"
    assert "more than five minutes ahead" in answer["detail"]
