"""Every remark and refusal has a Norwegian text in the console."""

import inspect
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from sync import remarks

NORWEGIAN = Path(__file__).parents[2] / "console" / "web" / "src" / "messages" / "remarks.ts"
PATTERNS = re.findall(r"\[\s*/(.+)/g,\s*'(.+)',?\s*\]", NORWEGIAN.read_text(encoding="utf-8"))
SAMPLES = {str: "KeyError", int: 17, Sequence[str]: ["roles", "state"]}


def examples() -> dict[str, str]:
    """Returns each remark by its name, with something in each of its places."""
    found = {}
    for name, remark in vars(remarks).items():
        if isinstance(remark, str) and name.isupper():
            found[name] = remark
        elif inspect.isfunction(remark):
            kinds = inspect.signature(remark).parameters.values()
            found[name] = remark(*(SAMPLES[kind.annotation] for kind in kinds))
    return found


@pytest.mark.parametrize("name", examples())
def test_remark_has_a_norwegian_text(name: str) -> None:
    text = examples()[name]

    translations = [
        norwegian for pattern, norwegian in PATTERNS if re.match(pattern, text) is not None
    ]

    assert len(translations) == 1, text
    places = re.findall(r"\$(\d)", translations[0])
    assert sorted(places) == sorted({*places})


def test_no_norwegian_text_is_left_over() -> None:
    texts = examples().values()

    unused = [pattern for pattern, _ in PATTERNS if not any(re.match(pattern, t) for t in texts)]

    assert unused == []
