"""Trusted documents: by id over HTTP and sockets, from manifests, and nothing else."""

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from app.server import running
from app.settings import Settings, SettingsError
from schema.engine.stored.trusted_documents import Allowed
from tests.schema.test_audits import relay_compile
from tests.support.answers import codes, refused_arguments
from tests.support.builders import created
from tests.support.commands import run
from tests.support.javascript import install_packages
from tests.support.service import DEADLINE, Service

VIEWER = "query Viewer { viewer { accessLevel } }"
NAMES = "query Names($n: Int) { members(first: $n) { edges { node { displayName } } } }"
CHANGES = "subscription Changes { memberChanges { __typename } }"
LOGIN = (
    "mutation Access($input: SetRoleAccessInput!) { setRoleAccess(input: $input) { __typename } }"
)


def id_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As two tools and a person would leave it."""
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "relay.json").write_text(json.dumps({id_of(VIEWER): VIEWER}))
    codegen = {f"sha256:{id_of(NAMES)}": NAMES, id_of(LOGIN): LOGIN}
    (folder / "codegen.json").write_text(json.dumps(codegen))
    (folder / "changes.graphql").write_text(CHANGES)
    return folder


@pytest.fixture
def settings(sqlite_url: str, folder: Path) -> Settings:
    return Settings(
        _env_file=None,  # type: ignore[call-arg]  # pydantic-settings takes it at run time
        database_url=sqlite_url,
        port=0,
        log_level="warning",
        documents_folder=folder,
    )


@pytest.fixture(params=[Allowed.TRUSTED, Allowed.TRUSTED_EXCEPT_OPERATORS])
async def strict(
    request: pytest.FixtureRequest, settings: Settings
) -> AsyncIterator[tuple[Service, Allowed]]:
    """A service that does not execute everything."""
    given = settings.model_copy(update={"documents": request.param})
    async with running(given) as url, httpx.AsyncClient(timeout=DEADLINE) as http:
        yield Service(url, http, given), request.param


async def post(service: Service, member: str | None = None, **body: Any) -> dict[str, Any]:
    response = await service.http.post(
        f"{service.url}/graphql",
        json=body,
        headers={"Authorization": f"Bearer {service.token(member)}"},
    )
    answer: dict[str, Any] = response.json()
    return answer


async def test_trusted_document_is_executed_by_its_id_however_clients_send_it(
    service: Service,
) -> None:
    await service.tell(created("Kari", profile={"givenName": "Kari"}))
    id = id_of(NAMES)

    answers = [
        await post(service, documentId=id, variables={"n": 1}),
        await post(service, documentId=f"sha256:{id}", variables={"n": 1}),
        await post(service, documentId=id.upper(), variables={"n": 1}),
        await post(service, extensions={"documentId": id}),
        await post(service, extensions={"persistedQuery": {"version": 1, "sha256Hash": id}}),
    ]

    for answer in answers:
        assert answer["data"]["members"]["edges"] == [{"node": {"displayName": "Kari"}}], answer


async def test_unknown_id_is_told_apart_from_a_wrong_one(service: Service) -> None:
    for id in (id_of("unknown"), "", "x", "../changes", "\0"):
        answer = await post(service, documentId=id or "-")

        assert refused_arguments(answer) == ["documentId"]
    assert refused_arguments(await post(service, documentId=7)) == ["documentId"]


async def test_id_beside_a_text_must_be_that_of_the_text(service: Service) -> None:
    for id in (id_of(VIEWER), f"sha256:{id_of(VIEWER).upper()}"):
        same = await post(service, query=VIEWER, documentId=id)
        assert same["data"] == {"viewer": {"accessLevel": "ADMIN"}}

    for id in (id_of(NAMES), id_of("unknown"), "x"):
        for given in (
            {"documentId": id},
            {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": id}}},
        ):
            assert refused_arguments(await post(service, query=VIEWER, **given)) == ["documentId"]


async def test_trusted_document_is_executed_by_its_id_over_a_socket(service: Service) -> None:
    url = service.url.replace("http", "ws", 1) + "/graphql"
    subprotocol = Subprotocol("graphql-transport-ws")
    payload = {"authorization": f"Bearer {service.token()}"}

    async with connect(url, subprotocols=[subprotocol]) as socket:
        await socket.send(json.dumps({"type": "connection_init", "payload": payload}))
        assert json.loads(await socket.recv())["type"] == "connection_ack"
        for id, text in (("1", VIEWER), ("2", CHANGES)):
            body = {"documentId": id_of(text)}
            await socket.send(json.dumps({"type": "subscribe", "id": id, "payload": body}))
        messages = [json.loads(await socket.recv()) for _ in range(3)]

    data = {m["id"]: m["payload"]["data"] for m in messages if m["type"] == "next"}
    assert data == {
        "1": {"viewer": {"accessLevel": "ADMIN"}},
        "2": {"memberChanges": {"__typename": "StreamHeartbeat"}},
    }


async def test_only_trusted_documents_are_executed_where_that_is_set(
    strict: tuple[Service, Allowed],
) -> None:
    service, allowed = strict
    await service.tell(created("Kari"))
    other = "{ viewer { member { displayName } } }"

    by_id = await post(service, "Kari", documentId=id_of(VIEWER))
    by_text = await post(service, "Kari", query=VIEWER)
    unknown = await post(service, "Kari", query=other)
    of_operator = await post(service, query=other)

    assert codes(by_id) == codes(by_text) == []
    assert codes(unknown) == ["FORBIDDEN"]
    assert "data" not in unknown
    assert codes(of_operator) == (["FORBIDDEN"] if allowed is Allowed.TRUSTED else [])


async def get(service: Service, **headers: str) -> httpx.Response:
    return await service.http.get(
        f"{service.url}/graphql",
        params={"documentId": id_of(NAMES), "variables": json.dumps({"n": 5})},
        headers={"Authorization": f"Bearer {service.token()}", **headers},
    )


async def test_answer_that_a_client_has_already_is_not_sent_again(service: Service) -> None:
    first = await get(service)
    again = await get(service, **{"If-None-Match": first.headers["etag"]})
    weak = await get(service, **{"If-None-Match": f'"x", W/{first.headers["etag"]}'})
    await service.tell(created("Kari"))
    changed = await get(service, **{"If-None-Match": first.headers["etag"]})

    assert [r.status_code for r in (first, again, weak, changed)] == [200, 304, 304, 200]
    assert again.content == b""
    assert again.headers["etag"] == first.headers["etag"] != changed.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache"
    assert "Authorization" in first.headers["vary"]


async def test_head_is_answered_with_the_headers_of_get(service: Service) -> None:
    url, tag = f"{service.url}/graphql", (await get(service)).headers["etag"]
    params = {"documentId": id_of(NAMES), "variables": json.dumps({"n": 5})}
    headers = {"Authorization": f"Bearer {service.token()}"}

    first = await service.http.head(url, params=params, headers=headers)
    again = await service.http.head(url, params=params, headers={**headers, "If-None-Match": tag})

    assert (first.status_code, first.headers["etag"]) == (200, tag)
    assert first.headers["cache-control"] == "private, no-cache"
    assert (again.status_code, again.headers["etag"]) == (304, tag)


async def test_mutation_may_not_come_by_get_even_when_it_is_trusted(service: Service) -> None:
    variables = {"input": {"code": "member", "accessLevel": "ADMIN"}}
    before = await service.data("{ roles { code accessLevel } }")

    refused = await service.http.get(
        f"{service.url}/graphql",
        params={"documentId": id_of(LOGIN), "variables": json.dumps(variables)},
        headers={"Authorization": f"Bearer {service.token()}"},
    )

    assert refused.status_code == 405
    assert refused.headers["allow"] == "POST"
    assert await service.data("{ roles { code accessLevel } }") == before


async def test_trusted_document_may_be_larger_than_one_of_a_stranger(
    settings: Settings, folder: Path
) -> None:
    large = "query Large { roles { " + "code " * 900 + "} }"
    (folder / "large.graphql").write_text(large)

    async with running(settings) as url, httpx.AsyncClient(timeout=DEADLINE) as http:
        service = Service(url, http, settings)
        sent = await post(service, query=large)
        trusted = await post(service, documentId=id_of(large))

    assert codes(sent) == ["COST_LIMIT"]
    assert codes(trusted) == []


async def test_trusted_document_may_be_as_large_when_it_is_sent_as_text(
    settings: Settings, folder: Path
) -> None:
    large = "query Large { roles { " + "code " * 900 + "} }"
    (folder / "large.graphql").write_text(large)
    given = settings.model_copy(update={"documents": Allowed.TRUSTED})

    async with running(given) as url, httpx.AsyncClient(timeout=DEADLINE) as http:
        answer = await post(Service(url, http, given), query=large)

    assert codes(answer) == []


@pytest.mark.child_process
async def test_manifest_of_relays_compiler_is_taken(tmp_path: Path, settings: Settings) -> None:
    install_packages()
    source, folder = tmp_path / "relay", tmp_path / "of relay"
    source.mkdir()
    manifest = await relay_compile(source)
    environment = {"documents_folder": str(folder)}
    made = str(source / "persisted.json")

    added = await run(tmp_path, "documents", "add", made, **environment)
    again = await run(tmp_path, "documents", "add", made, **environment)
    listed = await run(tmp_path, "documents", "list", **environment)

    assert (added.code, again.code, listed.code) == (0, 0, 0), added.err
    assert f"Added {len(manifest)} of {len(manifest)} documents." in added.out
    assert "Added 0" in again.out
    assert {line.split()[0] for line in listed.out.splitlines()} == set(manifest)
    assert "membersSubscription" in listed.out
    given = settings.model_copy(update={"documents_folder": folder})
    async with running(given) as url, httpx.AsyncClient(timeout=DEADLINE) as http:
        service = Service(url, http, given)
        (query,) = [id for id, text in manifest.items() if "query membersQuery" in text]
        answer = await post(service, documentId=query, variables={"first": 3})
    assert codes(answer) == [], answer


@pytest.mark.child_process
async def test_what_cannot_be_executed_or_has_another_id_is_not_added(tmp_path: Path) -> None:
    broken, foreign, no_manifest = (tmp_path / f"{n}.json" for n in ("broken", "foreign", "no"))
    wrong, other, below = (tmp_path / name for name in ("wrong.graphql", "notes.txt", "below"))
    wrong.write_text("{ nothing }")
    other.write_text(VIEWER)
    below.mkdir()
    broken.write_text(json.dumps({id_of("{ nothing }"): "{ nothing }"}))
    foreign.write_text(json.dumps({hashlib.md5(b"x").hexdigest(): VIEWER}))  # noqa: S324
    no_manifest.write_text("[1]")
    folder = tmp_path / "documents"

    for file, complaint in (
        (broken, "Cannot query field 'nothing'"),
        (wrong, "Cannot query field 'nothing'"),
        (foreign, "is not the SHA-256 of its document"),
        (no_manifest, "not a manifest"),
        (tmp_path / "absent.json", "No such file"),
        (tmp_path / "absent", "only manifests (.json) and .graphql files"),
        (other, "only manifests (.json) and .graphql files"),
        (below, "only manifests (.json) and .graphql files"),
    ):
        done = await run(tmp_path, "documents", "add", str(file), documents_folder=str(folder))
        assert done.code == 1
        assert complaint in done.err
        assert str(file) in done.err
    assert not folder.exists()


async def test_service_does_not_start_with_a_manifest_it_cannot_read(
    settings: Settings, folder: Path
) -> None:
    (folder / "other.json").write_text("{")

    with pytest.raises(SettingsError, match=r"other\.json"):
        async with running(settings):
            pass
