"""What somebody may send who means no good, or whose program is broken."""

import gzip
import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from tests.faults.wire import Attack, Headers, json_headers, request, signature_headers
from tests.support.builders import created

# Text of JSON, for what Python would not write: duplicate keys, lone surrogates, huge numbers.
ODD_JSON = [
    '"\\ud800"', '"\\udfff\\ud800"', '"\\u0000"', '"a\\u0000b"', '"\\uFEFF"', '"\x7f"', '"\x00"',
    '"\\x"', "1e999", "-1e999", "9" * 400, "9" * 5000, "-0", "01", "1.", ".5", "0.1e-400", "NaN",
    "Infinity", "-Infinity", "nul", "'a'", "[1,]", '{"a":1,}', '{"a":1,"a":2}', '{"a"}', "{1:2}",
    "[", "]", "{", '"', "\\", "/* */ 1", "1 2", "\ufeff{}", '""', "null", "true", "[]", "{}", "0",
    '"9999-12-31T23:59:59.999999-23:59"', '"0001-01-01T00:00:00+23:59"', '"2026-13-01T00:00:00Z"',
    '"2026-11-01T09:00:00"', '"2026-11-01T09:00:60Z"', '"10000-01-01T00:00:00Z"', '"-1"',
    '"A\u030a"', '"\u202e\U0001f600\U0010ffff"', '" "', '"membership-created"', '"\u00a0"',
]  # fmt: skip
ODD_HEADERS = [
    b"", b" ", b"\xff\xfe", b"\xc3\xa5", b"v1,", b"v1,====", b"v1,AAAA", b"v1a,AAAA", b"v2,AAAA",
    b"v1,\xf0\x9f\x98\x80", b", , ,", b"v1,v1,v1", b"v1," + b"A" * 4000, b"v1,A " * 500,
    b"0", b"-1", b"1e9", b"9" * 12, b"9" * 400, b"NaN", b"\xd9\xa1\xd9\xa2", b"+1700000000",
    b"1700000000.5", b"evt 1", b"evt\t1", b"e" * 201, b"e" * 3000, b"..", b"~", b"%00",
    b"application/json; charset=utf-16", b"application/json, text/html", b"/", b"application/+json",
    b"'\"<&>;--", b"APPLICATION/JSON", b"text/plain", b"a\x00b", b"a\rb", b"a\x01b",
]  # fmt: skip
NAMES = [
    b"webhook-id", b"webhook-timestamp", b"webhook-signature", b"content-type", b"content-encoding",
    b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"connection", b"host",
    b"x-forwarded-for", b"authorization", b"accept-encoding", b"te", b"\xff", b"",
]  # fmt: skip
# After these nobody knows where a body ends.
FRAMING = {b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"connection"}
PATHS = [
    b"/webhooks/portal", b"/webhooks/portal/", b"/webhooks/", b"/webhooks/%00", b"/webhooks/%ff",
    b"/webhooks/..", b"/webhooks/" + b"p" * 5000, b"/webhooks/portal?a=%ff", b"//webhooks//portal",
    b"/webhooks/\xff", b"*", b"http://[/webhooks/portal", b"/webhooks/portal#a",
    b"/webhooks/PORTAL",
]  # fmt: skip

numbers = st.integers() | st.floats() | st.just(2**64) | st.just(-(2**63) - 1)
texts = st.text(max_size=20) | st.integers(0, 2000).map(lambda count: "å" * count)
plain = st.recursive(
    st.none() | st.booleans() | numbers.map(str) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
json_texts = st.one_of(plain.map(json.dumps), st.sampled_from(ODD_JSON), numbers.map(json.dumps))
PLACES = [
    ("type",), ("timestamp",), ("data",), ("data", "member"), ("data", "member", "id"),
    ("data", "member", "memberNumber"), ("data", "member", "givenName"),
    ("data", "member", "email"),
    ("data", "organization"), ("data", "organization", "id"), ("data", "organization", "name"),
    ("data", "organization", "parentId"), ("data", "roles"), ("data", "roles", 0),
    ("data", "roles", 0, "code"), ("data", "roles", 0, "organizationId"), ("data", "reason"),
]  # fmt: skip
TYPES = [
    "membership-created", "membership-updated", "role-updated", "membership-deactivated",
    "membership-reactivated", "something-else",
]  # fmt: skip


@st.composite
def broken_events(draw: st.DrawFn) -> bytes:
    """An event of which a few places hold anything at all."""
    event = {
        **created(draw(st.sampled_from(["Kari", "Ola"]))),
        "type": draw(st.sampled_from(TYPES)),
    }
    replaced = {}
    for number, place in enumerate(draw(st.lists(st.sampled_from(PLACES), max_size=3))):
        mark = f"@{number}@"
        if _put(event, place, mark):
            replaced[json.dumps(mark)] = draw(json_texts)
    text = json.dumps(event)
    for mark, odd in replaced.items():
        text = text.replace(mark, odd)
    return _encoded(text)


def _put(event: Any, place: tuple[str | int, ...], mark: str) -> bool:
    """False where another mark, or nothing, has taken the way there."""
    *way, last = place
    try:
        for step in way:
            event = event[step]
        event[last] = mark
    except (KeyError, IndexError, TypeError):
        return False
    return True


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def nested(depth: int, opening: str) -> bytes:
    return opening.encode() * depth


bodies = st.one_of(
    broken_events(),
    broken_events(),
    json_texts.map(_encoded),
    st.binary(max_size=200),
    st.builds(nested, st.integers(1, 20_000), st.sampled_from(["[", '{"a":', '[{"data":'])),
    broken_events().map(gzip.compress),
    broken_events().map(lambda body: body.decode("utf-8", "replace").encode("utf-16")),
    st.tuples(broken_events(), st.integers(1, 300)).map(lambda cut: cut[0][: -cut[1]]),
    # Somewhere inside an event there is a very long text.
    st.integers(1, 300_000).map(lambda n: json.dumps(created("x" * n)).encode()),
)
event_ids = st.one_of(
    st.integers(0, 50).map(lambda number: b"evt_%d" % number),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=200).map(
        str.encode
    ),
)
odd_headers = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(ODD_HEADERS)), min_size=1, max_size=4
)


