"""The command `reconcile`: compares a file of members with what is known, and applies it."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress as ProgressBar
from rich.table import Table

from app.commands.event_options import read_time
from app.commands.plain_text import plain
from app.errors import CommandError
from app.services import open_database, utc_now
from app.settings import Settings, load_settings
from sync.dataverse.mapping import load_mapping
from sync.reconcile.files import FileFormatError
from sync.reconcile.guard import Guard
from sync.reconcile.run import FileRequest, Report, reconcile_file

EXIT_HELD = 3
SHOWN = 50


def reconcile(
    source: Annotated[
        str, typer.Argument(help="The source whose members these are, as in LIKEPERSON_SOURCES.")
    ],
    file: Annotated[Path, typer.Option(help="CSV or JSON lines.")],
    partial: Annotated[
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
) -> None:
    """Compare a file of members with what is known, and record what differs.

    It is also the first load of an empty database. The columns are in docs/integrate/files.md.
    Exits with 3 when the deletion guard has held something back.
    """
    settings = load_settings()
    if source not in settings.sources:
        known = ", ".join(sorted(settings.sources)) or "none"
        raise typer.BadParameter(f"There is no source {source!r}. There is: {known}.")
    moment = at or datetime.fromtimestamp(file.stat().st_mtime, UTC)
    request = FileRequest(
        source=source,
        file=file,
        at=moment,
        complete=not partial,
        dry_run=dry_run,
        skip_wrong=skip_wrong,
        release=release,
    )
    try:
        report = asyncio.run(_reconcile(settings, request))
    except FileFormatError as error:
        raise CommandError(str(error)) from error
    _show(report, request)


async def _reconcile(settings: Settings, request: FileRequest) -> Report:
    async with open_database(settings) as (database, _):
        with ProgressBar(console=Console(stderr=True), transient=True) as bar:
            tasks = {}

            def show(doing: str, lines: int) -> None:
                if doing not in tasks:
                    tasks[doing] = bar.add_task(doing, total=None)
                bar.update(tasks[doing], completed=lines, description=f"{doing}: {lines}")

            guard = _guard(settings, request.source)
            return await reconcile_file(database, request, guard, utc_now, show)


def _guard(settings: Settings, source: str) -> Guard:
    mapping = settings.sources[source].mapping
    if mapping is None:
        return Guard()
    limits = load_mapping(mapping).reconcile
    return Guard(limits.hold_above_count, limits.hold_above_share)


def _show(report: Report, request: FileRequest) -> None:
    for line in report.wrong[:SHOWN]:
        typer.echo(f"line {line.number}: {plain(line.reason)}", err=True)
    if report.wrong_count > SHOWN:
        typer.echo(f"… and {report.wrong_count - SHOWN} more wrong lines.", err=True)
    console = Console(soft_wrap=True)
    console.print(_counts(report))
    if request.dry_run:
        _show_differences(report, console)
    elif report.wrong_count and not request.skip_wrong:
        raise CommandError(
            f"{report.wrong_count} line(s) are wrong, so nothing was applied. Correct them, or "
            "apply the others with --skip-wrong."
        )
    else:
        for outcome, count in sorted(report.outcomes.items()):
            typer.echo(f"  {outcome.value:<12} {count}")
        if report.failed:
            typer.echo(f"{report.failed} event(s) failed, and are tried again by the service.")
    _show_held(report, request)


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


def _show_held(report: Report, request: FileRequest) -> None:
    if not report.held:
        return
    typer.echo(f"Held back by the deletion guard: {report.held_because}.")
    for name in report.held[:SHOWN]:
        typer.echo(f"  {plain(name)}")
    if len(report.held) > SHOWN:
        typer.echo(f"  … and {len(report.held) - SHOWN} more.")
    typer.echo(
        "Everything else "
        + ("would be" if request.dry_run else "was")
        + " applied. If these are right, run it again with --release."
    )
    raise typer.Exit(EXIT_HELD)
