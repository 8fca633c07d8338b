"""A diagnosis: the findings of one check."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    RIGHT = "ok"
    DOUBTFUL = "look"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`advice` says how to put right what is not right."""

    area: str
    what: str
    verdict: Verdict = Verdict.RIGHT
    advice: str = ""


def doubtful(area: str, what: str, advice: str) -> Diagnosis:
    return Diagnosis(area, what, Verdict.DOUBTFUL, advice)


def wrong(area: str, what: str, advice: str) -> Diagnosis:
    return Diagnosis(area, what, Verdict.WRONG, advice)
