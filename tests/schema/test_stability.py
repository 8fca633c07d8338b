"""What was released stays: a change that breaks clients has to be announced in the changelog."""

import json
import re
from pathlib import Path

import pytest

import schema
from tests.schema.test_audits import SDL, node
from tests.support.javascript import PACKAGES, install_packages

pytestmark = pytest.mark.child_process

RELEASED = Path(schema.__file__).parent / "released.graphql"
CHANGELOG = SDL.parent.parent / "CHANGELOG.md"


@pytest.fixture(scope="module", autouse=True)
def _packages() -> None:
    install_packages()


async def breaking_changes(before: Path, after: Path) -> list[dict[str, str]]:
    """By the rules of GraphQL Inspector."""
    found: list[dict[str, str]] = json.loads(
        await node(PACKAGES / "breaking_changes.mjs", before, after)
    )
    return found


def announced() -> set[str]:
    """The paths in backticks under "Breaking" of what is not released yet."""
    unreleased = CHANGELOG.read_text(encoding="utf-8").partition("## Unreleased")[2]
    unreleased = re.split(r"^## ", unreleased, flags=re.MULTILINE)[0]
    section = re.search(r"^### Breaking$(.*?)(?=^### |\Z)", unreleased, re.MULTILINE | re.DOTALL)
    return set(re.findall(r"`([^`]+)`", section[1])) if section else set()


async def test_nothing_that_was_released_breaks_without_an_announcement() -> None:
    known = announced()

    broken = await breaking_changes(RELEASED, SDL)

    assert [change for change in broken if change["path"] not in known] == []


@pytest.mark.parametrize(
    ("within", "old", "new", "path"),
    [
        ("type Member ", "  displayName: ", "  shownName: ", "Member.displayName"),
        ("type Member ", "  portalId: String!\n", "  portalId: String\n", "Member.portalId"),
        ("enum AccessLevel ", "  NONE\n", "  NOTHING\n", "AccessLevel.NONE"),
        ("type Query ", "members(\n", "members(\n    needed: Int!\n", "Query.members.needed"),
        ("input MemberFilter ", "{\n", "{\n  needed: Int!\n", "MemberFilter.needed"),
    ],
)
async def test_what_would_break_clients_is_noticed(
    within: str, old: str, new: str, path: str, tmp_path: Path
) -> None:
    changed = tmp_path / "changed.graphql"
    before, head, after = SDL.read_text(encoding="utf-8").partition(within)
    assert old in after
    changed.write_text(before + head + after.replace(old, new, 1), encoding="utf-8")

    broken = await breaking_changes(SDL, changed)

    assert path in {change["path"] for change in broken}


async def test_what_is_added_breaks_nobody(tmp_path: Path) -> None:
    changed = tmp_path / "changed.graphql"
    text = SDL.read_text(encoding="utf-8")
    changed.write_text(
        text.replace(
            "type Member implements Node {\n", "type Member implements Node {\n  more: Int\n"
        ),
        encoding="utf-8",
    )

    assert changed.read_text(encoding="utf-8") != text
    assert await breaking_changes(SDL, changed) == []
