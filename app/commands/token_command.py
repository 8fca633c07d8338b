"""The command `token`: prints a bearer token."""

from datetime import timedelta
from typing import Annotated

import typer

from app.auth.own_tokens import mint, mint_code
from app.settings import Settings, load_settings

# Who has an operator's token sees everything, and it cannot be revoked.
_MAX_OPERATOR_HOURS_IN_PRODUCTION = 24
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
    link: Annotated[
        bool,
        typer.Option(
            "--link",
            help="Print a link to the console of this machine instead. It works once, within a "
            "minute; its code works in GraphiQL too.",
        ),
    ] = False,
) -> None:
    """Print a bearer token signed with LIKEPERSON_AUTH_SECRET."""
    subject = "operator" if member is None else member
    if operator == (member is not None) or not subject.strip():
        raise typer.BadParameter("Give either --member PORTAL_ID or --operator.")
    settings = load_settings()
    if operator and settings.env == "production" and hours > _MAX_OPERATOR_HOURS_IN_PRODUCTION:
        raise typer.BadParameter(
            f"In production an operator's token is valid for at most "
            f"{_MAX_OPERATOR_HOURS_IN_PRODUCTION} hours; got {hours:g}.",
            param_hint="--hours",
        )
    if link:
        code = mint_code(settings, subject, operator=operator)
        typer.echo(f"http://{_own_host(settings)}:{settings.port}/#code={code}")
    else:
        typer.echo(mint(settings, subject, operator=operator, lifetime=timedelta(hours=hours)))


def _own_host(settings: Settings) -> str:
    """Returns the host as a browser on this machine can reach it."""
    if settings.host in ("0.0.0.0", "::"):  # noqa: S104 -- only compared
        return "127.0.0.1"
    return f"[{settings.host}]" if ":" in settings.host else settings.host
