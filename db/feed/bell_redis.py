"""A broadcaster backend for Redis."""

import logging
from contextlib import suppress

from broadcaster import BroadcastBackend, Event

from db.feed.outage import PATIENCE, Outage

logger = logging.getLogger(__name__)


class RedisBackend(BroadcastBackend):
    """Listens to one channel.

    broadcaster's own backend listens before it has subscribed, so with redis-py 8 it receives
    nothing, and its listener ends with its connection. This one needs redis-py below 8: version 8
    loses the cancellation of a publish under way, so closing the bell would hang.
    """

    def __init__(self, url: str, channel: str) -> None:
        # Loaded only by those who ring over Redis.
        from redis.asyncio import Redis  # noqa: PLC0415
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.exceptions import RedisError  # noqa: PLC0415

        self._lost = (OSError, RedisError)
        self._channel = channel
        self._client = Redis.from_url(
            url,
            decode_responses=True,
            encoding_errors="replace",
            socket_connect_timeout=PATIENCE,
            # `Outage` makes the pauses between attempts.
            retry=Retry(NoBackoff(), 0),
        )
        self._pubsub = self._client.pubsub(ignore_subscribe_messages=True)
        self._outage = Outage("The Redis subscription", logger, logging.INFO)

    async def connect(self) -> None:
        """Subscribes early; if that fails, `next_published` does it again."""
        with suppress(*self._lost):
            await self._pubsub.subscribe(self._channel)

    async def disconnect(self) -> None:
        with suppress(*self._lost):
            await self._pubsub.aclose()  # type: ignore[no-untyped-call]  # redis-py left it bare
            await self._client.aclose()

    async def subscribe(self, group: str) -> None:
        """Does nothing, and has nothing to wait for: see `PostgresBackend`."""

    async def unsubscribe(self, group: str) -> None:
        """Does nothing: the subscription ends with the connection."""

    async def publish(self, channel: str, message: str) -> None:
        await self._client.publish(channel, message)

    async def next_published(self) -> Event:
        while True:
            try:
                if not self._pubsub.subscribed:
                    await self._pubsub.subscribe(self._channel)
                message = await self._pubsub.get_message(timeout=None)
            except self._lost as error:
                await self._outage.pause(error)
            else:
                self._outage.over()
                if message is not None:
                    return Event(self._channel, message["data"])
