"""Checks of the database: the server, the role, its parameters, the clock and the schema."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

from app.doctor.diagnosis import Diagnosis, doubtful, wrong
from app.services import unreachable_named, utc_now
from app.settings import Settings
from db.driver.engine import POSTGRES_WRITERS
from db.driver.urls import is_sqlite, sqlite_file
from db.errors import DatabaseError, SchemaOutdatedError
from db.migrate import expected_revision, require_current_schema
from db.upkeep.broker import hear_own_ring
from db.upkeep.inspection import PostgresState, postgres_state

_AREA = "database"
_OLDEST_POSTGRESQL = 15
_CLOCK_DOUBT = timedelta(seconds=2)
# What the portal states further in the future counts as of the time of receipt.
_CLOCK_LIMIT = timedelta(minutes=5)
_MUST_BE_ON = {
    "fsync": "An event that was answered 200 can be lost with the power.",
    "full_page_writes": "The database can be damaged when the power fails.",
    "autovacuum": "Tables grow without end and become slow.",
}


async def database(settings: Settings) -> AsyncIterator[Diagnosis]:
    """Yields nothing of the schema if the server cannot be reached."""
    if is_sqlite(settings.database_url):
        file = sqlite_file(settings.database_url)
        if file is not None and file.is_file():
            yield await _schema(settings)
        return
    before = utc_now()
    try:
        with unreachable_named(settings):
            state = await postgres_state(settings.database_url)
    except DatabaseError as error:
        advice = "Correct LIKEPERSON_DATABASE_URL, or start the server and let this machine in."
        yield wrong(_AREA, str(error), advice)
        return
    after = utc_now()
    for diagnosis in (*_server(state, settings), *_parameters(state), *_role(state)):
        yield diagnosis
    yield _clock(state.clock - before - (after - before) / 2)
    yield await _schema(settings)


async def broker(settings: Settings) -> AsyncIterator[Diagnosis]:
    """Checks what tells other processes of changes."""
    url = settings.resolved_broadcast_url
    scheme = url.partition(":")[0].partition("+")[0]
    if scheme == "memory":
        if not is_sqlite(settings.database_url):
            yield doubtful(
                "broker",
                "Processes do not tell each other of changes (memory://)",
                "Unset LIKEPERSON_BROADCAST_URL, unless a single process serves.",
            )
        return
    try:
        await hear_own_ring(url)
    except DatabaseError as error:
        yield wrong(
            "broker",
            f"What is published over {scheme} does not come back: {error}",
            "Correct LIKEPERSON_BROADCAST_URL, or start the broker. Until then, changes of other "
            "processes are seen once a second.",
        )
        return
    yield Diagnosis("broker", f"What is published over {scheme} comes back")


async def _schema(settings: Settings) -> Diagnosis:
    try:
        await require_current_schema(settings.database_url)
    except SchemaOutdatedError as error:
        what = f"The schema is {error.current or 'missing'}; this version needs {error.expected}"
        if is_sqlite(settings.database_url):
            return doubtful("schema", what, "`serve` brings it up to date. Make a backup first.")
        return wrong("schema", what, "Run `likeperson-sync migrate` as the owner of the tables.")
    except DatabaseError as error:
        return wrong("schema", str(error), "Connect to the database itself, and to the right one.")
    return Diagnosis("schema", f"The schema is {expected_revision()}, as this version needs it")


def _server(state: PostgresState, settings: Settings) -> Iterator[Diagnosis]:
    version = state.major_version
    if version < _OLDEST_POSTGRESQL:
        yield wrong(
            _AREA, f"The server is PostgreSQL {version}", f"Use {_OLDEST_POSTGRESQL} or newer."
        )
    else:
        yield Diagnosis(_AREA, f"The server is PostgreSQL {version}")
    if state.in_recovery or state.parameters["transaction_read_only"] == "on":
        advice = "Connect to the primary; with several hosts, add target_session_attrs=read-write."
        yield wrong(_AREA, "The server takes no writes", advice)
    encoding = state.parameters["server_encoding"]
    if encoding != "UTF8":
        advice = "Create the database anew with ENCODING 'UTF8'."
        yield wrong(_AREA, f"The database is encoded in {encoding}; some names do not fit", advice)
    most = int(state.parameters["max_connections"])
    # One to listen.
    own = (settings.database_pool_size + POSTGRES_WRITERS + 1) * settings.workers
    what = f"The service opens up to {own} of {most} connections; {state.connections} are open"
    if own > most - state.connections:
        yield doubtful(
            _AREA, what, "Raise max_connections, or lower LIKEPERSON_DATABASE_POOL_SIZE."
        )
    else:
        yield Diagnosis(_AREA, what)


def _parameters(state: PostgresState) -> Iterator[Diagnosis]:
    off = [name for name in _MUST_BE_ON if state.parameters[name] != "on"]
    for name in off:
        yield wrong(_AREA, f"{name} is off. {_MUST_BE_ON[name]}", f"Set {name} = on.")
    if state.parameters["synchronous_commit"] == "off":
        yield wrong(
            _AREA,
            f"synchronous_commit is off. {_MUST_BE_ON['fsync']}",
            "Set synchronous_commit = on, for the role of the service at least.",
        )
    timeout = int(state.parameters["statement_timeout"])
    if 0 < timeout < 60_000:
        advice = "Set it to 0 for the role that migrates."
        yield doubtful(
            _AREA, f"statement_timeout is {timeout} ms; a migration may take longer", advice
        )
    if not off:
        yield Diagnosis(_AREA, "What was committed survives a loss of power")


def _role(state: PostgresState) -> Iterator[Diagnosis]:
    commands = f"Run what `likeperson-sync grants {state.role}` prints as the owner of the tables."
    if state.lacking:
        shown = ", ".join(state.lacking[:5]) + (", …" if len(state.lacking) > 5 else "")
        yield wrong("role", f"The role {state.role} lacks {shown}", commands)
    elif state.is_superuser:
        advice = "Create a role for the service alone, which may do nothing else."
        yield doubtful("role", f"The role {state.role} is a superuser", advice)
    elif state.owns_audit_trail:
        yield doubtful(
            "role",
            f"The role {state.role} owns the tables, and could switch the audit trail's guard off",
            "Let another role serve: `likeperson-sync grants` prints its rights.",
        )
    else:
        yield Diagnosis("role", f"The role {state.role} has the rights that it needs")


def _clock(difference: timedelta) -> Diagnosis:
    seconds = difference.total_seconds()
    size = abs(difference)
    ahead = "ahead of" if seconds > 0 else "behind"
    what = f"The clock of the database is {abs(seconds):.1f} s {ahead} the clock of this machine"
    advice = "Let both machines follow the same time servers."
    if size > _CLOCK_LIMIT:
        return wrong("clock", what, advice)
    if size > _CLOCK_DOUBT:
        return doubtful("clock", what, advice)
    return Diagnosis("clock", what)
