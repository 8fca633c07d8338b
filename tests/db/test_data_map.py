"""The data map: every column says what it tells of a person and what becomes of it."""

from sqlalchemy import Column

from app.settings import PREFIX, Settings
from db.queries.runs.reconciliations import DRIFT_KEPT, RUNS_KEPT
from db.tables.data_map import DATA_MAP, DataClass, Erasure, Handling, Kept
from db.tables.models import Base

COLUMNS = [column for table in Base.metadata.sorted_tables for column in table.columns]
DECLARED = [
    (f"{table}.{column}", handling)
    for table, columns in DATA_MAP.items()
    for column, handling in columns.items()
]


def handling_of(column: Column[object]) -> Handling:
    return DATA_MAP[column.table.name][column.name]


def test_every_column_is_declared_and_no_other() -> None:
    """A column that is added is declared in db/tables/data_map.py: who it tells of, how long it is
    kept, whether the person gets it, and what forgetting does to it."""
    assert {str(column) for column in COLUMNS} == {name for name, _ in DECLARED}


def test_what_points_to_a_member_is_of_the_person() -> None:
    pointing = [
        column
        for column in COLUMNS
        if any(key.column.table.name == "members" for key in column.foreign_keys)
        or (column.name == "portal_id" and column.table.name != "organizations")
        or column.name in ("member_id", "person_id")
    ]

    assert pointing
    assert [each for each in pointing if handling_of(each).data_class is not DataClass.PERSON] == []


def test_what_is_kept_back_or_kept_after_forgetting_has_a_reason() -> None:
    for name, handling in DECLARED:
        of_somebody = handling.data_class is not DataClass.OPERATIONAL
        exception = not handling.export or handling.erasure is Erasure.KEEP
        assert (handling.why is not None) == (of_somebody and exception), name


def test_a_row_is_deleted_whole_or_not_at_all() -> None:
    for table, columns in DATA_MAP.items():
        deleted = {handling.erasure is Erasure.DELETE for handling in columns.values()}
        assert len(deleted) == 1, table


def test_what_limits_how_long_something_is_kept_exists() -> None:
    settings = {kept.value.strip("`") for kept in (Kept.BODY, Kept.FEED)}

    assert settings <= {PREFIX + field.upper() for field in Settings.model_fields}
    assert Kept.DRIFT.startswith(f"{DRIFT_KEPT.days} days,")
    assert Kept.RUN.startswith(f"{RUNS_KEPT.days} days,")
