"""The room that is left for the database, and whether it can be written."""

import shutil
from pathlib import Path

from app.settings import Settings
from db.database import Database
from db.driver.urls import sqlite_file

GIB = 2**30
NEEDED_FREE = GIB // 4
"""The bytes below which a disk counts as full: SQLite needs room for its log of writes."""


def storage_fault(settings: Settings, database: Database) -> str | None:
    """Returns a sentence while nothing can be written, or will be soon; None while all is well."""
    if database.commits_fail:
        return "Nothing can be written to the database."
    file = sqlite_file(settings.database_url)
    if file is None:
        return None
    free = free_at(existing_folder(file.parent))
    return None if free >= NEEDED_FREE else f"Only {free / GIB:.2f} GiB are free for the database."


def free_at(folder: Path) -> int:
    """Returns the bytes that are free on the disk of a folder."""
    return shutil.disk_usage(folder).free


def existing_folder(folder: Path) -> Path:
    """Returns the folder, or the nearest one above it that exists."""
    return next((it for it in (folder, *folder.absolute().parents) if it.exists()), Path("/"))
