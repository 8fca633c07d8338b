"""The command line: `likeperson-sync`, which is also `./run`."""

import asyncio
import logging
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated, NoReturn

import httpx
import typer
from rich.console import Console
from rich.progress import Progress as ProgressBar

from app.auth.tokens import mint
from app.commands.demo import DemoError, run_demo
from app.commands.log_commands import log, replay, worker
from app.commands.manifests import commands
from app.server import (
    PortInUseError,
    check_port,
    configure_logging,
    make_server,
    run_until_interrupted,
)
from app.services import prepare_database, unreachable_named, utc_now
from app.settings import Settings, SettingsError, doubts, load_settings
from db.errors import DatabaseError
from db.migrate import expected_revision, migrate
from schema.build import build_schema
from sync.simulator.keep_alive import portal_client
from sync.simulator.portal import Portal
from sync.simulator.run import Load, Progress, simulate
from sync.simulator.sender import Sender
from sync.simulator.summary import Summary
from sync.sources import standard_key

cli = typer.Typer(
    name="likeperson-sync",
    help="Makes what happens in HLF's membership portal true in the Likeperson app.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
console = Console()
logger = logging.getLogger(__name__)
# Ten years: with much more, the end of the token would lie beyond the calendar.
LONGEST_TOKEN_HOURS = 10 * 365 * 24

Host = Annotated[
    str | None, typer.Option(help="Address to listen on [default: LIKEPERSON_HOST or 127.0.0.1]")
]
Port = Annotated[
    int | None,
    typer.Option(help="Port to listen on; 0 picks a free one [default: LIKEPERSON_PORT or 8000]"),
]


def main() -> NoReturn:
    """Expected failures are a sentence on standard error and exit code 1."""
    try:
        cli()
    except (SettingsError, DemoError, PortInUseError, DatabaseError) as error:
        typer.echo(str(error), err=True)
        sys.exit(1)
    except OSError as error:
        if error.filename is None:
            raise
        # A file or folder that somebody has named, or ours where we may not write.
        typer.echo(f"Cannot use {error.filename}: {error.strerror}.", err=True)
        sys.exit(1)
    sys.exit(0)


@cli.command()
def serve(host: Host = None, port: Port = None) -> None:
    """Run the service: webhooks in, GraphQL and live subscriptions out."""
    settings = _settings_to_listen(host, port)
    asyncio.run(prepare_database(settings))
    run_until_interrupted(make_server(settings, _say_where).serve())


def _say_where(url: str) -> None:
    typer.echo(f"Likeperson Sync listens on {url}", err=True)


@cli.command()
def demo(host: Host = None, port: Port = None) -> None:
    """Run the service together with a simulated portal in which something happens all the time."""
    settings = _settings_to_listen(host, port, log_level="warning")
    run_until_interrupted(run_demo(settings, console))


@cli.command("migrate")
def migrate_command() -> None:
    """Bring the database to the schema of this program. Safe to run at any time, and twice."""
    settings = load_settings()
    with unreachable_named(settings):
        asyncio.run(migrate(settings.database_url))
    typer.echo(f"The database is at schema {expected_revision()}.")


@cli.command()
def token(
    member: Annotated[
        str | None, typer.Option(help="The token is for this member (the portal's id).")
    ] = None,
    operator: Annotated[
        bool, typer.Option("--operator", help="The token is for an operator, who sees everything.")
    ] = False,
    hours: Annotated[
        float, typer.Option(help="How long it is valid.", min=0.01, max=LONGEST_TOKEN_HOURS)
    ] = 12,
) -> None:
    """Print a bearer token signed with LIKEPERSON_AUTH_SECRET."""
    subject = "operator" if member is None else member
    if operator == (member is not None) or not subject.strip():
        raise typer.BadParameter("Give either --member PORTAL_ID or --operator.")
    settings, lifetime = load_settings(), timedelta(hours=hours)
    typer.echo(mint(settings, subject, operator=operator, lifetime=lifetime))


def _service_url(text: str) -> str:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise typer.BadParameter(f"{text!r} is not a URL: {error}.") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise typer.BadParameter(f"{text!r} is not a URL such as http://127.0.0.1:8000.")
    return text


@cli.command("simulate")
def simulate_command(
    url: Annotated[
        str | None,
        typer.Argument(
            parser=_service_url,
            metavar="URL",
            help="The service to send to [default: the one of this machine, at LIKEPERSON_PORT or "
            "8000]",
        ),
    ] = None,
    members: Annotated[int, typer.Option(help="How many members join first.", min=0)] = 300,
    events: Annotated[int, typer.Option(help="How many changes follow.", min=0)] = 300,
    rate: Annotated[float, typer.Option(help="Deliveries a second; 0: all at once.", min=0)] = 0,
    duplicates: Annotated[
        float, typer.Option(help="The share of events delivered twice.", min=0, max=1)
    ] = 0,
    shuffle: Annotated[
        int, typer.Option(help="How many places an event may be out of order.", min=0)
    ] = 0,
    seed: Annotated[int, typer.Option(help="The same seed tells the same story.")] = 1,
    concurrency: Annotated[int, typer.Option(help="Deliveries at one time.", min=1)] = 32,
    secret: Annotated[
        str | None, typer.Option(help="Signing secret [default: the first of source `portal`]")
    ] = None,
) -> None:
    """Be a membership portal: send signed webhooks to a service, and say what became of them."""
    load = Load(members, events, rate, concurrency, duplicates, shuffle)
    url = url or f"http://127.0.0.1:{load_settings().port}"
    if secret is None:
        secret = _configured_secret()
    try:
        standard_key(secret)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--secret") from error
    summary = asyncio.run(_simulate(url, load, seed, secret))
    _print_summary(summary)
    if summary.sent and not summary.accepted:
        reasons = ", ".join(map(_reason, sorted(summary.refused)))
        typer.echo(f"{url} has accepted nothing: {reasons}.", err=True)
        raise typer.Exit(1)


cli.add_typer(commands)
cli.command()(worker)
cli.command()(log)
cli.command()(replay)


@cli.command("export-schema")
def export_schema(
    file: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file.")] = None,
) -> None:
    """Print the GraphQL schema as SDL."""
    text = build_schema().as_str() + "\n"
    if file is None:
        typer.echo(text, nl=False)
    else:
        file.write_text(text, encoding="utf-8")


def _settings_to_listen(host: str | None, port: int | None, **given: object) -> Settings:
    settings = load_settings(host=host, port=port, **given)
    configure_logging(settings)
    for doubt in doubts(settings):
        logger.warning(doubt)
    check_port(settings)
    return settings


def _configured_secret() -> str:
    source = load_settings().sources.get("portal")
    if source is None or not source.usable_secrets:
        raise SettingsError("LIKEPERSON_SOURCES: there is no source `portal`; give --secret.")
    return source.usable_secrets[0]


async def _simulate(url: str, load: Load, seed: int, secret: str) -> Summary:
    with ProgressBar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Sending", total=None)

        def show(progress: Progress) -> None:
            bar.update(task, completed=progress.sent, total=progress.expected)

        async with portal_client(load.concurrency) as client:
            portal = Portal(seed, utc_now)
            return await simulate(portal, Sender(url, secret, client), load, show)


def _print_summary(summary: Summary) -> None:
    say = typer.echo
    say(f"sent      {summary.sent} in {summary.seconds:.1f} s ({summary.per_second:.0f}/s)")
    say(f"accepted  {summary.accepted}")
    for status, count in sorted(summary.refused.items()):
        say(f"refused   {count} with {_reason(status)}")
    for outcome, count in sorted(summary.outcomes.items()):
        say(f"  {outcome:<12} {count}")
    say(f"retried   {summary.retried}")
    say(f"ack       p50 {summary.ack_p50_ms:.1f} ms, p99 {summary.ack_p99_ms:.1f} ms")


def _reason(status: int) -> str:
    return f"HTTP {status}" if status else "no answer"
