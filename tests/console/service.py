"""The service as the console meets it: a process of its own, which can be killed."""

import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from app.auth.own_tokens import mint, mint_code
from app.settings import DEVELOPMENT_WEBHOOK_SECRET, PREFIX, Settings
from tests.support.builders import body_of, guid
from tests.support.service import DEADLINE, signed_headers


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class ConsoleService:
    """`settings` are of the environment, without their prefix."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        given = {PREFIX + name: value for name, value in self.settings.items()}
        given[PREFIX + "LOG_LEVEL"] = "warning"
        given[PREFIX + "DATABASE_URL"] = f"sqlite+aiosqlite:///{self.folder / 'likeperson.db'}"
        self._process = subprocess.Popen(  # noqa: S603 -- our program
            [sys.executable, "-m", "app", "serve", "--port", str(self.port)],
            env={**os.environ, "PYTHONPATH": str(Path.cwd()), **given},
            cwd=self.folder,
        )
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        # Tried again while nobody listens yet.
        with httpx.Client(transport=httpx.HTTPTransport(retries=7), timeout=DEADLINE) as http:
            assert http.get(f"{self.url}/readyz").status_code == 200

    def kill(self) -> None:
        """As a loss of power does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    @contextmanager
    def elsewhere(self) -> Iterator["ConsoleService"]:
        """Another process on the same database, of which nobody else knows."""
        other = ConsoleService(self.folder, self.settings)
        other.start()
        try:
            yield other
        finally:
            other.kill()

    def link(self, path: str = "/", member: str | None = None) -> str:
        """Returns a link to a page that signs in as this member, or as an operator, once."""
        subject = guid(member) if member else "test"
        settings = Settings(_env_file=None)  # type: ignore[call-arg]  # pydantic-settings takes it
        code = mint_code(settings, subject, operator=member is None)
        return f"{self.url}{path}#code={code}"

    def token(self, member: str | None = None) -> str:
        """For the member of this (builders') name, or for an operator."""
        return mint(
            Settings(_env_file=None),  # type: ignore[call-arg]  # pydantic-settings takes it
            guid(member) if member else "test",
            operator=member is None,
            lifetime=timedelta(hours=1),
        )

    def deliver(self, event: dict[str, Any] | bytes) -> httpx.Response:
        body = event if isinstance(event, bytes) else body_of(event)
        headers = signed_headers(body, f"evt_{uuid.uuid4().hex}", DEVELOPMENT_WEBHOOK_SECRET)
        return httpx.post(f"{self.url}/webhooks/portal", content=body, headers=headers)

    def tell(self, *events: dict[str, Any]) -> None:
        """Deliver them one after the other; each must be taken."""
        for event in events:
            response = self.deliver(event)
            assert response.status_code == 200, response.text

    def data(self, query: str, **variables: Any) -> dict[str, Any]:
        """What an operator is answered; errors fail the test."""
        response = httpx.post(
            f"{self.url}/graphql",
            json={"query": query, "variables": variables},
            headers={"Authorization": f"Bearer {self.token()}"},
        )
        answer = response.json()
        assert "errors" not in answer, answer
        data: dict[str, Any] = answer["data"]
        return data

    def member_id(self, name: str) -> str:
        query = "query ($by: MemberLookup!) { member(by: $by) { id } }"
        id: str = self.data(query, by={"portalId": guid(name)})["member"]["id"]
        return id
