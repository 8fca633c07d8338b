"""The order of names is that of ICU for bokmål."""

import json
import random
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.queries.collation import _character, _elements, _levels, collation_key
from tests.support.javascript import NODE

pytestmark = pytest.mark.child_process

LETTERS = "aabdehklnorstuyzæøåäöüéèđðłþßæøåAADHTZÆØÅÄÖÜÞĐŁ -'"
KNOWN = [
    "HLF Aalesund",
    "HLF Bergen",
    "HLF Zürich",
    "HLF Ål",
    "HLF Ås",
    "HLF Ærøskøbing",
    "HLF Østfold",
    "hlf Askim",
    "Müller",
    "Myller",
    "Muller",
    "Mz",
    "Thor",
    "Þor",
    "Tz",
    "Łukasz",
    "Lukas",
    "Lz",
    "Đorđe",
    "Dorothea",
    "Dz",
    "Ŋa",
    "Na",
    "Nz",
    "Ŧa",
    "Ta",
    "Ǿ",
    "Ø",
    "Ö",
    "Ő",
    "Œ",
    "Ǻ",
    "Å",
    "aa",
    "Aa",
    "AA",
    "aA",
    "Ä",
    "ę",
    "O'Brien",
    "Obrien",
    "Anne-Marie",
    "Anne Marie",
    "Annemarie",
    "René",
    "Rene",
]
_SORT = """
const collator = new Intl.Collator("nb")
const names = JSON.parse(require("fs").readFileSync(0))
console.log(JSON.stringify(names.sort(collator.compare)))
"""


def ordered_by_icu(names: list[str]) -> list[str]:
    done = subprocess.run(  # noqa: S603 -- the program is ours
        [str(NODE), "-e", _SORT],
        input=json.dumps(names),
        capture_output=True,
        text=True,
        check=True,
    )
    answer: list[str] = json.loads(done.stdout)
    return answer


def test_names_are_ordered_as_icu_orders_them() -> None:
    chance = random.Random("names")  # noqa: S311 -- the same names each time
    drawn = ["".join(chance.choices(LETTERS, k=chance.randint(1, 6))).strip() for _ in range(1000)]
    names = list(dict.fromkeys([*KNOWN, *filter(None, drawn)]))
    chance.shuffle(names)

    ordered = sorted(names, key=lambda name: collation_key(name).encode())

    assert ordered == ordered_by_icu(names)


def test_the_family_name_decides_before_the_given_name() -> None:
    people = [("Moe", "Åse"), ("Moen", "Anne"), ("moe", "Berit"), ("Moe", None), (None, "Arne")]

    ordered = sorted(people, key=lambda person: collation_key(*person).encode())

    assert ordered == [
        (None, "Arne"),
        ("Moe", None),
        ("moe", "Berit"),
        ("Moe", "Åse"),
        ("Moen", "Anne"),
    ]


def test_a_key_of_any_text_can_be_stored_and_indexed() -> None:
    for text in ("", " ", "\U0001f600" * 500, "Å" * 5000, "漢字", "\ud7ff\ue000", "ﷺ" * 300):
        key = collation_key(text).encode()

        assert b"\0" not in key
        assert len(key) <= 2_600


# Marks may stand anywhere, also at the beginning of a word.
@given(st.text(LETTERS + " 0123\u0301\u030a\u0327", max_size=20))
def test_words_have_the_same_order_alone_as_in_a_text(text: str) -> None:
    together = _elements(text)

    whole = ["".join(_character(e[level]) for e in together if e[level]) for level in range(3)]

    assert _levels(text) == whole
