"""Commits that fail one after the other are no longer taken for a coincidence, for a while."""

import logging

import pytest

from db.commit_health import FAILURES, LASTS_SECONDS, CommitHealth
from db.errors import DatabaseUnavailableError

FULL = DatabaseUnavailableError("database or disk is full (SQLITE_FULL)")


def test_failures_in_a_row_count_until_one_succeeds(caplog: pytest.LogCaptureFixture) -> None:
    health = CommitHealth()
    seen = []
    with caplog.at_level(logging.INFO):
        for _ in range(FAILURES + 2):
            health.failed(FULL)
            seen.append(health.failing)
        health.succeeded()

    assert seen == [*[False] * (FAILURES - 1), *[True] * 3]
    assert not health.failing
    assert caplog.messages == [
        f"{FAILURES} commits in a row have failed: {FULL}",
        "Commits succeed again.",
    ]


def test_a_success_in_between_begins_the_count_anew() -> None:
    health = CommitHealth()
    for _ in range(2):
        for _ in range(FAILURES - 1):
            health.failed(FULL)
        health.succeeded()

    assert not health.failing


def test_senders_are_let_in_again_to_try() -> None:
    now = 100.0
    health = CommitHealth(lambda: now)
    for _ in range(FAILURES):
        health.failed(FULL)

    now += LASTS_SECONDS
    tried = health.failing
    health.failed(FULL)

    assert not tried
    assert health.failing
