"""The command `simulate`: sends signed webhooks to a service, as a portal would."""

import asyncio
from http import HTTPStatus
from typing import Annotated

import httpx
import typer
from rich.console import Console
from rich.progress import Progress as ProgressBar

from app.commands.plain_text import plain
from app.services import utc_now
from app.settings import SettingsError, load_settings
from sync.simulator.keep_alive import portal_client
from sync.simulator.portal import Portal
from sync.simulator.run import Load, Progress
from sync.simulator.run import simulate as run_load
from sync.simulator.sender import Sender, address_of, source_of
from sync.simulator.summary import Summary
from sync.standard_webhooks.secrets import standard_key

DEFAULT_SOURCE = "portal"


def _service_url(text: str) -> str:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise typer.BadParameter(f"{text!r} is not a URL: {error}.") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise typer.BadParameter(f"{text!r} is not a URL such as http://127.0.0.1:8000.")
    return text


def simulate(
    url: Annotated[
        str | None,
        typer.Argument(
            parser=_service_url,
            metavar="URL",
            help="The service, or its webhook, such as http://127.0.0.1:8000/webhooks/portal "
            "[default: the service of this machine, at LIKEPERSON_PORT or 8000]",
        ),
    ] = None,
    members: Annotated[int, typer.Option(help="How many members join first.", min=0)] = 300,
    events: Annotated[int, typer.Option(help="How many changes follow.", min=0)] = 300,
    rate: Annotated[
        float, typer.Option(help="Deliveries per second; 0 is as fast as possible.", min=0)
    ] = 0,
    duplicates: Annotated[
        float, typer.Option(help="The share of events delivered twice.", min=0, max=1)
    ] = 0,
    shuffle: Annotated[
        int, typer.Option(help="How many places an event may be out of order.", min=0)
    ] = 0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same events.")] = 1,
    concurrency: Annotated[int, typer.Option(help="Concurrent deliveries.", min=1)] = 32,
    secret: Annotated[
        str | None,
        typer.Option(help="Signing secret [default: the first of the source in the settings]"),
    ] = None,
) -> None:
    """Send signed webhooks to a service, as a portal would, and say what became of them."""
    load = Load(members, events, rate, concurrency, duplicates, shuffle)
    url = url or f"http://127.0.0.1:{load_settings().port}"
    if secret is None:
        secret = _configured_secret(source_of(url) or DEFAULT_SOURCE)
    try:
        standard_key(secret)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--secret") from error
    summary = asyncio.run(_simulate(url, load, seed, secret))
    _show(summary)
    if summary.stopped_by is not None:
        typer.echo(_stopped(url, summary.stopped_by), err=True)
        raise typer.Exit(1)
    if summary.sent and not summary.accepted:
        reasons = ", ".join(map(_reason, sorted(summary.refused)))
        typer.echo(f"{url} has accepted nothing: {reasons}.", err=True)
        raise typer.Exit(1)


def _configured_secret(name: str) -> str:
    source = load_settings().sources.get(name)
    if source is None or not source.usable_secrets:
        raise SettingsError(f"LIKEPERSON_SOURCES has no source `{name}`; give --secret.")
    return source.usable_secrets[0]


def _stopped(url: str, status: int) -> str:
    address = address_of(url, DEFAULT_SOURCE)
    if status == HTTPStatus.NOT_FOUND:
        return f"Stopped: {address} answers 404. No source has this address; correct the URL."
    return (
        f"Stopped: {address} answers 401. It has another secret or another clock; give --secret, "
        "or look at the service's log."
    )


async def _simulate(url: str, load: Load, seed: int, secret: str) -> Summary:
    with ProgressBar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Sending", total=None)

        def show(progress: Progress) -> None:
            bar.update(task, completed=progress.sent, total=progress.expected)

        async with portal_client(load.concurrency) as client:
            portal = Portal(seed, utc_now)
            return await run_load(portal, Sender(url, secret, client), load, show)


def _show(summary: Summary) -> None:
    say = typer.echo
    say(f"sent      {summary.sent} in {summary.seconds:.1f} s ({summary.per_second:.0f}/s)")
    say(f"accepted  {summary.accepted}")
    for status, count in sorted(summary.refused.items()):
        say(f"refused   {count} with {_reason(status)}")
    for outcome, count in sorted(summary.outcomes.items()):
        say(f"  {plain(outcome):<12} {count}")
    say(f"retried   {summary.retried}")
    say(f"ack       p50 {summary.ack_p50_ms:.1f} ms, p99 {summary.ack_p99_ms:.1f} ms")


def _reason(status: int) -> str:
    return f"HTTP {status}" if status else "no answer"
