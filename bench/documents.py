"""Measures what hostile documents cost before they are refused, in milliseconds of CPU.

    .venv/bin/python -m bench.documents

Each document is built once with 100 kB, and once as large as the limits on text and tokens allow.
"""

import time

from schema.build import build_schema
from schema.engine.checks.limits import LIMITS
from schema.engine.documents import Documents

SIZE = 100_000
ROUNDS = 5


def hostile_documents() -> dict[str, str]:
    """Returns the documents by what is wrong with them."""
    chain = "".join(f"fragment f{n} on Member {{ ...f{n + 1} ...f{n + 1} }}" for n in range(2_500))
    spreads = " ".join(f"...f{n}" for n in range(80))
    pieces = {
        "many fields": ("{ roles { ", "code ", "} }"),
        "many unknown fields": ("{ ", "membersss ", "}"),
        "spaces": ("{", " ", "roles { code } }"),
        "commas": ("{", ",", "roles { code } }"),
        "one comment": ("#", "x", "\n{ roles { code } }"),
        "many comments": ("", "#\n", "{ roles { code } }"),
        "one string": ('{ node(id: "', "x", '") { id } }'),
        "escapes in a string": ('{ node(id: "', "\\u0041", '") { id } }'),
        "lines of a block string": ('{ node(id: """', "\n", '""") { id } }'),
        "one name": ("{ ", "x", " }"),
        "one number": ("{ node(id: ", "1", ") { id } }"),
        "open brackets": ("{ node(id: ", "[", ""),
        "open braces": ("", "{ a ", ""),
        "aliases": ("{ ", "a: roles { code } ", "}"),
        "directives": ("{ roles { code ", "@skip(if: false) ", "} }"),
        "unknown directives": ("{ roles { code ", "@a ", "} }"),
        "variables": ("query (", "$a: Int ", ") { roles { code } }"),
        "list values": ("{ nodes(ids: [", '"a" ', "]) { id } }"),
        "object values": ("{ members(filter: {", "state: ACTIVE ", "}) { totalCount } }"),
        "operations": ("", "query q { roles { code } } ", ""),
        "nested twice": ("{ organization(by: {id: 1}) ", "{ parent { id } parent ", "{ id }"),
    }
    found = {
        f"{name}, {size}": text
        for name, (begin, piece, end) in pieces.items()
        for size, text in (
            ("100 kB", _filled(begin, piece, end, SIZE)),
            ("as the limits allow", _within(begin, piece, end)),
        )
    }
    return found | {
        "fragments that spread the next one twice, 100 kB": "{ viewer { member { ...f0 } } }"
        + chain
        + "fragment f2500 on Member { id }",
        "fragments in pairs, as the limits allow": f"{{ viewer {{ member {{ {spreads} }} }} }}"
        + "".join(f"fragment f{n} on Member {{ organization {{ id }} }}" for n in range(80)),
        "selections doubled at each level, as the limits allow": "{ organization(by: {id: 1}) { "
        + _doubled(7)
        + " } }",
    }


def _filled(begin: str, piece: str, end: str, size: int) -> str:
    return begin + piece * ((size - len(begin) - len(end)) // len(piece)) + end


def _within(begin: str, piece: str, end: str) -> str:
    """Builds the largest document that passes the limits on text and tokens, and so is parsed."""
    tokens = max(1, len(piece.split()))
    pieces = min((LIMITS.tokens - 20) // tokens, (LIMITS.characters - 200) // len(piece))
    if len(piece) == 1 and piece not in "[{":
        pieces = LIMITS.characters - 200
    return begin + piece * pieces + end


def _doubled(depth: int) -> str:
    return "id" if not depth else f"parent {{ {_doubled(depth - 1)} {_doubled(depth - 1)} }}"


def main() -> None:
    schema = build_schema()
    worst = 0.0
    print(f"{'ms of CPU':>10}  document")
    for name, text in hostile_documents().items():
        spent = []
        for _ in range(ROUNDS):
            documents = Documents(schema._schema)  # noqa: SLF001  (without a cache that knows it)
            began = time.process_time()
            document = documents.read(text)
            spent.append(1000 * (time.process_time() - began))
        verdict = document.errors[0].message if document.errors else "accepted"
        worst = max(worst, min(spent))
        print(f"{min(spent):10.2f}  {name}: {verdict[:70]}")
    print(f"{worst:10.2f}  the worst of them")


if __name__ == "__main__":
    main()
