"""The hours of the day in which nobody is told anything, as in Oslo."""

from dataclasses import dataclass
from datetime import datetime, time
from zoneinfo import ZoneInfo

OSLO = ZoneInfo("Europe/Oslo")


@dataclass(frozen=True, slots=True)
class QuietHours:
    begin: time
    end: time

    @classmethod
    def parse(cls, text: str) -> "QuietHours":
        """Reads `22:00-07:00`. Raises ValueError."""
        begin, _, end = text.partition("-")
        try:
            found = cls(time.fromisoformat(begin.strip()), time.fromisoformat(end.strip()))
        except ValueError:
            raise ValueError(f"{text!r} is no span of hours such as 22:00-07:00") from None
        if found.begin == found.end or found.begin.tzinfo or found.end.tzinfo:
            raise ValueError(f"{text!r} is no span of hours such as 22:00-07:00")
        return found

    def hold(self, now: datetime) -> bool:
        clock = now.astimezone(OSLO).time()
        if self.begin < self.end:
            return self.begin <= clock < self.end
        return clock >= self.begin or clock < self.end
