"""Writes the messages: plain text, Norwegian first, without personal data."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sync.concerns.concern_texts import text_of
from sync.concerns.standing import StandingConcern


@dataclass(frozen=True, slots=True)
class News:
    """The news that one message tells; `over` are the keys of concerns that have ended."""

    begun: tuple[StandingConcern, ...] = ()
    lasting: tuple[StandingConcern, ...] = ()
    over: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.begun or self.lasting or self.over)


@dataclass(frozen=True, slots=True)
class AlertMessage:
    title: str
    body: str


def told_key(concern: StandingConcern) -> str:
    """Returns the text under which it is remembered what people were told of a concern."""
    return concern.kind if concern.source is None else f"{concern.kind} {concern.source}"


def message_of(news: News, link: str | None) -> AlertMessage:
    lines = [
        *_section("Nytt / New", news.begun),
        *_section("Varer ved / Still there", news.lasting),
    ]
    if news.over:
        lines += ["Over", *(f"- {_named(key)}" for key in news.over), ""]
    if link is not None:
        lines.append(f"Driftsstatus / Health: {link}")
    return AlertMessage(_title(news), "\n".join(lines).rstrip() + "\n")


def _title(news: News) -> str:
    first = (*news.begun, *news.lasting)
    if not first:
        return "Likeperson Sync: i orden igjen / well again"
    more = f" (+{len(first) - 1})" if len(first) > 1 else ""
    return f"Likeperson Sync: {text_of(first[0].kind).norwegian}{more}"


def _section(heading: str, concerns: Iterable[StandingConcern]) -> Iterator[str]:
    found = list(concerns)
    if not found:
        return
    yield heading
    for concern in found:
        text = text_of(concern.kind)
        where = f" [{concern.source}]" if concern.source else ""
        yield f"- {text.norwegian}{where}. {text.norwegian_advice}"
        yield f"  {text.english}{where}. {text.english_advice}"
        if concern.detail:
            yield f"  ({concern.detail})"
    yield ""


def _named(key: str) -> str:
    kind, _, source = key.partition(" ")
    text = text_of(kind)
    where = f" [{source}]" if source else ""
    return f"{text.norwegian}{where} / {text.english}"
