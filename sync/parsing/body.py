"""Reads the bytes of a body as JSON. What other programs do to JSON on its way is mended."""

import codecs
import json
import re
from typing import Any

import msgspec

from sync import remarks
from sync.errors import NotJsonError

MAX_DEPTH = 100
"""Values nested deeper than this are read as null. No event has more than five levels."""
MAX_DIGITS = 400
"""Whole numbers with more digits are read as infinite, which no field accepts."""

_decoder = msgspec.json.Decoder()
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


def read_json(body: bytes) -> tuple[Any, list[str]]:
    """Returns the value and remarks on what was mended. Raises NotJsonError."""
    try:
        return _decoder.decode(body), []
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _read_leniently(body)


def without_translation(body: bytes) -> bytes:
    """Returns the body without what only our own translations of other formats may say, such as
    that an event's time needs no check."""
    # Letters can be written as escapes.
    if b"translation" not in body and b"\\u" not in body:
        return body
    try:
        value, _ = read_json(body)
    except NotJsonError:
        return body
    if not isinstance(value, dict) or "translation" not in value:
        return body
    return json.dumps({key: one for key, one in value.items() if key != "translation"}).encode()


def _read_leniently(body: bytes) -> tuple[Any, list[str]]:
    mended = []
    if body.startswith(codecs.BOM_UTF8):
        body = body.removeprefix(codecs.BOM_UTF8)
        mended.append(remarks.BYTE_ORDER_MARK)
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = body.decode(errors="replace")
        mended.append(remarks.NOT_UTF8)
    try:
        return _loads(text), mended
    except RecursionError:
        pass
    except ValueError as error:
        raise NotJsonError(remarks.not_json(str(error))) from error
    try:
        return _loads(_without_depths(text)), mended
    except (ValueError, RecursionError) as error:
        raise NotJsonError(remarks.not_json("the values are nested too deeply")) from error


def _loads(text: str) -> Any:
    # Not strict: line breaks and other control characters may stand in texts as they are.
    return json.loads(text, strict=False, parse_int=_integer)


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_DIGITS else float("inf")


def _without_depths(text: str) -> str:
    """Returns the text with null in place of each value below the deepest level that is read."""
    kept = []
    level = start = 0
    for token in _STRING_OR_BRACKET.finditer(text):
        if token[0] in ("[", "{"):
            level += 1
            if level == MAX_DEPTH + 1:
                kept.append(f"{text[start : token.start()]}null")
        elif token[0] in ("]", "}"):
            if level == MAX_DEPTH + 1:
                start = token.end()
            level -= 1
    if level > MAX_DEPTH:
        return "".join(kept)
    return "".join([*kept, text[start:]])
