"""The commands `backup`, `restored`, `grants` and `port`, which are about a whole database."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress as ProgressBar

from app.errors import CommandError
from app.services import prepare_database, unreachable_named, utc_now
from app.settings import load_settings
from db.driver.urls import sqlite_file
from db.upkeep.backup import back_up, begin_new_feed
from db.upkeep.porting import port as port_database
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


def port(
    file: Annotated[Path, typer.Argument(help="The SQLite database, such as var/likeperson.db.")],
) -> None:
    """Copy an SQLite database into the PostgreSQL of LIKEPERSON_DATABASE_URL, and compare.

    Stop the service first, and run `migrate` on both. Ids and positions stay as they are, so that
    subscribers go on. A copy that was cut short goes on when it is started again.
    """
    settings = load_settings()
    if sqlite_file(settings.database_url) is not None:
        raise CommandError("LIKEPERSON_DATABASE_URL names SQLite: set it to the PostgreSQL.")
    with unreachable_named(settings), ProgressBar(console=Console(stderr=True)) as bar:
        task = bar.add_task("Copying", total=None)

        def show(table: str, rows: int) -> None:
            bar.update(task, description=f"{table}: {rows}")

        counts = asyncio.run(port_database(file, settings.database_url, show))
    for table, count in counts.items():
        typer.echo(f"{count:>10} {table}")
    typer.echo("All rows are there, and equal. Start the service on PostgreSQL.")
