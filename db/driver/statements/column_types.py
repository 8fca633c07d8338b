"""Column types that mean the same on SQLite and PostgreSQL."""

from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import BigInteger, DateTime, Dialect, Integer, SmallInteger, String, Text
from sqlalchemy.types import TypeDecorator

from db.vocabulary import AccessLevel

T = TypeVar("T")

# SQLite assigns ids by itself only in a column of type INTEGER.
RowId = BigInteger().with_variant(Integer(), "sqlite")

# Compared byte by byte, so that both databases have the same order.
SortText = Text().with_variant(String(collation="C"), "postgresql")


class Instant(TypeDecorator[datetime]):
    """An aware datetime with microseconds, read as UTC on both databases (SQLite keeps no zone)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Level(TypeDecorator[AccessLevel]):
    """An access level, stored as its rank so that the database can compute the highest."""

    impl = SmallInteger
    cache_ok = True

    def process_bind_param(self, value: AccessLevel | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> AccessLevel | None:
        return None if value is None else AccessLevel(value)


class Json(TypeDecorator[T], Generic[T]):
    """A value of one declared type, stored as JSON text and read back as that type."""

    impl = Text
    cache_ok = True

    def __init__(self, of: Any) -> None:
        super().__init__()
        self.of = of
        self._decoder = msgspec.json.Decoder(of)

    def process_bind_param(self, value: T | None, dialect: Dialect) -> str | None:
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> T | None:
        return self.read(value)

    def read(self, value: str | None) -> T | None:
        if value is None:
            return None
        decoded: T = self._decoder.decode(value)
        return decoded
