"""The command `demo`: the service, and a simulated portal that changes something all the time."""

import hashlib
from functools import partial
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import Progress as ProgressBar

from app.auth.own_tokens import mint_code
from app.commands.service_commands import Host, Port, settings_to_listen
from app.errors import CommandError
from app.server import run_until_interrupted, running
from app.services import prepare_database, utc_now
from app.settings import Settings
from db.driver.urls import sqlite_file
from sync.simulator.event_bodies import PortalEvent
from sync.simulator.keep_alive import portal_client
from sync.simulator.portal import Portal
from sync.simulator.run import Load, Progress, live, simulate
from sync.simulator.sender import Sender, SendResult

MEMBERS = 300
CHANGE_SECONDS = 2.0
SOURCE = "portal"

QUERY = """\
{ members(first: 5, orderBy: {field: UPDATED_AT, direction: DESC}) {
    totalCount
    edges { node { displayName state accessLevel organization { name } } } } }"""
SUBSCRIPTION = """\
subscription { memberChanges { __typename
    ... on MemberChange { operation member { displayName state accessLevel } } } }"""


class DemoError(CommandError):
    """The demo cannot run, since something that it needs is missing."""


def demo(host: Host = None, port: Port = None) -> None:
    """Run the service and a simulated portal in which something changes all the time."""
    settings = settings_to_listen(host, port, log_level="warning")
    run_until_interrupted(_run(settings, Console()))


async def _run(settings: Settings, console: Console) -> None:
    """Returns when it is told to stop. Raises DemoError."""
    if settings.auth_issuer is not None:
        raise DemoError("The demo signs its own tokens: unset LIKEPERSON_AUTH_ISSUER.")
    secret = _portal_secret(settings)
    state = _state_file(settings)
    portal = _resumed(settings, state)
    await prepare_database(settings)
    async with running(settings) as url, portal_client(32) as client:
        sender = Sender(url, secret, client, source=SOURCE)
        if portal is None:
            portal = Portal(1, utc_now)
            await _enrol(portal, sender, console)
            _save(portal, state)
        else:
            console.print(f"The portal goes on with its {len(portal.members)} members.")
        _show(portal, settings, url, console)
        await _change(portal, sender, state, console)


def _portal_secret(settings: Settings) -> str:
    source = settings.sources.get(SOURCE)
    if source is None or source.scheme != "standard-webhooks" or not source.usable_secrets:
        raise DemoError(f"The demo needs a source {SOURCE!r} of the scheme standard-webhooks.")
    return source.usable_secrets[0]


def _state_file(settings: Settings) -> Path:
    """Returns the file of the simulated portal; each database has its own."""
    digest = hashlib.sha256(settings.database_url.encode()).hexdigest()[:8]
    return Path("var") / f"demo-portal-{digest}.json"


def _resumed(settings: Settings, state: Path) -> Portal | None:
    """Returns the portal as the last run left it, or None if there is none or no database."""
    database = sqlite_file(settings.database_url)
    if not state.exists() or (database is not None and not database.exists()):
        return None
    try:
        return Portal.restore(state.read_bytes(), utc_now)
    except msgspec.MsgspecError:
        return None


def _save(portal: Portal, state: Path) -> None:
    state.parent.mkdir(parents=True, exist_ok=True)
    # Replaced in one step, since the demo may be stopped at any moment.
    draft = state.with_suffix(".new")
    draft.write_bytes(portal.snapshot())
    draft.replace(state)


async def _enrol(portal: Portal, sender: Sender, console: Console) -> None:
    with ProgressBar(console=console, transient=True) as bar:
        task = bar.add_task(f"The portal enrols {MEMBERS} members", total=MEMBERS)

        def show(progress: Progress) -> None:
            bar.update(task, completed=progress.sent)

        summary = await simulate(portal, sender, Load(members=MEMBERS, events=0), show)
    console.print(
        f"The portal enrolled {summary.accepted} members in {summary.seconds:.1f} s, "
        f"by signed webhooks."
    )


def _show(portal: Portal, settings: Settings, url: str, console: Console) -> None:
    people = {
        "operator": ("demo", True),
        "administrator (HLF)": (portal.administrator.id, False),
        "coordinator (a county)": (portal.coordinator.id, False),
        "peer mentor": (portal.peer_mentor.id, False),
    }
    say = partial(console.print, soft_wrap=True, markup=False, highlight=False)
    say(f"\nLikeperson Sync is at {url}; look at the console there. GraphiQL, signed in as …\n")
    for who, (subject, operator) in people.items():
        code = mint_code(settings, subject, operator=operator)
        say(f"  {who}:\n  {url}/graphiql#code={code}\n")
    say("Each link works once, within a minute; `./run token --operator --link` prints another.")
    say("`./run token --operator` prints a token to send as `Authorization: Bearer …`.")
    say(f"\nA query worth pasting:\n\n{QUERY}\n")
    say(f"And a subscription:\n\n{SUBSCRIPTION}\n")
    say("Something changes in the portal every two seconds. Times are UTC. Ctrl-C stops.\n")


async def _change(portal: Portal, sender: Sender, state: Path, console: Console) -> None:
    def show(event: PortalEvent, result: SendResult) -> None:
        _save(portal, state)
        outcome = result.outcome or result.status or f"HTTP {result.http_status}"
        console.print(
            f"{utc_now():%H:%M:%S} {event.type:<24} {outcome:<12} {result.seconds * 1000:5.1f} ms",
            highlight=False,
        )

    await live(portal, sender, CHANGE_SECONDS, show)
