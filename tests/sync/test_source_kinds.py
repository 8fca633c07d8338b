"""Each kind of source has a folder with its code, a guide of fixed sections, and sample bodies."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest

import sync
from app.settings import SourceSettings
from sync.errors import RejectedError
from sync.intake.sources import one_event

KINDS = sorted(scheme.parent for scheme in Path(sync.__file__).parent.glob("*/scheme.py"))
SECTIONS = [
    "What it sends",
    "How it proves itself",
    "What it promises about order and repetition",
    "What is lost, and how we notice",
    "How to try it",
]
OF_OUR_OWN = ("shared_key", "standard_webhooks")
RECEIVED = datetime(2026, 12, 1, tzinfo=UTC)


def bodies(kind: Path) -> list[Path]:
    return sorted((kind / "bodies").glob("*.json"))


def test_the_kinds_are_those_that_the_settings_know() -> None:
    assert {kind.name.replace("_", "-") for kind in KINDS} == set(
        get_args(SourceSettings.model_fields["scheme"].annotation)
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_guide_has_its_sections_and_says_something_in_each(kind: Path) -> None:
    text = (kind / "README.md").read_text(encoding="utf-8")
    _, *parts = re.split(r"^## (.*)$", text, flags=re.MULTILINE)

    assert parts[::2] == SECTIONS
    assert all(len(said.split()) > 10 for said in parts[1::2])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_kind_has_at_least_ten_bodies(kind: Path) -> None:
    assert len(bodies(kind)) >= 10


@pytest.mark.parametrize(
    "body",
    [body for kind in KINDS if kind.name in OF_OUR_OWN for body in bodies(kind)],
    ids=lambda body: f"{body.parent.parent.name}/{body.stem}",
)
def test_body_of_our_own_format_is_read(body: Path) -> None:
    (delivery,) = one_event("portal", "evt_1", RECEIVED, {}, body.read_bytes())

    assert not isinstance(delivery.content, RejectedError), delivery.content
