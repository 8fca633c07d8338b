"""Scalars are written as GraphQL's libraries write them."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from schema.types.scalars import SCALARS

OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda n: timezone(timedelta(minutes=n)))


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.just(UTC) | OFFSETS))  # noqa: DTZ001 -- Hypothesis adds the zone
def test_moments_are_written_in_utc_and_in_one_width(moment: datetime) -> None:
    write = SCALARS[datetime].serialize

    assert write is not None
    written = write(moment)
    assert len(written) == len("2026-11-23T09:30:00.000000Z")
    assert written.endswith("Z")
    assert datetime.fromisoformat(written) == moment
