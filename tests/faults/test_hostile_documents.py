"""Whatever document or variables are sent, with a token that may see everything: no error that
nobody expected, and the service goes on."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from graphql import Lexer, Source, TokenKind
from hypothesis import strategies as st

from app.auth.own_tokens import mint
from app.settings import Settings
from tests.faults.hostile import json_texts
from tests.faults.made_up import act_on
from tests.faults.process import ServiceProcess
from tests.faults.wire import Answer, Attack, exchange, good_request, json_headers, request
from tests.recorded.operations import OPERATIONS
from tests.support.builders import created

TOGETHER = 20
GROWTH_MIB = 48
ODD_TOKENS = [
    "{", "}", "(", ")", "[", "]", ":", "!", "=", "$", "@", "|", "&", "...", '"', '"""', '"\\u0000"',
    '"\\ud800"', "0", "-0", "1e999", "9" * 400, "null", "true", "__typename", "__schema", "__type",
    "on", "fragment f on Member { ...f }", "@skip(if: true)", "@include(if: $none)", "\ufeff", "\0",
    "#", ",", "query", "mutation", "subscription", "first: -1", "first: 2147483648", "id", "$id",
    'after: "MTox"', "node(id: 1) { id }", "{ " * 200, "a" * 3000, "å", "\U0001f600", "\u202e",
]  # fmt: skip


@cache
def tokens_of(text: str) -> tuple[str, ...]:
    """The pieces of a document, as a reader of GraphQL sees them."""
    lexer = Lexer(Source(text))
    pieces = []
    while (token := lexer.advance()).kind is not TokenKind.EOF:
        pieces.append(text[token.start : token.end])
    return tuple(pieces)


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A document of a client, in which a few pieces are gone, doubled, moved or something else."""
    pieces = list(tokens_of(draw(st.sampled_from(OPERATIONS)).text))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(pieces) - 1))
        match draw(st.sampled_from(["gone", "doubled", "moved", "another", "between"])):
            case "gone" if len(pieces) > 1:
                del pieces[place]
            case "doubled":
                pieces[place:place] = pieces[place : place + draw(st.integers(1, 30))]
            case "moved":
                other = draw(st.integers(0, len(pieces) - 1))
                pieces[place], pieces[other] = pieces[other], pieces[place]
            case "another":
                pieces[place] = draw(st.sampled_from(ODD_TOKENS))
            case _:
                pieces.insert(place, draw(st.sampled_from(ODD_TOKENS)))
    return " ".join(pieces)


def _object(members: dict[str, str]) -> str:
    """The text of a JSON object whose values are texts that need not be JSON."""
    return "{" + ", ".join(f"{json.dumps(name)}: {text}" for name, text in members.items()) + "}"


names = st.sampled_from(["id", "first", "after", "filter", "input", "by", "state", "reason"])
VARIABLES = re.compile(r"\$ (\w+) : (\w+)")


@st.composite
def bodies(draw: st.DrawFn, ids: Sequence[str]) -> bytes:
    """A request with a document and its variables, most of them of about the right kind."""
    if draw(st.integers(0, 9)) == 0:
        return draw(json_texts).encode("utf-8", "surrogatepass")
    document = draw(documents())
    known = st.sampled_from([*map(json.dumps, ids), '"ACTIVE"', '"ADMIN"', "true"])
    values = st.recursive(
        st.one_of(known, known, st.sampled_from(["1", "25"]), json_texts),
        lambda inner: st.dictionaries(names, inner, max_size=3).map(_object),
        max_leaves=5,
    )
    good = {"ID": known, "Int": st.sampled_from(["1", "25", "100"]), "Boolean": st.just("true")}
    variables = {
        name: draw(good.get(kind, values) if draw(st.integers(0, 4)) else values)
        for name, kind in VARIABLES.findall(document)
    }
    request = {"query": json.dumps(document), "variables": _object(variables)}
    others = {"operationName": json_texts, "extensions": json_texts, "variables": json_texts}
    if draw(st.integers(0, 9)) == 0:
        request |= draw(st.fixed_dictionaries({}, optional=others))
    return _object(request).encode("utf-8", "surrogatepass")


async def assault(port: int, token: str, wave: Sequence[bytes]) -> list[Answer | None]:
    bearer = (b"authorization", f"Bearer {token}".encode())
    attacks = [Attack(request([bearer, *json_headers(b)], b, b"/graphql")) for b in wave]
    return await asyncio.gather(*(exchange(port, attack) for attack in attacks))


async def found(port: int, token: str) -> list[str]:
    """Makes a few members known, and returns ids and cursors of what there is then."""
    for name in ("Kari", "Ola", "Åse"):
        event = Attack(good_request(name.encode().hex().encode(), created(name)), signed=True)
        answer = await exchange(port, event)
        assert answer is not None
        assert answer.status == 200
    everything = """{ roles { id } syncLog { edges { cursor node { id } } } members { changeCursor
        edges { cursor node { id portalId organization { id } } } } }"""
    (answer,) = await assault(port, token, [json.dumps({"query": everything}).encode()])
    assert answer is not None
    return sorted(
        set(re.findall(r'"(?:id|portalId|cursor|changeCursor)":"([^"]+)"', answer.body.decode()))
    )


def codes_of(answer: Answer) -> set[str]:
    """The codes of the errors in an answer; `none` where there are no errors."""
    said: Any = answer.json()
    return {error["extensions"]["code"] for error in said.get("errors", ())} or {"none"}


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def test_no_document_makes_the_service_fail_or_grow(
    database_url: str, tmp_path: Path, runner: asyncio.Runner, cases: int, long: bool
) -> None:
    token = mint(Settings(_env_file=None), "test", operator=True, lifetime=timedelta(days=1))  # type: ignore[call-arg]  # pydantic-settings takes it at run time
    said: Counter[str] = Counter()
    memory: list[float] = []
    with ServiceProcess(database_url, tmp_path) as service:
        service.start()
        runner.run(service.ready())
        ids = runner.run(found(service.port, token))

        def ask(wave: list[bytes]) -> None:
            for body, answer in zip(
                wave, runner.run(assault(service.port, token, wave)), strict=True
            ):
                assert answer is not None, body
                assert answer.status < 500, (body, answer)
                codes = codes_of(answer)
                assert "INTERNAL_SERVER_ERROR" not in codes, (body, answer)
                said.update(codes)
            memory.append(service.resident_mib())

        waves = st.lists(bodies(ids), min_size=TOGETHER, max_size=TOGETHER)
        act_on(waves, ask, cases // TOGETHER, anew=long)
        complaints = service.complaints()

    warm = memory[len(memory) // 4]
    print(f"answers {dict(said.most_common())}; memory {warm:.0f}, {memory[-1]:.0f} MiB")  # noqa: T201
    assert complaints == []
    assert said["none"] > said.total() / 40
    if long:
        assert memory[-1] - warm < GROWTH_MIB
