"""The command `forget`: removes everything about a person."""

import asyncio
from typing import Annotated

import typer

from app.commands.actor import command_line_actor
from app.errors import CommandError
from app.services import national_body_of, open_database, utc_now
from app.settings import Settings, load_settings
from sync.correcting.forgetting_persons import Forgotten, forget_person
from sync.errors import ForgettingRefusedError


def forget(
    portal_id: Annotated[str, typer.Argument(help="The portal id of the person.")],
    reason: Annotated[str, typer.Option(help="Why, without saying who; kept in the audit trail.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove everything about a person, known or not. It cannot be undone.

    Older events about the person are skipped from then on. Only a newer membership-created or
    membership-reactivated makes the person known anew.
    """
    settings = load_settings()
    expected = _forgotten(settings, portal_id, reason, dry_run=True)
    if dry_run:
        typer.echo(f"Nothing is changed. Without --dry-run: {expected.report}")
        return
    if not (yes or typer.confirm(f"{expected.report}\nForget this person?")):
        return
    typer.echo(_forgotten(settings, portal_id, reason, dry_run=False).report)


def _forgotten(settings: Settings, portal_id: str, reason: str, *, dry_run: bool) -> Forgotten:
    try:
        return asyncio.run(_forget(settings, portal_id, reason, dry_run=dry_run))
    except ForgettingRefusedError as error:
        option = "PORTAL_ID" if error.field == "portalId" else "--reason"
        raise CommandError(f"{option}: {error}") from error


async def _forget(settings: Settings, portal_id: str, reason: str, *, dry_run: bool) -> Forgotten:
    async with open_database(settings) as (database, _):
        return await forget_person(
            database,
            portal_id,
            reason,
            command_line_actor(),
            utc_now,
            national_body=national_body_of(settings),
            dry_run=dry_run,
        )
