"""The whole examination, one check after the other."""

from collections.abc import AsyncIterator

from app.doctor.database_checks import broker, database
from app.doctor.diagnosis import Diagnosis, Verdict, doubtful, wrong
from app.doctor.machine_checks import machine
from app.doctor.neighbour_checks import certificates, portals, provider, sources
from app.settings import Settings, SettingsError, doubts, load_settings


async def examination() -> AsyncIterator[Diagnosis]:
    """Yields what each check has found. Without usable settings, nothing else is tried."""
    try:
        settings = load_settings()
    except SettingsError as error:
        for complaint in str(error).splitlines():
            yield wrong("settings", complaint, "Correct the setting; docs/operate/settings.md.")
        return
    for diagnosis in (*_settings(settings), *machine(settings)):
        yield diagnosis
    for check in (database, broker, sources, provider, portals, certificates):
        async for diagnosis in check(settings):
            yield diagnosis


async def first_look(settings: Settings) -> list[Diagnosis]:
    """Returns what is not right with the database, which is what a start can afford to look at."""
    return [it async for it in database(settings) if it.verdict is not Verdict.RIGHT]


def _settings(settings: Settings) -> list[Diagnosis]:
    found = [_doubt(text) for text in doubts(settings)]
    return found or [Diagnosis("settings", f"The settings are good for {settings.env}")]


def _doubt(text: str) -> Diagnosis:
    """Splits a doubt at its semicolon, behind which stands what to do."""
    what, _, advice = text.rpartition("; ")
    return doubtful("settings", what or text, advice)
