"""Scalars are written as GraphQL's libraries write them."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from schema.types.scalars import SCALARS

OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda n: timezone(timedelta(minutes=n)))


@given(st.datetimes(timezones=st.just(UTC) | OFFSETS))
def test_moments_are_written_as_isoformat_writes_them(moment: datetime) -> None:
    write = SCALARS[datetime].serialize

    assert write is not None
    assert write(moment) == moment.isoformat()
