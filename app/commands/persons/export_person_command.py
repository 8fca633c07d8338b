"""The command `export-person`: everything that is held about a person, as one JSON document."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from app.commands.actor import command_line_actor
from app.errors import CommandError
from app.services import open_database, utc_now
from app.settings import Settings, load_settings
from sync.correcting.exporting_persons import PersonalData, export_person
from sync.errors import PersonUnknownError


def export_person_data(
    portal_id: Annotated[str, typer.Argument(help="The portal id of the person.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A new file, instead of the screen.")
    ] = None,
) -> None:
    """Export everything that is held about a person, for the person. It is recorded."""
    if output is not None and output.exists():
        raise CommandError(f"{output} exists already, and is not overwritten.")
    try:
        found = asyncio.run(_export(load_settings(), portal_id))
    except PersonUnknownError as error:
        raise CommandError(str(error)) from error
    text = msgspec.json.format(msgspec.json.encode(found), indent=2)
    if output is None:
        typer.echo(text.decode())
        return
    try:
        # For its owner alone.
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise CommandError(f"{output} cannot be written: {error.strerror}") from error
    with os.fdopen(file, "wb") as opened:
        opened.write(text + b"\n")
    typer.echo(f"Written to {output}, which only you can read.")


async def _export(settings: Settings, portal_id: str) -> PersonalData:
    async with open_database(settings) as (database, _):
        return await export_person(database, portal_id, command_line_actor(), utc_now)
