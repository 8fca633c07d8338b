"""Copies an SQLite database while it is in use, and marks a database that was restored."""

import asyncio
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from sqlalchemy import update

from db.database import Database, SilentBell
from db.errors import BackupError
from db.tables.models import FeedHead

_TIMEOUT_SECONDS = 60.0
_BEGIN_FEED = "UPDATE feed_head SET feed_id = ?"


@dataclass(frozen=True, slots=True)
class Backup:
    file: Path
    size: int


async def back_up(source: Path, target: Path) -> Backup:
    """Writes a copy of the database as it is at one moment; writers go on meanwhile.

    The copy can be read by its owner alone. It is complete when the file has its name. Its change
    feed has an id of its own: whoever followed the original and meets a restored copy is told to
    begin anew, instead of taking its positions for those that they know.

    Raises BackupError if the target exists, or there is nothing to copy.
    """
    return await asyncio.to_thread(_back_up, source, target)


async def begin_new_feed(url: str) -> None:
    """Gives the change feed of a restored database another id, so that no cursor of before is taken
    for one of it. No process may use the database meanwhile."""
    database = Database(url, SilentBell(), pool_size=1)
    try:
        async with database.write() as session:
            await session.run(update(FeedHead).values(feed_id=_new_feed_id()))
    finally:
        await database.close()


def _back_up(source: Path, target: Path) -> Backup:
    if not source.is_file():
        raise BackupError(f"There is no database to copy: {source} does not exist.")
    if target.exists():
        raise BackupError(f"{target} exists already, and is not overwritten. Name another file.")
    unfinished = target.with_name(f".{target.name}.{uuid4().hex}")
    try:
        unfinished.touch(mode=0o600, exist_ok=False)
        try:
            _copy(source, unfinished)
        except sqlite3.Error as error:
            raise BackupError(f"{source} cannot be copied: {error}.") from error
        _sync(unfinished)
        # Unlike a renaming, this fails where somebody else has made the file meanwhile.
        os.link(unfinished, target)
    except FileExistsError:
        raise BackupError(f"{target} exists already, and is not overwritten.") from None
    finally:
        unfinished.unlink(missing_ok=True)
    _sync(target.parent)
    return Backup(target, target.stat().st_size)


def _copy(source: Path, target: Path) -> None:
    original = sqlite3.connect(
        f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=_TIMEOUT_SECONDS
    )
    copy = sqlite3.connect(target, isolation_level=None)
    try:
        # All pages at once, as of one moment: in steps, it would begin anew with each write.
        original.backup(copy)
        # A file that needs no others beside it.
        copy.execute("PRAGMA journal_mode=DELETE")
        ((verdict,),) = copy.execute("PRAGMA quick_check(1)").fetchall()
        if verdict != "ok":
            raise BackupError(f"{source} is damaged: {verdict}.")
        copy.execute(_BEGIN_FEED, (_new_feed_id(),))
    finally:
        copy.close()
        original.close()


def _new_feed_id() -> str:
    return uuid4().hex


def _sync(path: Path) -> None:
    """Waits until the file, or the entries of the folder, are on the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
