"""The commands `backup`, `restored` and `grants`, which are about a database as a whole."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from app.errors import CommandError
from app.services import prepare_database, unreachable_named, utc_now
from app.settings import load_settings
from db.driver.urls import sqlite_file
from db.upkeep.backup import back_up, begin_new_feed
from db.upkeep.privileges import grants as grants_for

_NAME = "likeperson-{:%Y%m%dT%H%M%SZ}.db"
_NAMES = "likeperson-*Z.db"


class NotOnSqliteError(CommandError):
    """The command is for SQLite alone."""

    def __init__(self) -> None:
        super().__init__(
            "`backup` copies SQLite databases. Back PostgreSQL up by its own means, such as "
            "`pg_dump --format=custom`; docs/operate/backup.md tells how."
        )


def backup(
    target: Annotated[
        Path,
        typer.Argument(help="The file to write, or a folder, in which the file is named by time."),
    ],
    keep: Annotated[
        int | None,
        typer.Option(help="In a folder: delete all backups but so many of the newest.", min=1),
    ] = None,
) -> None:
    """Copy the SQLite database while the service runs. An existing file is not overwritten."""
    in_folder = target.is_dir()
    if keep is not None and not in_folder:
        raise typer.BadParameter(f"needs a folder, and {target} is none.", param_hint="--keep")
    source = sqlite_file(load_settings().database_url)
    if source is None:
        raise NotOnSqliteError
    file = target / _NAME.format(utc_now()) if in_folder else target
    written = asyncio.run(back_up(source, file))
    typer.echo(f"{written.file} holds the database, {written.size} bytes.")
    for old in sorted(target.glob(_NAMES))[:-keep] if keep else ():
        old.unlink()
        typer.echo(f"{old} is deleted.")


def restored() -> None:
    """Say that the database was restored from a backup, before the service starts on it.

    Whoever followed the changes of before is then told to begin anew, and misses nothing.
    """
    settings = load_settings()
    asyncio.run(prepare_database(settings))
    with unreachable_named(settings):
        asyncio.run(begin_new_feed(settings.database_url))
    typer.echo("The change feed begins anew. Start the service; subscribers read everything again.")


def grants(
    role: Annotated[str, typer.Argument(help="The role that the service signs in with.")],
) -> None:
    """Print the SQL that lets a PostgreSQL role run the service without owning the tables.

    Run it as the owner of the tables, who also runs `migrate`. It can be repeated.
    """
    for statement in grants_for(role):
        typer.echo(statement)
