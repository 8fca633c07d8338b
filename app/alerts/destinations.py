"""Destinations of messages: all that Apprise knows, such as e-mail, Teams, Slack and SMS
gateways."""

import asyncio
import logging
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from app.alerts.alert_messages import AlertMessage

logger = logging.getLogger(__name__)

SECONDS = 30.0


def opened(url: str) -> Any:
    """Returns what Apprise makes of a URL. Raises ValueError, which does not show it."""
    # Loaded only where somebody is to be told, since it takes long.
    with warnings.catch_warnings():
        # One of its plugins imports a module that later versions of Python lack.
        warnings.simplefilter("ignore", DeprecationWarning)
        apprise: Any = import_module("apprise")
        found = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    if found is None:
        raise ValueError("is not a URL that Apprise knows, such as mailtos://USER:PASSWORD@HOST")
    return found


class Destinations:
    def __init__(self, urls: Sequence[str]) -> None:
        self._all = [opened(url) for url in urls]

    async def send(self, message: AlertMessage) -> int:
        """Sends to all of them; returns how many took it. The log names the others by number."""
        taken = await asyncio.gather(*(self._send(it, message) for it in self._all))
        for number, is_taken in enumerate(taken, 1):
            if not is_taken:
                logger.warning(
                    "An alert could not be sent to the address no. %d of LIKEPERSON_ALERTS.", number
                )
        return sum(taken)

    async def _send(self, destination: Any, message: AlertMessage) -> bool:
        try:
            async with asyncio.timeout(SECONDS):
                return bool(
                    await asyncio.to_thread(
                        destination.notify, body=message.body, title=message.title
                    )
                )
        except Exception as error:
            # Each of its plugins raises what its own library raises; an address may be in it.
            logger.debug("An alert could not be sent: %s", type(error).__name__)
            return False
