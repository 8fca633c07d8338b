"""The command `doctor`: looks at everything that the service needs."""

import asyncio
import logging

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.commands.plain_text import plain
from app.doctor.diagnosis import Diagnosis, Verdict
from app.doctor.examination import examination

_STYLES = {Verdict.RIGHT: "green", Verdict.DOUBTFUL: "yellow", Verdict.WRONG: "bold red"}


def doctor() -> None:
    """Look at settings, files, database, sources and neighbours; say what is wrong and what to do.

    Nothing is changed. Exits with 1 if something is wrong, with 0 if there are only doubts.
    """
    # What fails is in the table; the library's own words would only stand between its lines.
    logging.disable()
    found = asyncio.run(_found())
    table = Table("", "about", "what", "how to put it right", box=None, header_style="bold")
    for it in found:
        sign = Text(it.verdict.value, style=_STYLES[it.verdict])
        table.add_row(sign, it.area, Text(plain(it.what)), Text(plain(it.advice)))
    Console(soft_wrap=True).print(table)
    if any(it.verdict is Verdict.WRONG for it in found):
        raise typer.Exit(1)


async def _found() -> list[Diagnosis]:
    return [diagnosis async for diagnosis in examination()]
