"""Makes text of senders safe to print: it cannot control the terminal, nor hide what it says."""

import unicodedata

# Cc: control characters, with those that start terminal sequences. Cf: bidirectional overrides,
# zero-width characters and tags. Cs, Co, Cn: not characters. Zl, Zp: line breaks.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def plain(text: str) -> str:
    """Returns the text with each invisible character written as its JSON escape, such as `\\u202e`.

    JSON stays equal JSON, since such characters occur within its strings only.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(it) if unicodedata.category(it) in _HIDDEN else it for it in text)


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
