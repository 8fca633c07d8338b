"""The command `correct`: puts right what the portal has wrong of a member."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

import typer
from msgspec import UNSET

from app.commands.actor import command_line_actor
from app.commands.plain_text import plain
from app.errors import CommandError
from app.services import national_body_of, open_database, utc_now
from app.settings import Settings, load_settings
from db.vocabulary import ActivationState, EntryId
from sync.correcting.corrections import Corrected, CorrectedRole, Correction, correct_membership
from sync.correcting.restoring import restore
from sync.errors import CorrectionRefusedError

Text = Annotated[str | None, typer.Option(help="An empty text clears it.")]


def correct(
    reason: Annotated[str, typer.Option(help="Why; kept in the log and in the audit trail.")],
    portal_id: Annotated[
        str | None, typer.Argument(help="The portal id of the member.", show_default=False)
    ] = None,
    undo: Annotated[
        list[int] | None,
        typer.Option(
            metavar="ENTRY",
            help="Instead of a member: make members what they were before the log entry with this "
            "`id` (log --json), except for what was stated since; repeatable.",
        ),
    ] = None,
    state: Annotated[
        ActivationState | None, typer.Option(help="The state of the membership.")
    ] = None,
    organization: Annotated[
        str | None,
        typer.Option(
            metavar="PORTAL_ID", help="The home organization; an empty text stands for none."
        ),
    ] = None,
    role: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CODE[@PORTAL_ID]",
            help="A role, held at home or in an organization; repeatable. Together they are all "
            "roles of the member.",
        ),
    ] = None,
    no_roles: Annotated[
        bool, typer.Option("--no-roles", help="The member holds no roles.")
    ] = False,
    member_number: Text = None,
    given_name: Text = None,
    family_name: Text = None,
    email: Text = None,
    phone: Text = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Put right what the portal has wrong of a member.

    It stands until the portal states something new of that part. What is not given stays as it is.
    """
    settings = load_settings()
    if undo and portal_id is None:
        ids = [EntryId(number) for number in undo]
        _undo(settings, ids, reason, dry_run=dry_run, yes=yes)
        return
    if undo or portal_id is None:
        raise typer.BadParameter("Give either PORTAL_ID or --undo.")
    if role and no_roles:
        raise typer.BadParameter("Give either --role or --no-roles.")
    stated = {
        "memberNumber": member_number,
        "givenName": given_name,
        "familyName": family_name,
        "email": email,
        "phone": phone,
    }
    correction = Correction(
        portal_id=portal_id,
        reason=reason,
        state=state,
        organization_id=UNSET if organization is None else organization.strip() or None,
        roles=[] if no_roles else [_role(text) for text in role] if role else None,
        profile={name: text or None for name, text in stated.items() if text is not None},
    )
    expected = _corrected(settings, correction, dry_run=True)
    _show(expected, "would be")
    if dry_run or not (yes or typer.confirm("Correct this?")):
        return
    _show(_corrected(settings, correction, dry_run=False), "is")


def _undo(settings: Settings, ids: list[EntryId], reason: str, *, dry_run: bool, yes: bool) -> None:
    def restored(*, dry_run: bool) -> list[Corrected]:
        with _refusals_told():
            return asyncio.run(_restore(settings, ids, reason, dry_run=dry_run))

    expected = restored(dry_run=True)
    for corrected in expected:
        _show(corrected, "would be")
    if not expected:
        typer.echo("These entries decide nothing any more, so there is nothing to restore.")
    elif not dry_run and (yes or typer.confirm(f"Restore {len(expected)} member(s)?")):
        typer.echo(f"{len(restored(dry_run=False))} member(s) are restored.")


async def _restore(
    settings: Settings, ids: list[EntryId], reason: str, *, dry_run: bool
) -> list[Corrected]:
    async with open_database(settings) as (database, _):
        actor = command_line_actor()
        body = national_body_of(settings)
        return await restore(
            database, ids, reason, actor, utc_now, national_body=body, dry_run=dry_run
        )


def _role(text: str) -> CorrectedRole:
    code, _, where = text.partition("@")
    return CorrectedRole(code.strip(), where.strip() or None)


_OPTIONS: Mapping[str, str] = {
    "portalId": "PORTAL_ID",
    "organizationPortalId": "--organization",
    "roles": "--role",
    "reason": "--reason",
    "profile": "a field of the profile",
    "entries": "--undo",
}


def _corrected(settings: Settings, correction: Correction, *, dry_run: bool) -> Corrected:
    with _refusals_told():
        return asyncio.run(_correct(settings, correction, dry_run=dry_run))


@contextmanager
def _refusals_told() -> Iterator[None]:
    try:
        yield
    except CorrectionRefusedError as error:
        raise CommandError(f"{_OPTIONS.get(error.field, error.field)}: {error}") from error


async def _correct(settings: Settings, correction: Correction, *, dry_run: bool) -> Corrected:
    async with open_database(settings) as (database, _):
        actor = command_line_actor()
        body = national_body_of(settings)
        return await correct_membership(
            database, correction, actor, utc_now, national_body=body, dry_run=dry_run
        )


def _show(corrected: Corrected, verb: str) -> None:
    outcome = corrected.outcome.value if corrected.outcome else "not applied yet"
    typer.echo(f"The member {verb} corrected: {corrected.status.value}, {outcome}.")
    for change in corrected.changes:
        before, after = plain(change.before or "-"), plain(change.after or "-")
        typer.echo(f"  {change.field}: {before} -> {after}")
