"""Keys that names are searched by and numbers ordered by, the same on both databases."""

import unicodedata

WORD_STARTS = (" ", "-")
"""The characters after which a searched word may begin: Marie is found in Anne-Marie."""


def search_key(*values: str | None) -> str:
    """Returns all words, each after a space, so that the beginning of a word is one substring."""
    words = [word for value in values if value for word in folded_words(value)]
    return "".join(f" {word}" for word in words)


def folded_words(text: str) -> list[str]:
    if text.isascii():
        return text.lower().split()
    return unicodedata.normalize("NFC", text).casefold().split()


def searched_words(search: str) -> list[str]:
    """Returns the words that somebody searches for; commas part them as spaces do."""
    return folded_words(search.replace(",", " "))


def number_key(member_number: str | None) -> str:
    """Returns a text that sorts digits as numbers: 99 before 104233."""
    if member_number is None:
        return ""
    return member_number.zfill(20) if member_number.isdecimal() else member_number.casefold()
