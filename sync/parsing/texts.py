"""Reads texts, ids and numbers of an event, and mends what can be mended."""

import math
import re
import unicodedata

from msgspec import UNSET, UnsetType

from db.vocabulary import ActivationState, PortalId, read_portal_id
from sync import remarks

_REPLACED = "�"
# Control characters and line breaks, and runs of blanks.
_FOLDED = re.compile(r"[\s\x00-\x1f\x7f-\x9f]{2,}|[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Texts:
    """Reads the texts of one event, and collects remarks on what was mended."""

    def __init__(self) -> None:
        self.remarks: list[str] = []

    def clean(self, value: object, at: str) -> str | UnsetType | None:
        """Returns the text, None if it is null or blank, and UNSET if it is not a text."""
        if value is None:
            return None
        if not isinstance(value, str):
            if not _is_number(value):
                return UNSET
            self.remarks.append(remarks.number_as_text(at))
            value = _written(value)
        text = value.strip()
        if text.isascii() and text.isprintable() and "  " not in text:
            return text or None
        return self._mended(text, at) or None

    def _mended(self, text: str, at: str) -> str:
        try:
            text.encode()
        except UnicodeEncodeError:
            # Joins halves of a character that belong together.
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            if _REPLACED in text:
                self.remarks.append(remarks.replaced(at))
        folded = _FOLDED.sub(" ", text).strip()
        if folded != text:
            self.remarks.append(remarks.folded(at))
        return unicodedata.normalize("NFC", folded).strip()

    def stated(
        self, value: object, at: str, longest: int, *, cut: bool = False
    ) -> str | UnsetType | None:
        """Returns the text, None if it is null or blank, and UNSET, with a remark, if it is not a
        text or too long. With `cut`, a text that is too long is cut instead.
        """
        text = self.clean(value, at)
        if text is UNSET:
            self.remarks.append(remarks.not_text(at))
        elif text is not None and len(text) > longest:
            if cut:
                self.remarks.append(remarks.cut(at, len(text), longest))
                return text[:longest].rstrip()
            self.remarks.append(remarks.too_long(at, len(text), longest))
            return UNSET
        return text


def read_id(value: object) -> PortalId | None:
    """Returns the id in canonical form, or None for what is none."""
    return read_portal_id(value.strip()) if isinstance(value, str) else None


def is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def read_flag(value: object) -> bool | None:
    """Returns true or false, perhaps written as text; None for anything else."""
    if isinstance(value, bool):
        return value
    written = value.strip().lower() if isinstance(value, str) else ""
    return {"true": True, "false": False}.get(written)


def read_state(value: object) -> ActivationState | None:
    """Returns the state, in either case, or None for what is none."""
    written = value.strip().upper() if isinstance(value, str) else ""
    return ActivationState(written) if written in ActivationState.__members__ else None


def read_sequence(value: object) -> int | None:
    """Returns a whole number from 0 to 2**63 - 1, written as a number or as digits; else None."""
    if isinstance(value, str) and len(value) <= 100:
        digits = value.strip()
        value = int(digits) if digits.isascii() and digits.isdigit() else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63:
        return value
    return None


def _is_number(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _written(value: object) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
