"""What can go wrong below the handlers.

DatabaseError
├── DatabaseUnavailableError    away, overloaded, full or locked: try again later
├── NotADatabaseError           the file is something else
├── SchemaOutdatedError         the tables are not those this program was written for
├── ConcurrentWriteError        somebody else wrote the same row first: do it again
├── SharedLockError             what is to change is not held alone: do it again, holding it alone
└── FeedError
    ├── CursorExpiredError      the changes after this position are no longer kept
    ├── ForeignCursorError      the position is not one of this feed
    └── SlowConsumerError       a subscriber did not keep up with its bounded queue
"""


class DatabaseError(Exception):
    pass


class DatabaseUnavailableError(DatabaseError):
    pass


class NotADatabaseError(DatabaseError):
    pass


class SchemaOutdatedError(DatabaseError):
    def __init__(self, current: str | None, expected: str) -> None:
        super().__init__(
            f"The database schema is at {current or 'nothing'}, this program needs {expected}. "
            "Run `likeperson-sync migrate` first."
        )
        self.current = current
        self.expected = expected


class ConcurrentWriteError(DatabaseError):
    pass


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
