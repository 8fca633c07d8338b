"""The command line: `likeperson-sync`, which is also `./run`. Lists the commands and ends them."""

import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, NamedTuple, NoReturn, cast

import typer
from typer.core import TyperGroup

from app.errors import CommandError
from db.errors import DatabaseError


class CommandEntry(NamedTuple):
    """Where a command is defined, below `app.commands`, and its line in `--help`."""

    module: str
    function: str
    help: str


COMMANDS = {
    "serve": CommandEntry("service_commands", "serve", "Run the service."),
    "demo": CommandEntry("portal.demo_command", "demo", "Run the service and a simulated portal."),
    "migrate": CommandEntry("service_commands", "migrate", "Bring the database schema up to date."),
    "doctor": CommandEntry("doctor_command", "doctor", "Look for what is wrong, and say why."),
    "try-alerts": CommandEntry("alerts_command", "try_alerts", "Send a message, to try it."),
    "backup": CommandEntry("database_commands", "backup", "Copy the SQLite database."),
    "restored": CommandEntry("database_commands", "restored", "Begin anew after a restore."),
    "port": CommandEntry("database_commands", "port", "Move from SQLite to PostgreSQL."),
    "grants": CommandEntry("database_commands", "grants", "Print the rights of a database role."),
    "worker": CommandEntry("service_commands", "worker", "Run the retry worker alone."),
    "log": CommandEntry("log.log_command", "log", "Show the sync log."),
    "replay": CommandEntry("log.replay_command", "replay", "Apply recorded events again."),
    "correct": CommandEntry(
        "persons.correct_command", "correct", "Put right what is wrong of a member."
    ),
    "export-person": CommandEntry(
        "persons.export_person_command", "export_person_data", "Export what is held about a person."
    ),
    "forget": CommandEntry("persons.forget_command", "forget", "Remove everything about a person."),
    "reconcile": CommandEntry(
        "portal.reconcile_command", "reconcile", "Compare with a whole source."
    ),
    "dataverse": CommandEntry(
        "portal.dataverse_commands", "dataverse", "Check a source of Dataverse."
    ),
    "retention": CommandEntry("retention_command", "retention", "Remove what is kept no longer."),
    "token": CommandEntry("token_command", "token", "Print a bearer token."),
    "simulate": CommandEntry(
        "portal.simulate_command", "simulate", "Send webhooks as a portal would."
    ),
    "documents": CommandEntry("documents_commands", "documents", "Manage trusted documents."),
    "export-schema": CommandEntry("schema_command", "export_schema", "Print the GraphQL schema."),
}


class _ImportedWhenCalled(Mapping[str, Any]):
    """The commands by name. The module of a command is imported when the command is looked up.

    Importing all of them takes two seconds of CPU; `--help` needs 0.1 and `token` 0.3.
    """

    def __getitem__(self, name: str) -> Any:
        entry = COMMANDS[name]
        found = getattr(import_module(f"app.commands.{entry.module}"), entry.function)
        if not isinstance(found, typer.Typer):
            function, found = found, typer.Typer(rich_markup_mode=None, add_completion=False)
            found.command(name)(function)
        return typer.main.get_command(found)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _Commands(TyperGroup):
    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands = cast("Any", _ImportedWhenCalled())  # Typer only reads it.

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


cli = typer.Typer(
    name="likeperson-sync",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"likeperson-sync {version('likeperson-sync')}")
        raise typer.Exit


@cli.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Makes what happens in HLF's membership portal true in the Likeperson app."""


def main() -> NoReturn:
    """Runs the command line. Expected failures are a sentence on standard error and exit code 1."""
    try:
        cli()
    except (CommandError, DatabaseError) as error:
        typer.echo(str(error), err=True)
        sys.exit(1)
    except OSError as error:
        if error.filename is None:
            raise
        # A file or folder that the user has named, or one of ours that cannot be written.
        typer.echo(f"Cannot use {error.filename}: {error.strerror}.", err=True)
        sys.exit(1)
    sys.exit(0)
