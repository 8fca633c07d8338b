"""`LIKEPERSON_LOG_FORMAT=json`: one object a line, which machines read and which names nobody."""

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.edge.request_ids import current_request_id
from app.logs import JsonLines
from app.settings import Settings
from tests.app.test_logs import PROFILE, SECRETS, break_database
from tests.faults.process import ServiceProcess
from tests.support.builders import created
from tests.support.service import DEADLINE, Service


def line_of(message: object, *args: object, error: Exception | None = None) -> dict[str, Any]:
    failure = None if error is None else (type(error), error, error.__traceback__)
    record = logging.LogRecord("app.x", logging.WARNING, "x.py", 1, message, args, failure)
    text = JsonLines().format(record)
    assert "\n" not in text
    assert text.isascii()
    line: dict[str, Any] = json.loads(text)
    return line


def test_line_says_when_in_utc_how_severe_and_what() -> None:
    line = line_of("%s of %s\nand \ud800 Ø", 1, "x")

    assert set(line) == {"time", "level", "logger", "message"}
    assert (line["level"], line["logger"]) == ("WARNING", "app.x")
    assert line["message"] == "1 of x\nand \ud800 Ø"
    assert line["time"].endswith("Z")
    assert abs(datetime.fromisoformat(line["time"]) - datetime.now(UTC)).total_seconds() < DEADLINE


def test_line_of_a_request_has_its_id_and_one_of_a_failure_its_traceback() -> None:
    token = current_request_id.set("abc")
    try:
        line = line_of("x", error=ValueError("why\nso"))
    finally:
        current_request_id.reset(token)

    assert line["requestId"] == "abc"
    assert "ValueError: why" in line["error"]


@pytest.mark.child_process
async def test_whole_log_of_the_service_is_json_and_names_nobody(
    database_url: str, tmp_path: Path
) -> None:
    with ServiceProcess(database_url, tmp_path, log_format="json", log_level="debug") as process:
        process.start()
        await process.ready()
        async with httpx.AsyncClient(timeout=DEADLINE) as http:
            service = Service(process.url, http, Settings(database_url=database_url))
            await service.tell(created("Kari", profile=PROFILE))
            await break_database(database_url)
            await service.deliver(
                created("Kari", profile=PROFILE),
                webhook_signature="v1,AAAA",
                x_request_id="the-one-that-is-refused",
            )
        await process.terminate()
        text = process.log_file.read_text()

    lines = [json.loads(line) for line in text.splitlines() if not line.startswith("Likeperson")]
    assert {"time", "level", "logger", "message"} <= set.intersection(*map(set, lines))
    assert any(line.get("requestId") == "the-one-that-is-refused" for line in lines)
    for secret in SECRETS:
        assert secret not in text
