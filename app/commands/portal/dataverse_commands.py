"""The command `dataverse check`: whether a mapping fits the environment it is for."""

import asyncio
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from app.commands.plain_text import plain
from app.errors import CommandError
from app.portals import open_web_api
from app.services import utc_now
from app.settings import load_settings
from sync.dataverse.check import Finding, check_mapping
from sync.dataverse.errors import PortalError
from sync.dataverse.mapping import PortalMapping, load_mapping

dataverse = typer.Typer(
    help="Look after a source of the scheme dataverse.",
    rich_markup_mode=None,
    add_completion=False,
)


@dataverse.callback()
def _of_a_source() -> None:
    """Look after a source of the scheme dataverse."""


@dataverse.command()
def check(
    source: Annotated[str, typer.Argument(help="The source, as in LIKEPERSON_SOURCES.")],
) -> None:
    """Check the mapping against its environment: tables, columns, change tracking, privileges.

    Nothing is changed. Exits with 1 if something is wrong.
    """
    settings = load_settings()
    configured = settings.sources.get(source)
    if configured is None or configured.mapping is None:
        raise typer.BadParameter(f"There is no source {source!r} with a mapping.")
    try:
        findings = asyncio.run(_check(load_mapping(configured.mapping)))
    except PortalError as error:
        raise CommandError(str(error)) from error
    table = Table("", "what", "how to put it right", box=None)
    for finding in findings:
        sign = "ok" if finding.advice is None else "wrong"
        table.add_row(sign, plain(finding.what), plain(finding.advice or ""))
    Console(soft_wrap=True).print(table)
    if any(finding.advice for finding in findings):
        raise typer.Exit(1)


async def _check(mapping: PortalMapping) -> list[Finding]:
    async with open_web_api(mapping, utc_now) as api:
        return [finding async for finding in check_mapping(api, mapping)]
