"""The commands `serve`, `worker` and `migrate`."""

import asyncio
import logging
import socket
from typing import Annotated

import typer

from app.doctor.examination import first_look
from app.logs import configure_logging
from app.portals import open_portals
from app.server import check_port, make_server, run_until_interrupted
from app.services import open_database, prepare_database, unreachable_named, utc_now
from app.settings import Settings, doubts, load_settings
from app.workers.supervisor import Supervisor, bound_socket, url_of
from app.workers.worker_place import WorkerPlace, report_ready
from db.feed.change_feed import LiveFeed
from db.migrate import expected_revision
from db.migrate import migrate as migrate_database
from sync.recording.worker import RetryWorker

logger = logging.getLogger(__name__)

Host = Annotated[
    str | None, typer.Option(help="Address to listen on [default: LIKEPERSON_HOST or 127.0.0.1]")
]
Port = Annotated[
    int | None,
    typer.Option(help="Port to listen on; 0 picks a free one [default: LIKEPERSON_PORT or 8000]"),
]


Workers = Annotated[
    int | None,
    typer.Option(help="Processes behind the port [default: LIKEPERSON_WORKERS or 1]", min=1),
]
OwnPlace = Annotated[
    str | None,
    typer.Option("--worker", hidden=True, help="Set by the service for its own workers."),
]


def serve(
    host: Host = None, port: Port = None, workers: Workers = None, worker: OwnPlace = None
) -> None:
    """Run the service: webhooks in, GraphQL and live subscriptions out.

    With several workers, SIGHUP replaces one after the other, so that nobody is turned away.
    """
    if worker is not None:
        _serve_as_worker(load_settings(host=host, port=port), WorkerPlace.parse(worker))
        return
    settings = settings_to_listen(host, port, workers=workers)
    asyncio.run(prepare_database(settings))
    if settings.env == "production":
        for found in asyncio.run(first_look(settings)):
            logger.warning("%s. %s", found.what.rstrip("."), found.advice)
    if workers is None and settings.workers == 1:
        run_until_interrupted(make_server(settings, _say_where).serve())
        return
    with bound_socket(settings.host, settings.port) as listening:
        _say_where(url_of(listening))
        arguments = ["--host", settings.host, "--port", str(settings.port)]
        asyncio.run(_supervise(listening, settings.workers, arguments))


async def _supervise(listening: socket.socket, workers: int, arguments: list[str]) -> None:
    await Supervisor(listening, workers, arguments).run()


def _serve_as_worker(settings: Settings, place: WorkerPlace) -> None:
    configure_logging(settings)
    server = make_server(settings, lambda _: report_ready(place), place)
    with socket.socket(fileno=place.listening) as listening:
        run_until_interrupted(server.serve([listening]))


def worker() -> None:
    """Run the retry worker alone, without a web server. Several may run at the same time."""
    settings = load_settings()
    configure_logging(settings)
    typer.echo("The retry worker runs. Ctrl-C stops it.", err=True)
    run_until_interrupted(_work(settings))


def migrate() -> None:
    """Bring the database to the schema of this program. Safe to run at any time, and twice."""
    settings = load_settings()
    with unreachable_named(settings):
        asyncio.run(migrate_database(settings.database_url))
    typer.echo(f"The database is at schema {expected_revision()}.")


def settings_to_listen(host: str | None, port: int | None, **given: object) -> Settings:
    """Returns the settings of a command that listens, once the port is known to be free.

    Raises SettingsError or PortInUseError.
    """
    settings = load_settings(host=host, port=port, **given)
    configure_logging(settings)
    for doubt in doubts(settings):
        logger.warning(doubt)
    check_port(settings)
    return settings


def _say_where(url: str) -> None:
    typer.echo(f"Likeperson Sync listens on {url}", err=True)


async def _work(settings: Settings) -> None:
    async with (
        open_database(settings) as (database, bell),
        LiveFeed(database, bell) as feed,
        open_portals(settings, utc_now) as portals,
        RetryWorker(database, feed, utc_now, portals),
    ):
        await asyncio.Event().wait()
