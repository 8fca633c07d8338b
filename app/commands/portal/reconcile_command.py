"""The command `reconcile`: compares a file of members with what is known, and applies it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress as ProgressBar
from rich.progress import TaskID
from rich.table import Table

from app.commands.actor import command_line_actor
from app.commands.log.event_options import read_time
from app.commands.plain_text import plain
from app.errors import CommandError
from app.portals import open_portal
from app.services import open_database, utc_now
from app.settings import Settings, load_settings
from db.database import Database
from db.queries.runs.portal_states import PortalState
from db.vocabulary import ReconciliationKind, canonical_portal_id
from sync.dataverse.errors import PortalError
from sync.dataverse.mapping import load_mapping
from sync.reconcile.copies import copied
from sync.reconcile.files import FileFormatError, read_lines
from sync.reconcile.guard import Guard
from sync.reconcile.holding import NothingHeldError, decide_held, held_of, named
from sync.reconcile.leases import LEASE, leased
from sync.reconcile.poller import remember_first_reading
from sync.reconcile.runs import Options, Report, Request, recorded_run
from sync.reconcile.runs import reconcile as reconcile_source

EXIT_HELD = 3
PATIENCE_SECONDS = LEASE.total_seconds() + 5
"""Longer than a process that has died keeps its lease."""
SHOWN = 50


def reconcile(
    source: Annotated[
        str, typer.Argument(help="The source whose members these are, as in LIKEPERSON_SOURCES.")
    ],
    file: Annotated[
        Path | None,
        typer.Option(help="CSV or JSON lines [default: the Web API of the source's mapping]"),
    ] = None,
    member: Annotated[
        str | None, typer.Option(help="Only this member, by their portal id; of the Web API.")
    ] = None,
    partial_file: Annotated[
        bool, typer.Option("--partial", help="Who is not in the file stays as they are.")
    ] = False,
    at: Annotated[
        datetime | None,
        typer.Option(
            parser=read_time,
            metavar="TIME",
            help="When the file was so, for lines without changedAt [default: its own time]",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what differs and what would be done.")
    ] = False,
    skip_wrong: Annotated[
        bool, typer.Option("--skip-wrong", help="Apply the other lines when some are wrong.")
    ] = False,
    release: Annotated[
        bool, typer.Option("--release", help="Also take away what the deletion guard would hold.")
    ] = False,
    held: Annotated[
        bool,
        typer.Option(
            "--held",
            help="Show what the deletion guard holds back; with --release or --discard, and a "
            "--reason, decide it.",
        ),
    ] = False,
    discard: Annotated[
        bool, typer.Option("--discard", help="With --held: what is held stays as it is here.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why, with --held; kept in the audit trail.")] = "",
) -> None:
    """Compare all members of a source with what is known, and record what differs.

    They come from a file, or from the portal itself. It is also the first load of an empty
    database. The columns of a file are in docs/integrate/files.md. Exits with 3 when the deletion
    guard has held something back.
    """
    settings = load_settings()
    if source not in settings.sources:
        known = ", ".join(sorted(settings.sources)) or "none"
        raise typer.BadParameter(f"There is no source {source!r}. There is: {known}.")
    if held or discard:
        if release and discard:
            raise typer.BadParameter("Give --release or --discard, not both.")
        if (release or discard) and not (held and reason.strip()):
            raise typer.BadParameter("Deciding takes --held and a --reason, which is kept.")
        decision = release if release or discard else None
        asyncio.run(_decide(settings, source, decision, reason.strip()))
        return
    options = Options(
        complete=not (partial_file or member),
        dry_run=dry_run,
        skip_wrong=skip_wrong,
        release=release,
    )
    try:
        if file is not None:
            moment = at or datetime.fromtimestamp(file.stat().st_mtime, UTC)
            report = asyncio.run(_from_file(settings, source, file, moment, options))
        else:
            report = asyncio.run(_from_portal(settings, source, member, options))
    except FileFormatError as error:
        raise CommandError(str(error)) from error
    except PortalError as error:
        raise CommandError(
            f"The portal could not be read whole, so nothing was applied: {error}"
        ) from error
    _show(report, options)


async def _decide(settings: Settings, source: str, release: bool | None, reason: str) -> None:
    """Shows what is held, and releases or discards it unless that is not decided."""
    async with open_database(settings) as (database, _):
        items = await held_of(database, source)
        typer.echo(f"Held back of {source}: {len(items)}.")
        for item in items[:SHOWN]:
            name = named(item.portal_id, item.part, item.there)
            typer.echo(f"  {plain(name)}, since {item.held_since:%Y-%m-%d %H:%M} UTC")
        if len(items) > SHOWN:
            typer.echo(f"  … and {len(items) - SHOWN} more.")
        if release is not None:
            try:
                await decide_held(
                    database, items, command_line_actor(), reason, utc_now, release=release
                )
            except NothingHeldError as error:
                raise CommandError(str(error)) from error
            typer.echo("Released." if release else "Discarded: they stay as they are here.")


Show = Callable[[str, int], None]


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[Database, Show]]:
    """Opens the database and a progress bar on standard error."""
    async with open_database(settings) as (database, _):
        with ProgressBar(console=Console(stderr=True), transient=True) as bar:
            tasks: dict[str, TaskID] = {}

            def show(doing: str, lines: int) -> None:
                if doing not in tasks:
                    tasks[doing] = bar.add_task(doing, total=None)
                bar.update(tasks[doing], completed=lines, description=f"{doing}: {lines}")

            yield database, show


async def _from_file(
    settings: Settings, source: str, file: Path, at: datetime, options: Options
) -> Report:
    lines = partial(read_lines, file, at)
    request = Request(source, lines, f"the file {file.name}", at, options)
    async with _opened(settings) as (database, show), _alone(database, source, options):
        return await reconcile_source(database, request, _guard(settings, source), utc_now, show)


async def _from_portal(
    settings: Settings, source: str, member: str | None, options: Options
) -> Report:
    file = settings.sources[source].mapping
    mapping = load_mapping(file) if file else None
    if mapping is None or mapping.environment.api is None:
        raise CommandError(
            f"The source {source} has no Web API in a mapping; give a --file of its members."
        )
    moment = utc_now()
    async with open_portal(mapping, utc_now) as portal, _opened(settings) as (database, show):
        if member is None:
            statements = portal.members()
        else:
            statements = _only(portal.member(canonical_portal_id(member)))
        kind = ReconciliationKind.FULL if member is None else ReconciliationKind.DELTA
        async with AsyncExitStack() as stack:
            state = await stack.enter_async_context(_alone(database, source, options))
            recording = recorded_run(database, source, kind, utc_now, dry_run=options.dry_run)
            run = await stack.enter_async_context(recording)
            lines = await stack.enter_async_context(copied(statements, show))
            request = Request(source, lines, "the portal", moment, options, kind, run)
            guard = _guard(settings, source)
            report = await reconcile_source(database, request, guard, utc_now, show)
            if options.complete and state is not None:
                await remember_first_reading(database, source, state, moment)
        return report


@asynccontextmanager
async def _alone(
    database: Database, source: str, options: Options
) -> AsyncIterator[PortalState | None]:
    """Compares the source alone, unless nothing is applied; then None. Raises CommandError."""
    if options.dry_run:
        yield None
        return
    async with leased(database, source, utc_now, patience=PATIENCE_SECONDS) as state:
        if state is None:
            raise CommandError(
                f"Another process compares {source} now. Run this again when it is done."
            )
        yield state


async def _only(statement: Awaitable[bytes]) -> AsyncIterator[bytes]:
    yield await statement


def _guard(settings: Settings, source: str) -> Guard:
    mapping = settings.sources[source].mapping
    if mapping is None:
        return Guard()
    limits = load_mapping(mapping).reconcile
    return Guard(limits.hold_above_count, limits.hold_above_share)


def _show(report: Report, options: Options) -> None:
    for line in report.wrong[:SHOWN]:
        typer.echo(f"line {line.number}: {plain(line.reason)}", err=True)
    if report.wrong_count > SHOWN:
        typer.echo(f"… and {report.wrong_count - SHOWN} more wrong lines.", err=True)
    console = Console(soft_wrap=True)
    console.print(_counts(report))
    if options.dry_run:
        _show_differences(report, console)
    elif report.wrong_count and not options.skip_wrong:
        raise CommandError(
            f"{report.wrong_count} line(s) are wrong, so nothing was applied. Correct them, or "
            "apply the others with --skip-wrong."
        )
    else:
        for outcome, count in sorted(report.outcomes.items()):
            typer.echo(f"  {outcome.value:<12} {count}")
        if report.failed:
            typer.echo(f"{report.failed} event(s) failed, and are tried again by the service.")
    _show_held(report, options)


def _counts(report: Report) -> Table:
    table = Table(box=None, show_header=False)
    for name, count in (
        ("read", report.read),
        ("equal", report.equal),
        ("missing here", report.new),
        ("differing", report.changed),
        ("no members any more", report.deactivated),
        ("  of these missing there", report.missing_there),
        ("not members there, unknown here", report.out_of_scope),
        ("beaten by a later statement", report.beaten),
        ("corrected here", report.corrected),
        ("held", len(report.held)),
        ("wrong lines", report.wrong_count),
    ):
        table.add_row(name, str(count))
    return table


def _show_differences(report: Report, console: Console) -> None:
    if not report.differences:
        return
    table = Table("member", "field", "there", "here", "why", box=None)
    for difference in report.differences[:SHOWN]:
        for one in difference.fields:
            there, here = plain(one.there or "–"), plain(one.here or "–")
            table.add_row(plain(difference.portal_id), one.field, there, here, one.why.value)
    console.print(table)
    if len(report.differences) > SHOWN:
        typer.echo("… and more.")


def _show_held(report: Report, options: Options) -> None:
    if not report.held:
        return
    typer.echo(f"Held back by the deletion guard: {report.held_because}.")
    for name in report.held[:SHOWN]:
        typer.echo(f"  {plain(name)}")
    if len(report.held) > SHOWN:
        typer.echo(f"  … and {len(report.held) - SHOWN} more.")
    typer.echo(
        "Everything else "
        + ("would be" if options.dry_run else "was")
        + " applied. If these are right, release them: --held --release --reason TEXT. If not: "
        "--discard instead of --release."
    )
    raise typer.Exit(EXIT_HELD)
