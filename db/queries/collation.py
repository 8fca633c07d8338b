"""Norwegian order: the Unicode Collation Algorithm with CLDR's rules for bokmål, as keys that are
stored and compared byte by byte, so that both databases have the same order."""

import unicodedata
from functools import cache, lru_cache

from pyuca import Collator

Element = tuple[int, int, int]
"""The weights of a letter: which letter, which mark on it, which case."""

_LEVELS = 3
# So that a key fits into an index of PostgreSQL, whose entries have at most 2,704 bytes.
_MAX_KEY = 800
# What separates levels, and fields within a level, sorts before every weight.
_LEVEL, _FIELD, _FIRST_WEIGHT = " ", "!", 0x23
_SURROGATES = range(0xD800, 0xE000)

# Æ, ø and å are letters of their own after all other Latin ones. The Unicode order has no room
# there, so each has the weight of the last one and another one that no letter has.
_LAST_LATIN = 0x1F98
_AFTER_Z = (
    (1, ("æ", "ä", "ę")),
    (2, ("ø", "ö", "ő", "œ")),
    (3, ("å", "aa")),
)
# Letters that count as others, with a difference that decides between equals only.
_LIKE = {"đ": "d", "ð": "d", "þ": "th", "ü": "y", "ű": "y"}
_FIRST_MARK = 0x200
_LOWER, _TITLE, _UPPER = 0x02, 0x07, 0x08


def collation_key(*fields: str | None) -> str:
    """Returns a text that sorts by the letters of all fields, then by their marks, then by case."""
    levels = [_levels(field) for field in fields if field]
    return _LEVEL.join(_FIELD.join(of_fields) for of_fields in zip(*levels, strict=True))[:_MAX_KEY]


def _levels(text: str) -> list[str]:
    """Returns the weights of a text, level by level.

    No rule of the order reaches across a space, so the words, which many names share, are looked up
    one by one: an optimisation.
    """
    words = [_word_levels(word) for word in text.split(" ")]
    spaces = _word_levels(" ")
    return [
        space.join(of_words)
        for space, of_words in zip(spaces, zip(*words, strict=True), strict=True)
    ]


@lru_cache(maxsize=8192)
def _word_levels(word: str) -> tuple[str, ...]:
    elements = _elements(word)
    return tuple(
        "".join(_character(element[level]) for element in elements if element[level])
        for level in range(_LEVELS)
    )


def _character(weight: int) -> str:
    code = weight + _FIRST_WEIGHT
    return chr(code if code < _SURROGATES.start else code + len(_SURROGATES))


def _elements(text: str) -> tuple[Element, ...]:
    found = _collator().collation_elements(unicodedata.normalize("NFD", text))
    return tuple((first, second, third) for first, second, third in found)


@cache
def _collator() -> Collator:
    """Returns the collator, which takes a fifth of a second to load."""
    collator = Collator()

    def add(text: str, elements: list[list[int]]) -> None:
        collator.table.add([ord(c) for c in unicodedata.normalize("NFD", text)], elements)

    for number, letters in _AFTER_Z:
        for place, letter in enumerate(letters):
            for spelling, case in _spellings(letter):
                mark = _FIRST_MARK + place if place else 0x20
                add(spelling, [[_LAST_LATIN, mark, case], [number, 0, 0]])
    for place, (letter, like) in enumerate(_LIKE.items()):
        for spelling, case in _spellings(letter):
            same = collator.collation_elements(like if case == _LOWER else like.title())
            mark = 0 if len(like) > 1 else _FIRST_MARK + place
            add(spelling, [*same, [0, mark, case]])
    return collator


def _spellings(letter: str) -> list[tuple[str, int]]:
    """Returns the letter in each case, in their order. Of two letters, aA is not one of them."""
    spellings = [(letter, _LOWER), (letter.upper(), _UPPER)]
    return spellings if len(letter) == 1 else [*spellings, (letter.title(), _TITLE)]
