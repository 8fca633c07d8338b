"""The command `retention`: removes what is kept no longer."""

import asyncio
from typing import Annotated

import typer

from app.services import kept_bodies, open_database, utc_now
from app.settings import Settings, load_settings
from sync.body_retention import bodies_to_remove, remove_some_bodies


def retention(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how much would be removed.")
    ] = False,
) -> None:
    """Remove the values of old events, as the service does every hour. It can be repeated."""
    settings = load_settings()
    count = asyncio.run(_expired(settings) if dry_run else _remove(settings))
    done = "would lose" if dry_run else "have lost"
    typer.echo(f"{count} log entries {done} their bodies and values.")


async def _expired(settings: Settings) -> int:
    async with open_database(settings) as (database, _):
        return await bodies_to_remove(database, kept_bodies(settings), utc_now())


async def _remove(settings: Settings) -> int:
    total = 0
    async with open_database(settings) as (database, _):
        while removed := await remove_some_bodies(database, kept_bodies(settings), utc_now()):
            total += removed
    return total
