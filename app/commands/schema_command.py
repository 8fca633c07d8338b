"""The command `export-schema`: prints the GraphQL schema."""

from pathlib import Path
from typing import Annotated

import typer

from schema.build import build_schema


def export_schema(
    file: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file.")] = None,
) -> None:
    """Print the GraphQL schema as SDL."""
    text = build_schema().as_str() + "\n"
    if file is None:
        typer.echo(text, nl=False)
    else:
        file.write_text(text, encoding="utf-8")
