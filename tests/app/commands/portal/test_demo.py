"""`./run` as a newcomer meets it: two commands to paste, Ctrl-C, and on with the same data."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.commands import START_SECONDS, start
from tests.support.service import DEADLINE, Service

pytestmark = pytest.mark.child_process

LAST_LINE = "Times are UTC. Ctrl-C stops."
WHO = ["operator", "administrator (HLF)", "coordinator (a county)", "peer mentor"]


@dataclass
class Demo:
    """What a running demo has printed so far."""

    process: asyncio.subprocess.Process
    text: str

    @property
    def url(self) -> str:
        found = re.search(r"Likeperson Sync is at (http://[\d.]+:\d+);", self.text)
        assert found, self.text
        return found[1]

    async def token(self, who: str, http: httpx.AsyncClient) -> str:
        """Returns the token for which the code of a link is exchanged."""
        found = re.search(rf"  {re.escape(who)}:\n  \S+/graphiql#code=(\S+)\n", self.text)
        assert found, self.text
        answer = await http.post(f"{self.url}/sign-in", json={"code": found[1]})
        token: str = answer.json()["token"]
        return token

    def pasted(self, title: str) -> str:
        """Returns the document below a title."""
        found = re.search(rf"{title}:\n\n(.+?)\n\n", self.text, re.DOTALL)
        assert found, self.text
        return found[1]

    async def stop(self, told_by: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """Sends the signal; returns the exit code and the rest of standard error."""
        self.process.send_signal(told_by)
        _, err = await asyncio.wait_for(self.process.communicate(), START_SECONDS)
        assert self.process.returncode is not None
        return self.process.returncode, err.decode()


@asynccontextmanager
async def running_demo(folder: Path) -> AsyncIterator[Demo]:
    process = await start(folder, "demo", "--port", "0")
    assert process.stdout is not None
    text = ""
    try:
        async with asyncio.timeout(START_SECONDS):
            while LAST_LINE not in text:
                line = (await process.stdout.readline()).decode()
                assert line, text
                text += line
        yield Demo(process, text)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_demo_can_be_pasted_from_and_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    async with running_demo(tmp_path) as demo, httpx.AsyncClient(timeout=DEADLINE) as http:
        service = Service(demo.url, http)
        tokens = {who: await demo.token(who, http) for who in WHO}
        operator = tokens["operator"]
        graphiql = await http.get(f"{demo.url}/graphiql")
        data = await service.data(demo.pasted("A query worth pasting"), token=operator)
        levels = [
            (await service.data("{ viewer { accessLevel } }", token=tokens[who]))["viewer"]
            for who in WHO
        ]
        async with service.subscribe(demo.pasted("And a subscription"), token=operator) as changes:
            change = await changes.next("MemberChange")
        members = data["members"]["totalCount"]
        health = await service.data("{ syncHealth { summary dead } }", token=operator)
        code, err = await demo.stop()

    assert members >= 300
    assert graphiql.status_code == 200
    assert [level["accessLevel"] for level in levels] == [
        "ADMIN",
        "ADMIN",
        "COORDINATOR",
        "PEER_MENTOR",
    ]
    assert change["operation"] in ("ADDED", "UPDATED", "REMOVED")
    assert health["syncHealth"]["dead"] == 0
    assert code == 0
    assert "Traceback" not in err

    async with running_demo(tmp_path) as demo, httpx.AsyncClient(timeout=DEADLINE) as http:
        service = Service(demo.url, http)
        again = await service.data(
            "{ members { totalCount } }", token=await demo.token("operator", http)
        )
        mentor = await demo.token("peer mentor", http)
        peer = await service.data("{ viewer { accessLevel } }", token=mentor)
        code, err = await demo.stop(signal.SIGTERM)

    assert "goes on with its" in demo.text
    assert members <= again["members"]["totalCount"] < members + 20
    assert peer["viewer"]["accessLevel"] == "PEER_MENTOR"
    assert code == 0
    assert "Traceback" not in err
