"""HTTP connections that are kept open, as many as there are deliveries in flight."""

from itertools import cycle

import httpx


class Connections(httpx.AsyncBaseTransport):
    """A transport that uses several small pools in turn, each of about one connection.

    A single pool compares all its connections with each other at every request, and with 32 in
    flight a load run would measure that (https://github.com/encode/httpcore/pull/1035).
    """

    def __init__(self, count: int) -> None:
        # Shared by all pools: loading the certificates takes tens of milliseconds.
        tls = httpx.create_ssl_context(trust_env=False)
        self._pools = [httpx.AsyncHTTPTransport(verify=tls, trust_env=False) for _ in range(count)]
        self._turns = cycle(self._pools)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await next(self._turns).handle_async_request(request)

    async def aclose(self) -> None:
        for pool in self._pools:
            await pool.aclose()


def portal_client(concurrency: int = 1) -> httpx.AsyncClient:
    """Returns a client for a sender with this many deliveries in flight.

    It ignores proxy settings of the environment: proxies rarely reach a service on this machine.
    """
    return httpx.AsyncClient(transport=Connections(concurrency), timeout=30.0, trust_env=False)
