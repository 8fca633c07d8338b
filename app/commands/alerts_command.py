"""The command `try-alerts`: sends a message to all addresses, to try them."""

import asyncio

import typer

from app.alert_services import health_page
from app.alerts.alert_messages import AlertMessage
from app.alerts.destinations import Destinations
from app.errors import CommandError
from app.logs import configure_logging
from app.settings import load_settings

_TITLE = "Likeperson Sync: prøve / a trial"
_BODY = "Slik ser en melding ut. / This is what a message looks like.\n"


def try_alerts() -> None:
    """Send a message to all addresses of LIKEPERSON_ALERTS, and say who took it."""
    settings = load_settings()
    configure_logging(settings)
    if not settings.alerts:
        raise CommandError("LIKEPERSON_ALERTS names nobody.")
    message = AlertMessage(_TITLE, _BODY + (health_page(settings) or ""))
    destinations = Destinations([url.get_secret_value() for url in settings.alerts])
    taken = asyncio.run(destinations.send(message))
    typer.echo(f"{taken} of {len(settings.alerts)} address(es) took the message.")
    if taken < len(settings.alerts):
        raise typer.Exit(1)
