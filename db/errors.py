"""The errors of this package.

DatabaseError
├── DatabaseUnavailableError    unreachable, overloaded, full or locked: try again later
├── PoolingError                connections of PostgreSQL are shared by a pooler between them
├── NotADatabaseError           the file is not an SQLite database
├── BackupError                 a copy of the database cannot be made
├── PortError                   a database cannot be copied to PostgreSQL
├── SchemaOutdatedError         the schema is not the one this program was written for
├── ConcurrentWriteError        another transaction wrote the same first: try again at once
├── StatementRefusedError       a fault of a statement or of its values: a broken constraint, say
├── SharedLockError             a needed lock is not exclusive: try again with an exclusive one
└── FeedError
    ├── CursorExpiredError      the changes after this position are no longer kept
    ├── ForeignCursorError      the position is not one of this feed
    └── SlowConsumerError       a subscriber did not keep up with its bounded queue
"""


class DatabaseError(Exception):
    pass


class DatabaseUnavailableError(DatabaseError):
    pass


class PoolingError(DatabaseError):
    def __init__(self) -> None:
        super().__init__(
            "PostgreSQL is behind a pooler in transaction mode, in which settings, prepared "
            "statements and LISTEN are lost: connect to PostgreSQL itself, or set pool_mode = "
            "session in PgBouncer."
        )


class NotADatabaseError(DatabaseError):
    pass


class BackupError(DatabaseError):
    pass


class PortError(DatabaseError):
    pass


class SchemaOutdatedError(DatabaseError):
    def __init__(self, current: str | None, expected: str) -> None:
        if current is not None and current > expected:
            advice = "It cannot be used by older programs: run the version that has migrated it."
        else:
            advice = "Run `likeperson-sync migrate` first."
        super().__init__(
            f"The database has schema version {current or 'none'}; this program needs {expected}. "
            f"{advice}"
        )
        self.current = current
        self.expected = expected


class ConcurrentWriteError(DatabaseError):
    pass


class StatementRefusedError(DatabaseError):
    """Names class, code and constraint of the driver's error, never the values of the row."""


class SharedLockError(DatabaseError):
    pass


class FeedError(DatabaseError):
    pass


class CursorExpiredError(FeedError):
    pass


class ForeignCursorError(FeedError):
    pass


class SlowConsumerError(FeedError):
    pass
