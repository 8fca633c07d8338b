"""The command `token`: prints a bearer token."""

from datetime import timedelta
from typing import Annotated

import typer

from app.auth.own_tokens import mint
from app.settings import load_settings

# Ten years. With much more, the expiry would lie beyond Python's calendar.
_MAX_HOURS = 10 * 365 * 24


def token(
    member: Annotated[
        str | None, typer.Option(help="Portal id of the member that the token is for.")
    ] = None,
    operator: Annotated[
        bool, typer.Option("--operator", help="The token is for an operator, who sees everything.")
    ] = False,
    hours: Annotated[
        float, typer.Option(help="How many hours it is valid.", min=0.01, max=_MAX_HOURS)
    ] = 12,
) -> None:
    """Print a bearer token signed with LIKEPERSON_AUTH_SECRET."""
    subject = "operator" if member is None else member
    if operator == (member is not None) or not subject.strip():
        raise typer.BadParameter("Give either --member PORTAL_ID or --operator.")
    settings, lifetime = load_settings(), timedelta(hours=hours)
    typer.echo(mint(settings, subject, operator=operator, lifetime=lifetime))
