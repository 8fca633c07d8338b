"""Keys that names are ordered and searched by, computed here so that both databases agree."""

import unicodedata

# Norwegian sorts æ, ø and å after z, and aa as å. They are replaced by characters after "z" in
# byte order.
_AFTER_Z = str.maketrans({"æ": "{", "ä": "{", "ø": "|", "ö": "|", "å": "}"})


def sort_key(family_name: str | None, given_name: str | None) -> str:
    """Returns a text that sorts by family name, then given name, in Norwegian order when compared
    byte by byte."""
    return " ".join(_alphabetical(name) for name in (family_name, given_name) if name)


def _alphabetical(name: str) -> str:
    if name.isascii() and "aa" not in (lower := name.lower()):
        return lower
    folded = unicodedata.normalize("NFC", name).casefold().replace("aa", "å")
    plain = unicodedata.normalize("NFD", folded.translate(_AFTER_Z))
    return "".join(character for character in plain if not unicodedata.combining(character))


def search_key(*values: str | None) -> str:
    """Returns all words, each after a space, so that the beginning of a word is one substring."""
    words = [word for value in values if value for word in folded_words(value)]
    return "".join(f" {word}" for word in words)


def folded_words(text: str) -> list[str]:
    if text.isascii():
        return text.lower().split()
    return unicodedata.normalize("NFC", text).casefold().split()


def number_key(member_number: str | None) -> str:
    """Returns a text that sorts digits as numbers: 99 before 104233."""
    if member_number is None:
        return ""
    return member_number.zfill(20) if member_number.isdecimal() else member_number.casefold()
