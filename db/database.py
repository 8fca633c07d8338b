"""The unit of work: what is written in it commits as one.

It appends the session's changes to the feed, commits, and only then rings the bell.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Protocol

from sqlalchemy import select

from db.driver.driver_errors import driver_errors_translated, raise_translated
from db.driver.engine import POSTGRES_WRITERS, create_engines, is_sqlite
from db.driver.kept_connections import Lane, Lanes, postgres_lanes, sqlite_lanes
from db.driver.locks import Claims, LockName
from db.driver.transactions import OneStatement, PostgresTransaction, SqliteTransaction, Transaction
from db.errors import ConcurrentWriteError, SharedLockError
from db.sessions import CommittedChange, OptimisticSession, ReadSession, WriteSession

CommitListener = Callable[[Sequence[CommittedChange]], None]


class Doorbell(Protocol):
    """What the unit of work needs of the bell: say that there is something up to a position."""

    def ring(self, position: int) -> None: ...


class NoDoorbell:
    def ring(self, position: int) -> None:
        """Whoever writes nothing has nobody to wake."""


class _Reading(AbstractAsyncContextManager[ReadSession]):
    """Not written as a generator, which would cost every request more than what it does."""

    def __init__(self, lanes: Lanes, *, on_sqlite: bool, snapshot: bool) -> None:
        self._lanes = lanes
        self._on_sqlite = on_sqlite
        self._snapshot = snapshot

    async def __aenter__(self) -> ReadSession:
        try:
            self._lane = lane = await self._lanes.take()
            if self._snapshot:
                await self._begin(lane)
        except Exception as error:
            raise_translated(error)
            raise
        if self._on_sqlite:
            return ReadSession(lane.connection, sqlite=lane.driver)
        return ReadSession(lane.connection, lane.driver)

    async def _begin(self, lane: Lane) -> None:
        try:
            await lane.begin()
        except BaseException:
            await self._lanes.drop(lane)
            raise

    async def __aexit__(
        self, _kind: object, error: BaseException | None, _traceback: object
    ) -> None:
        try:
            if error is None:
                await self._lanes.give_back(self._lane)
            else:
                await self._lanes.drop(self._lane)
        except Exception as late:
            raise_translated(late)
            raise
        if isinstance(error, Exception):
            raise_translated(error)


class Database:
    """Sessions on one database. Opens connections when they are first needed."""

    def __init__(self, url: str, doorbell: Doorbell, *, pool_size: int = 10) -> None:
        self._reader, self._writer = create_engines(url, pool_size=pool_size)
        self._doorbell = doorbell
        self._on_sqlite = is_sqlite(url)
        self._write_lanes: Lanes | None = None
        self._claims = Claims()
        self._listeners: list[CommitListener] = []
        if self._on_sqlite:
            self._lanes = sqlite_lanes(self._reader)
        else:
            self._lanes = postgres_lanes(self._reader, pool_size)
            self._write_lanes = postgres_lanes(self._writer, POSTGRES_WRITERS)

    @property
    def writes_at_once(self) -> int:
        """How many transactions get on beside each other. Of three, one is worked on by the program
        and one by PostgreSQL, while the third waits for the disk or the network."""
        return 1 if self._on_sqlite else 3

    async def close(self) -> None:
        await self._lanes.close()
        if self._write_lanes is not None:
            await self._write_lanes.close()
        await self._reader.dispose()
        await self._writer.dispose()

    def read(self, *, snapshot: bool = False) -> AbstractAsyncContextManager[ReadSession]:
        """With `snapshot`, all statements see the same moment; without, each sees its own."""
        return _Reading(self._lanes, on_sqlite=self._on_sqlite, snapshot=snapshot)

    @asynccontextmanager
    async def write(
        self,
        holding: Collection[LockName] = (),
        sharing: Collection[LockName] = (),
        *,
        optimistic: bool = False,
    ) -> AsyncIterator[WriteSession]:
        """Leaving it commits everything as one; an exception undoes it all. The bell rings soon
        after.

        `holding`, `sharing`: the locks to begin with, alone or with others. `optimistic`: only the
        last statement takes them, and it raises ConcurrentWriteError instead of waiting for one
        or writing over what changed meanwhile.
        """
        with driver_errors_translated():
            async with self._begun(holding, sharing, optimistic) as (session, transaction):
                try:
                    yield session
                    if session.discarded:
                        await transaction.rollback()
                        return
                    committed = await session.publish_changes(datetime.now(UTC))
                    await transaction.commit()
                except BaseException:
                    await transaction.rollback()
                    raise
        if committed:
            # Whom this wakes gets on after those who waited for the commit, and who have senders
            # to answer.
            asyncio.get_running_loop().call_soon(self._tell, committed)

    def _tell(self, committed: Sequence[CommittedChange]) -> None:
        for listener in self._listeners:
            listener(committed)
        self._doorbell.ring(committed[-1].position)

    @contextmanager
    def commits_told_to(self, listener: CommitListener) -> Iterator[None]:
        """Every commit of this process, before the bell rings for it; not always in the order of
        their positions. Must not wait or raise: the writer waits for it."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    @asynccontextmanager
    async def _begun(
        self,
        alone: Collection[LockName],
        shared: Collection[LockName],
        optimistic: bool,
    ) -> AsyncIterator[tuple[WriteSession, Transaction]]:
        if self._write_lanes is None:
            async with self._writer.connect() as connection:
                on_sqlite = SqliteTransaction(connection)
                await on_sqlite.begin()
                driver = (await connection.get_raw_connection()).driver_connection
                yield WriteSession(connection, sqlite=driver), on_sqlite
            return
        if optimistic:
            async with self._claims.held(alone), self._writing(self._write_lanes) as lane:
                session = OptimisticSession(lane.connection, lane.driver, alone, shared)
                yield session, OneStatement(lane.driver)
            return
        async with self._writing(self._write_lanes) as lane:
            # The transaction is the driver's, so that hot statements and others share it.
            on_postgres = PostgresTransaction(lane.driver)
            try:
                await on_postgres.begin(alone, shared)
                yield WriteSession(lane.connection, lane.driver, holding=alone), on_postgres
            except BaseException:
                await on_postgres.rollback()
                raise

    @asynccontextmanager
    async def _writing(self, lanes: Lanes) -> AsyncIterator[Lane]:
        lane = await lanes.take()
        settled = False
        try:
            yield lane
            settled = True
        except (ConcurrentWriteError, SharedLockError):
            # PostgreSQL has answered, and whatever failed is undone by now.
            settled = True
            raise
        finally:
            # When somebody stopped waiting for an answer, the driver knows only of the one before:
            # a BEGIN may be on its way. What is written in it next would never be committed.
            await (lanes.give_back(lane) if settled and lane.usable else lanes.drop(lane))

    async def check(self) -> None:
        """Raises DatabaseUnavailableError when the database does not answer."""
        async with self.read() as session:
            await session.scalar(select(1))
