"""The unit of work: everything that is written within it commits together.

It appends the session's changes to the feed, commits, and only then rings the bell.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Protocol

from sqlalchemy import select

from db.commit_health import CommitHealth
from db.driver.driver_errors import driver_errors_translated, raise_translated
from db.driver.engine import POSTGRES_WRITERS, create_engines
from db.driver.kept_connections import ConnectionPool, KeptConnection, postgres_pool, sqlite_pool
from db.driver.locks import LockName, ProcessLocks
from db.driver.transactions import (
    PostgresTransaction,
    SingleStatementTransaction,
    SqliteTransaction,
    Transaction,
)
from db.driver.urls import is_sqlite
from db.errors import ConcurrentWriteError, DatabaseUnavailableError, SharedLockError
from db.publication import CommittedChange
from db.sessions import ReadSession, WriteSession
from db.write_sessions import OptimisticWriteSession, PostgresWriteSession, SqliteWriteSession

CommitListener = Callable[[Sequence[CommittedChange]], None]


class Bell(Protocol):
    """The part of the bell that the unit of work needs."""

    def ring(self, position: int) -> None:
        """Says that the feed has grown to this position."""
        ...


class SilentBell:
    """A bell for programs whose changes nobody waits for."""

    def ring(self, position: int) -> None:
        """Does nothing."""


class _Reading(AbstractAsyncContextManager[ReadSession]):
    """The context of `Database.read`; as a generator it would cost more than a small query."""

    def __init__(self, pool: ConnectionPool, *, snapshot: bool) -> None:
        self._pool = pool
        self._snapshot = snapshot

    async def __aenter__(self) -> ReadSession:
        try:
            self._connection = connection = await self._pool.acquire()
            if self._snapshot:
                await self._begin(connection)
        except Exception as error:
            raise_translated(error)
            raise
        return ReadSession(connection.connection, connection.driver)

    async def _begin(self, connection: KeptConnection) -> None:
        try:
            await connection.begin()
        except BaseException:
            await self._pool.discard(connection)
            raise

    async def __aexit__(
        self, _kind: object, error: BaseException | None, _traceback: object
    ) -> None:
        try:
            if error is None:
                await self._pool.release(self._connection)
            else:
                await self._pool.discard(self._connection)
        except Exception as late:
            raise_translated(late)
            raise
        if isinstance(error, Exception):
            raise_translated(error)


class Database:
    """Sessions on one database. Opens connections when they are first needed."""

    def __init__(self, url: str, bell: Bell, *, pool_size: int = 10) -> None:
        self._reader, self._writer = create_engines(url, pool_size=pool_size)
        self._bell = bell
        self._on_sqlite = is_sqlite(url)
        self._write_pool: ConnectionPool | None = None
        self._process_locks = ProcessLocks()
        self._listeners: list[CommitListener] = []
        self._commits = CommitHealth()
        if self._on_sqlite:
            self._read_pool = sqlite_pool(self._reader)
        else:
            self._read_pool = postgres_pool(self._reader, pool_size)
            self._write_pool = postgres_pool(self._writer, POSTGRES_WRITERS)

    @property
    def writes_at_once(self) -> int:
        """The number of transactions that are worth running at the same time.

        On PostgreSQL three: the program works on one, PostgreSQL on another, and the third waits
        for the disk or the network.
        """
        return 1 if self._on_sqlite else 3

    async def close(self) -> None:
        await self._read_pool.close()
        if self._write_pool is not None:
            await self._write_pool.close()
        await self._reader.dispose()
        await self._writer.dispose()

    def read(self, *, snapshot: bool = False) -> AbstractAsyncContextManager[ReadSession]:
        """Opens a session for reading. With `snapshot` all its statements read one snapshot;
        without, each reads its own."""
        return _Reading(self._read_pool, snapshot=snapshot)

    @asynccontextmanager
    async def write(
        self,
        exclusive: Collection[LockName] = (),
        shared: Collection[LockName] = (),
        *,
        optimistic: bool = False,
    ) -> AsyncIterator[WriteSession]:
        """Leaving it commits everything; an exception undoes everything. Then the bell rings.

        `exclusive` and `shared` are the locks to begin with. With `optimistic`, only the last
        statement takes them; it raises ConcurrentWriteError if one is held or if what was read has
        changed meanwhile.
        """
        try:
            with driver_errors_translated():
                async with self._begun(exclusive, shared, optimistic) as (session, transaction):
                    try:
                        yield session
                        if session.discarded:
                            await transaction.rollback()
                            return
                        committed = await session.publish_changes(datetime.now(UTC))
                        await transaction.commit()
                        if session.removes_for_good:
                            await session.overwrite_removed()
                    except BaseException:
                        await transaction.rollback()
                        raise
        except DatabaseUnavailableError as error:
            self._commits.failed(error)
            raise
        self._commits.succeeded()
        if committed:
            # Senders who wait for the commit are answered before followers of the feed are woken.
            asyncio.get_running_loop().call_soon(self._announce, committed)

    def _announce(self, committed: Sequence[CommittedChange]) -> None:
        for listener in self._listeners:
            listener(committed)
        self._bell.ring(committed[-1].position)

    @contextmanager
    def subscribe_to_commits(self, listener: CommitListener) -> Iterator[None]:
        """Calls the listener after every commit of this process, before the bell rings.

        Commits may come in another order than that of their positions. The listener must not wait
        or raise, since the writer waits for it.
        """
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    @asynccontextmanager
    async def _begun(
        self, exclusive: Collection[LockName], shared: Collection[LockName], optimistic: bool
    ) -> AsyncIterator[tuple[WriteSession, Transaction]]:
        if self._write_pool is None:
            async with self._writer.connect() as connection:
                on_sqlite = SqliteTransaction(connection)
                await on_sqlite.begin()
                driver = (await connection.get_raw_connection()).driver_connection
                yield SqliteWriteSession(connection, driver), on_sqlite
            return
        if optimistic:
            async with (
                self._process_locks.held(exclusive),
                self._writing(self._write_pool) as kept,
            ):
                session = OptimisticWriteSession(kept.connection, kept.driver, exclusive, shared)
                yield session, SingleStatementTransaction(kept.driver)
            return
        async with self._writing(self._write_pool) as kept:
            # The transaction is begun over the driver, so that statements of SQLAlchemy and
            # compiled ones are both within it.
            on_postgres = PostgresTransaction(kept.driver)
            try:
                await on_postgres.begin(exclusive, shared)
                yield PostgresWriteSession(kept.connection, kept.driver, exclusive), on_postgres
            except BaseException:
                await on_postgres.rollback()
                raise

    @asynccontextmanager
    async def _writing(self, pool: ConnectionPool) -> AsyncIterator[KeptConnection]:
        connection = await pool.acquire()
        settled = False
        try:
            yield connection
            settled = True
        except (ConcurrentWriteError, SharedLockError):
            # PostgreSQL has answered, and what failed is undone by now.
            settled = True
            raise
        finally:
            # A user who was cancelled may have left a BEGIN under way, of which the driver does not
            # know yet. What the next user writes would be within it and never be committed.
            if settled and connection.usable:
                await pool.release(connection)
            else:
                await pool.discard(connection)

    @property
    def pools(self) -> dict[str, ConnectionPool]:
        """The pools of connections, by what they are for."""
        reading = {"read": self._read_pool}
        return reading if self._write_pool is None else {**reading, "write": self._write_pool}

    @property
    def commits_fail(self) -> bool:
        """True while commits fail one after the other; the log says why."""
        return self._commits.failing

    async def check(self) -> None:
        """Raises DatabaseUnavailableError when the database does not answer."""
        async with self.read() as session:
            await session.scalar(select(1))
