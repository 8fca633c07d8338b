"""Whatever is sent to the route: never a 500, never a traceback, and the service goes on."""

import asyncio
import gzip
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import strategies as st

from tests.faults.hostile import attacks, nested, signed_attack
from tests.faults.made_up import act_on
from tests.faults.process import ServiceProcess
from tests.faults.wire import (
    Answer,
    Attack,
    exchange,
    good_request,
)
from tests.support.builders import created

TOGETHER = 20
"""Attacks in one example, which come at the same time."""
GROWTH_MIB = 48
EVENT = json.dumps(created("Kari")).encode()
MIB = 2**20


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def service(database_url: str, tmp_path: Path, runner: asyncio.Runner) -> Iterator[ServiceProcess]:
    with ServiceProcess(database_url, tmp_path) as service:
        service.start()
        runner.run(service.ready())
        yield service


async def assault(service: ServiceProcess, wave: Sequence[Attack]) -> list[Answer | None]:
    answers = await asyncio.gather(*(exchange(service.port, attack) for attack in wave))
    for attack, answer in zip(wave, answers, strict=True):
        if answer is None:
            assert not attack.whole, attack
            continue
        assert answer.status < 500, (attack, answer)
        assert attack.signed or answer.status >= 400, (attack, answer)
    return answers


def status_of(answer: Answer | None) -> int | None:
    return answer.status if answer else None


async def check_it_goes_on(service: ServiceProcess) -> None:
    good = Attack(good_request(b"evt_good", created("Good")), signed=True)
    answer = await exchange(service.port, good)
    assert answer is not None
    assert answer.status == 200
    assert service.complaints() == []


def test_no_input_makes_the_service_fail_or_grow(
    service: ServiceProcess, runner: asyncio.Runner, cases: int, long: bool
) -> None:
    answers: Counter[int | None] = Counter()
    memory: list[float] = []

    # Each is sent to the service as the one before left it.
    def attack(wave: list[Attack]) -> None:
        answers.update(map(status_of, runner.run(assault(service, wave))))
        memory.append(service.resident_mib())

    waves = st.lists(attacks, min_size=TOGETHER, max_size=TOGETHER)
    act_on(waves, attack, cases // TOGETHER, anew=long)

    runner.run(check_it_goes_on(service))
    warm = memory[len(memory) // 4]
    print(  # noqa: T201
        f"{sum(answers.values())} cases, answers {dict(answers.most_common())}; "
        f"memory {memory[0]:.0f}, after a quarter {warm:.0f}, in the end {memory[-1]:.0f} MiB"
    )
    assert set(answers) <= {None, 200, 202, 400, 401, 404, 405, 409, 413, 415, 422}
    assert {200, 400, 401, 409, 422} <= set(answers)
    if long:
        assert memory[-1] - warm < GROWTH_MIB


LONG_TIME = EVENT.replace(b'"timestamp": "', b'"timestamp": "' + b"9" * 999)


def specimens() -> dict[str, tuple[Attack, int]]:
    """Each with the answer it deserves. Signed now, since a signature is good for five minutes."""
    return {
        "10 MB of text": (signed_attack(b"evt_1", b'"' + b"x" * 10 * MIB + b'"'), 413),
        "10 MB in a field": (
            signed_attack(b"evt_2", json.dumps(created("x" * 10 * MIB)).encode()),
            413,
        ),
        "a body just too large": (signed_attack(b"evt_3", EVENT + b" " * MIB), 413),
        "the largest body": (signed_attack(b"evt_4", EVENT + b" " * (MIB - len(EVENT))), 200),
        "500,000 brackets": (signed_attack(b"evt_5", nested(500_000, "[")), 400),
        "100,000 objects": (signed_attack(b"evt_6", nested(100_000, '{"data":')), 400),
        "a million digits": (signed_attack(b"evt_7", b"9" * 1_000_000), 422),
        "digits for a time": (
            signed_attack(
                b"evt_8", EVENT.replace(b'"timestamp": "', b'"timestamp": "' + b"9" * 999)
            ),
            422,
        ),
        "a gzip bomb": (signed_attack(b"evt_9", gzip.compress(bytes(100 * MIB))), 400),
        "not UTF-8": (signed_attack(b"evt_10", b'{"type": "\xff"}'), 200),
        "a lone surrogate": (signed_attack(b"evt_11", EVENT.replace(b"Kari", b"\\ud800")), 200),
        "NUL in a name": (signed_attack(b"evt_12", EVENT.replace(b"Kari", b"a\\u0000")), 200),
        "an empty body": (signed_attack(b"evt_13", b""), 400),
    }


def test_every_specimen_is_answered_as_it_deserves(
    service: ServiceProcess, runner: asyncio.Runner
) -> None:
    tried = specimens()

    answers = runner.run(assault(service, [attack for attack, _ in tried.values()]))

    statuses = dict(zip(tried, map(status_of, answers), strict=True))
    assert statuses == {name: status for name, (_, status) in tried.items()}
    runner.run(check_it_goes_on(service))
