"""The route `/changes`: the changes of members after a cursor, for clients without sockets."""

import asyncio
import hashlib
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.auth.errors import AuthenticationError, KeysUnavailableError
from app.edge.connection_bounds import EXTENSION as CONNECTION
from app.edge.connection_bounds import HttpConnection
from app.graphql.rate_limits import RateLimits, TooManyRequestsError
from app.graphql.request_context import request_context
from app.open_connections import TooManyConnectionsError
from app.services import Services
from db.errors import DatabaseUnavailableError
from db.feed.changes import Cursor
from resolvers.live.change_pages import ChangePage, MemberMessage
from resolvers.live.stream_start import StreamStart
from resolvers.members import MemberView
from schema.context import Context
from schema.errors import (
    ApiError,
    BadUserInputError,
    MemberInactiveError,
    UnauthenticatedError,
)
from schema.streaming import stream_begin
from schema.types.opaque import change_cursor, global_id, parse_change_cursor
from schema.types.scalars import moment_text
from sync.intake.problems import problem

PAGE = 100
MAX_WAIT_SECONDS = 25.0

_HEADERS = {"Cache-Control": "private, no-cache", "Vary": "Authorization"}
_STATUSES = {
    UnauthenticatedError: HTTPStatus.UNAUTHORIZED,
    MemberInactiveError: HTTPStatus.FORBIDDEN,
    BadUserInputError: HTTPStatus.BAD_REQUEST,
    TooManyConnectionsError: HTTPStatus.TOO_MANY_REQUESTS,
}


class _Poll:
    """A request that waits, as a connection that ends with its viewer's membership or token."""

    def __init__(self, event: asyncio.Event) -> None:
        self._event = event
        self.error: ApiError | None = None
        self.stopping = False

    def refuse(self, error: ApiError) -> None:
        self.error = error
        self._event.set()

    def close_for_restart(self) -> None:
        self.stopping = True
        self._event.set()


class ChangesRoute:
    """An ASGI application."""

    def __init__(self, services: Callable[[], Services], rate_limits: RateLimits) -> None:
        self._services = services
        self._rate_limits = rate_limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._respond(Request(scope, receive))
        response.headers.update(_HEADERS)
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        services = self._services()
        context = request_context(services, request.scope)
        try:
            asking = services.authenticator.credentials(request.headers.get("authorization"))
            context.credentials = await self._rate_limits.authenticated(asking, request.scope)
            self._rate_limits.count(context.credentials, request.scope)
            page = await self._page(request, context)
        except TooManyRequestsError as error:
            response = problem(HTTPStatus.TOO_MANY_REQUESTS, str(error), code=error.code)
            response.headers.update(error.exceeded.headers())
            return response
        except KeysUnavailableError as error:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        except AuthenticationError as error:
            return _refused(UnauthenticatedError(str(error)))
        except DatabaseUnavailableError:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, "Database unreachable.")
        except ApiError as error:
            return _refused(error)
        return _answer(page, request.headers.get("if-none-match"))

    async def _page(self, request: Request, context: Context) -> ChangePage | None:
        """Returns the next page, waited for if there is none yet; None for want of room to wait.

        Raises ApiError or DatabaseUnavailableError.
        """
        try:
            cursor, wait = _asked(request)
        except BadUserInputError:
            # Whoever may ask nothing learns nothing about what they sent.
            await stream_begin(context, None)
            raise
        loop = asyncio.get_running_loop()
        until = loop.time() + wait
        pages = self._services().pages
        while True:
            start = await stream_begin(context, cursor)
            page = await pages.page(start, PAGE)
            is_news = page.messages or page.resync or page.more or page.cursor != start.at
            if is_news or loop.time() >= until:
                return page
            connection: HttpConnection = request.scope["extensions"][CONNECTION]
            if not connection.stay():
                return None
            if await self._wait(request, context, start, until):
                return page

    async def _wait(
        self, request: Request, context: Context, start: StreamStart, until: float
    ) -> bool:
        """Waits until there may be another page. Returns True when there will not be any more.

        Raises ApiError when the viewer may no longer be served.
        """
        connections = self._services().connections
        member = start.viewer.member
        with self._services().pages.waiting(start) as event:
            poll = _Poll(event)
            try:
                connections.register(poll, context.credentials, member.id if member else None)
                gone = asyncio.ensure_future(_disconnected(request))
                woken = asyncio.ensure_future(event.wait())
                left = until - asyncio.get_running_loop().time()
                try:
                    await asyncio.wait(
                        {gone, woken}, timeout=left, return_when=asyncio.FIRST_COMPLETED
                    )
                    is_over = gone.done() or poll.stopping
                finally:
                    gone.cancel()
                    woken.cancel()
            finally:
                connections.unregister(poll)
        if poll.error is not None:
            raise poll.error
        return is_over


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _asked(request: Request) -> tuple[Cursor, float]:
    """Returns the cursor, and how many seconds to wait. Raises BadUserInputError."""
    after = request.query_params.get("after")
    if not after:
        raise BadUserInputError(
            "Send the `changeCursor` of the page that you keep, then the last `cursor`.", "after"
        )
    return parse_change_cursor(after, "after"), _wait_seconds(request.query_params.get("wait"))


def _wait_seconds(text: str | None) -> float:
    """Raises BadUserInputError."""
    if text is None:
        return 0.0
    if not (text.isascii() and text.isdigit()) or len(text) > 2 or int(text) > MAX_WAIT_SECONDS:
        raise BadUserInputError(
            f"Must be a whole number of seconds, 0 to {MAX_WAIT_SECONDS:.0f}; got {text[:20]!r}.",
            "wait",
        )
    return float(text)


def _refused(error: ApiError) -> Response:
    status = next((s for kind, s in _STATUSES.items() if isinstance(error, kind)), None)
    extensions = error.extensions or {}
    response = problem(
        status or HTTPStatus.FORBIDDEN,
        error.message,
        code=error.code,
        reason=extensions.get("reason"),
        argument=extensions.get("argument"),
    )
    if status is HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _answer(page: ChangePage | None, known: str | None) -> Response:
    if page is None:
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, "Too many connections. Try again later.")
    if page.resync is not None:
        return problem(
            HTTPStatus.GONE,
            "What has changed after this cursor cannot be told. Read the members again, and go on "
            "after the `changeCursor` of that page.",
            code=page.resync.value,
        )
    body = msgspec.json.encode(
        {
            "changes": [_change(message) for message in page.messages],
            "cursor": change_cursor(page.cursor),
            "more": page.more,
        }
    )
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag}
    if known is not None and tag in {t.strip().removeprefix("W/") for t in known.split(",")}:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


def _change(message: MemberMessage) -> dict[str, Any]:
    return {
        "cursor": change_cursor(message.cursor),
        "operation": message.operation.value,
        "memberId": global_id("Member", message.row_id),
        "member": None if message.view is None else _member(message.view),
        "occurredAt": moment_text(message.occurred_at),
    }


def _member(view: MemberView) -> dict[str, Any]:
    home = view.home
    return {
        "id": global_id("Member", view.row.id),
        "portalId": view.row.portal_id,
        "displayName": view.display_name,
        "state": view.row.state.value,
        "accessLevel": view.access_level.name,
        "organization": None
        if home is None
        else {"id": global_id("Organization", home.id), "name": home.name},
        "roles": [
            {
                "id": global_id("RoleAssignment", held.id),
                "code": held.role.code,
                "organizationId": None
                if held.organization_id is None
                else global_id("Organization", held.organization_id),
            }
            for held in view.roles
        ],
    }
