"""Answers as they are recorded: texts in which only what differs from run to run is replaced."""

import base64
import binascii
import difflib
import re
from collections import defaultdict
from pathlib import Path

FOLDER = Path(__file__).parent / "answers"
TITLE = "=== "
MOST = 20
"""How many differences are told."""

# The portal's times are of November 2024 (tests/builders.py) and stay. The others are the clock's.
_VARYING = re.compile(
    r"(?P<time>\b20(?!24-11)\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{6})?)"
    r"|(?P<token>eyJ[\w-]+\.[\w-]+\.[\w-]+)"
    r"|(?P<methods>(?<=allow: )[A-Z, ]+)"
    r'|(?P<milliseconds>(?<="lagMs":)\d+|(?<="lagP95Ms":)\d+)'
    r"|(?P<opaque>(?<![\w-])[\w-]{8,}(?![\w-]))",
    re.ASCII,
)


class Recording:
    """The answers of one run by their titles, a file for each part of it."""

    def __init__(self) -> None:
        self.parts: dict[str, dict[str, str]] = defaultdict(dict)
        self._known: dict[str, dict[str, str]] = defaultdict(dict)

    def add(self, part: str, title: str, *lines: str) -> None:
        assert title not in self.parts[part], title
        self.parts[part][title] = self._stable("\n".join(lines))

    def _stable(self, text: str) -> str:
        """The text with placeholders for what differs from run to run, numbered as they first
        appear: where two answers hold the same id, cursor or time, so do their recordings."""
        return _VARYING.sub(self._placeholder, text)

    def _placeholder(self, found: re.Match[str]) -> str:
        kind, text = str(found.lastgroup), found[0]
        if kind == "methods":
            # Of a set, which has another order in each process.
            return ", ".join(sorted(text.split(", ")))
        if kind in ("token", "milliseconds"):
            return f"<{kind}>"
        if kind == "opaque" and not (kind := _kind_of(text)):
            return text
        known = self._known[kind]
        return known.setdefault(text, f"<{kind} {len(known) + 1}>")

    def write(self) -> None:
        """Instead of what was recorded before."""
        FOLDER.mkdir(exist_ok=True)
        for file in FOLDER.glob("*.txt"):
            file.unlink()
        for part, answers in self.parts.items():
            text = "".join(f"{TITLE}{title}\n{answer}\n" for title, answer in answers.items())
            (FOLDER / f"{part}.txt").write_bytes(text.encode())

    def differences(self) -> str:
        """From what is recorded, answer by answer; empty if there are none."""
        found = []
        recorded = {file.stem: _read(file) for file in FOLDER.glob("*.txt")}
        for part in sorted(recorded.keys() | self.parts.keys()):
            before, now = recorded.get(part, {}), self.parts.get(part, {})
            for title in dict.fromkeys([*before, *now]):
                if before.get(title) != now.get(title):
                    diff = _diff(before.get(title, ""), now.get(title, ""))
                    found.append(f"{part}: {title}\n{diff}")
            if not found and list(before) != list(now):
                found.append(f"{part}: the same answers in another order")
        return "\n\n".join([*found[:MOST], f"{len(found)} answers in all."] if found else [])


def _read(file: Path) -> dict[str, str]:
    _, *parts = re.split(rf"^{TITLE}(.*)\n", file.read_bytes().decode(), flags=re.MULTILINE)
    return {
        title: answer.removesuffix("\n")
        for title, answer in zip(parts[::2], parts[1::2], strict=True)
    }


def _diff(before: str, now: str) -> str:
    """With a line for each name of an object, since the answers have only one."""
    old, new = (text.replace(',"', ',\n"').splitlines() for text in (before, now))
    return "\n".join(difflib.unified_diff(old, new, "recorded", "now", n=2, lineterm=""))


def _kind_of(text: str) -> str:
    """What an opaque text is, by what it holds; empty for a text that only looks like one."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        return ""
    if found := re.fullmatch(rb"(Member|Organization|Role|SyncLogEntry):\d+", raw):
        return found[1].decode()
    if raw.startswith(b'["'):
        return "cursor"
    return "change cursor" if re.fullmatch(rb"[0-9a-f-]{8,}:\d+", raw) else ""
