"""Whatever is sent on a WebSocket: no error in the log, no growth, and the service goes on."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import strategies as st

from tests.faults.floods import HANDSHAKE, frame
from tests.faults.hostile import json_texts, plain
from tests.faults.made_up import act_on
from tests.faults.process import PATIENCE, ServiceProcess
from tests.faults.wire import Attack, exchange, good_request
from tests.support.bare_sockets import CHANGES
from tests.support.builders import created

TOGETHER = 20
GROWTH_MIB = 48
INIT = frame(0x1, b'{"type":"connection_init"}')

types = st.sampled_from(["connection_init", "subscribe", "complete", "ping", "pong", "next", ""])
queries = st.sampled_from([CHANGES, "{ __typename }", "{ viewer { member { id } } }", "{", "\x00"])
payloads = st.one_of(
    plain, st.fixed_dictionaries({"query": queries}, optional={"variables": plain})
)
messages = st.fixed_dictionaries(
    {}, optional={"type": types, "id": plain | st.just("1"), "payload": payloads}
).map(lambda message: json.dumps(message).encode())
texts = st.one_of(
    messages, messages, json_texts.map(lambda t: t.encode("utf-8", "surrogatepass")), st.binary()
)
opcodes = st.sampled_from([0x0, 0x1, 0x1, 0x1, 0x2, 0x3, 0x8, 0x9, 0xA, 0xF])
frames = st.one_of(
    texts.map(lambda text: frame(0x1, text[:60_000])),
    st.builds(frame, opcodes, st.binary(max_size=200), final=st.booleans()),
    st.binary(max_size=40),
)
attacks = st.tuples(st.booleans(), st.lists(frames, max_size=6)).map(
    lambda drawn: (INIT if drawn[0] else b"") + b"".join(drawn[1])
)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here is a matter of the database."""
    return sqlite_url


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


async def attack(port: int, sent: bytes) -> str:
    """What the socket was closed with: a code, or nothing."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(PATIENCE):
            writer.write(HANDSHAKE)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(sent)
            writer.write_eof()
            with suppress(ConnectionError):
                answered = await reader.read()
                return "answered" if answered else "closed"
            return "cut off"
    finally:
        writer.transport.abort()


def test_no_frames_make_the_service_fail_or_grow(
    database_url: str, tmp_path: Path, runner: asyncio.Runner, cases: int, long: bool
) -> None:
    ends: Counter[str] = Counter()
    memory: list[float] = []
    with ServiceProcess(database_url, tmp_path) as service:
        service.start()
        runner.run(service.ready())

        async def assault(wave: list[bytes]) -> None:
            ends.update(await asyncio.gather(*(attack(service.port, sent) for sent in wave)))

        def attack_in_waves(wave: list[bytes]) -> None:
            runner.run(assault(wave))
            memory.append(service.resident_mib())

        waves = st.lists(attacks, min_size=TOGETHER, max_size=TOGETHER)
        act_on(waves, attack_in_waves, cases // TOGETHER, anew=long)

        good = Attack(good_request(b"evt_good", created("Good")), signed=True)
        answer = runner.run(exchange(service.port, good))
        complaints = service.complaints()

    warm = memory[len(memory) // 4]
    print(f"{ends.total()} cases: {dict(ends)}; memory {warm:.0f}, {memory[-1]:.0f} MiB")  # noqa: T201
    assert answer is not None
    assert answer.status == 200
    assert complaints == []
    assert ends["answered"] > ends.total() / 2
    if long:
        assert memory[-1] - warm < GROWTH_MIB