def signed_attack(event_id: bytes, body: bytes) -> Attack:
    headers = [*json_headers(body), *signature_headers(event_id, body)]
    return Attack(request(headers, body), signed=True)


def unsigned_attack(headers: Headers, body: bytes) -> Attack:
    """All that is wrong with it are its headers, or that it has none."""
    length = [(b"content-length", b"%d" % len(body))]
    return Attack(request([*length, *headers], body), whole=_is_answered(headers, body))


def forged_attack(event_id: bytes, body: bytes, other: bytes, odd: Headers) -> Attack:
    """Signed for another body, and something is wrong besides."""
    headers = [*json_headers(body), *signature_headers(event_id, body + other + b"x"), *odd]
    return Attack(request(headers, body), whole=_is_answered(odd, body))


def _is_answered(odd: Headers, body: bytes) -> bool:
    """Where a request is given up before its body was read, the answer can be lost with it."""
    return len(body) < 2**14 and FRAMING.isdisjoint(name for name, _ in odd)


def misled_attack(path: bytes, body: bytes) -> Attack:
    headers = [*json_headers(body), *signature_headers(b"evt_path", body + b"x")]
    return Attack(request(headers, body, path), whole=_is_answered([], body))


FRAMINGS: list[Callable[[bytes], tuple[Headers, bytes]]] = [
    lambda body: ([(b"content-length", b"%d" % (len(body) + 10))], body),
    lambda body: ([(b"content-length", b"9" * 30)], body),
    lambda body: ([(b"content-length", b"-1")], body),
    lambda body: ([(b"content-length", b"1"), (b"content-length", b"2")], body),
    lambda body: ([(b"content-length", b"%d" % (len(body) // 2))], body),
    lambda body: ([(b"transfer-encoding", b"chunked")], b"%x\r\n%s" % (len(body) + 99, body)),
    lambda body: ([(b"transfer-encoding", b"chunked")], b"1\r\n%s\r\n0\r\n\r\n" % body),
    lambda body: ([(b"transfer-encoding", b"chunked")], b"zz\r\n%s" % body),
    lambda body: ([(b"transfer-encoding", b"chunked")], b"-5\r\n%s\r\n0\r\n\r\n" % body),
    lambda body: ([(b"transfer-encoding", b"chunked")], b"f" * 40 + b"\r\n" + body),
    lambda body: (
        [(b"transfer-encoding", b"chunked"), (b"content-length", b"3")],
        b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body),
    ),
    lambda body: ([(b"transfer-encoding", b"gzip, chunked")], body),
    lambda body: ([(b"expect", b"100-continue"), (b"content-length", b"100000")], body),
    lambda body: ([], body),
]


def ill_framed_attack(framing: int, event_id: bytes, body: bytes) -> Attack:
    """Signed, but its length is not what it says, or it breaks off."""
    headers, sent = FRAMINGS[framing](body)
    all_headers = [
        (b"content-type", b"application/json"),
        *headers,
        *signature_headers(event_id, body),
    ]
    return Attack(request(all_headers, sent), whole=False, signed=True)


attacks = st.one_of(
    st.builds(signed_attack, event_ids, bodies),
    st.builds(signed_attack, event_ids, broken_events()),
    st.builds(unsigned_attack, odd_headers, bodies),
    st.builds(forged_attack, event_ids, bodies, st.binary(max_size=3), odd_headers),
    st.builds(misled_attack, st.sampled_from(PATHS), bodies),
    st.builds(ill_framed_attack, st.integers(0, len(FRAMINGS) - 1), event_ids, broken_events()),
)
