"""Reads rows over the Web API of Dataverse, as patiently as it asks for. Never writes."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from sync.dataverse.access_tokens import Tokens
from sync.dataverse.errors import DeltaExpiredError, PortalRefusedError, PortalUnavailableError

LONGEST_WAIT = 60.0
MOST_ATTEMPTS = 8
"""Of one request; with the waits between them, it is given up after a few minutes."""
REQUEST_SECONDS = 120.0
_LATER = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
# Which table a lookup points into is told by an annotation only.
_ANNOTATIONS = 'odata.include-annotations="Microsoft.Dynamics.CRM.lookuplogicalname"'

T = TypeVar("T")
_EXPIRED = "0x80044352"

Sleep = Callable[[float], Awaitable[None]]
JsonRow = dict[str, Any]


class IncompleteError(PortalUnavailableError):
    """A row that was asked for is missing, or a column of one."""


class _Page(msgspec.Struct):
    value: list[JsonRow]
    next_link: str | None = msgspec.field(default=None, name="@odata.nextLink")
    delta_link: str | None = msgspec.field(default=None, name="@odata.deltaLink")
    count: int | None = msgspec.field(default=None, name="@odata.count")


class Attribute(msgspec.Struct):
    name: str = msgspec.field(name="LogicalName")


class TableDefinition(msgspec.Struct):
    """A table as the portal describes it. `tracked`: its changes can be asked for."""

    entity_set: str = msgspec.field(name="EntitySetName")
    tracked: bool = msgspec.field(name="ChangeTrackingEnabled")
    attributes: list[Attribute] = msgspec.field(name="Attributes")


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes in a table, and the link to those from then on. A deleted row is known by its id
    only."""

    rows: list[JsonRow]
    deleted: list[str]
    link: str


@dataclass(frozen=True, slots=True)
class TableQuery:
    """The rows of a table to be read. `expand` is a navigation property with its columns."""

    entity_set: str
    select: Sequence[str]
    filter: str | None = None
    expand: tuple[str, Sequence[str]] | None = None

    def parameters(self) -> dict[str, str]:
        given = {"$select": ",".join(self.select)}
        if self.filter is not None:
            given["$filter"] = self.filter
        if self.expand is not None:
            navigation, columns = self.expand
            given["$expand"] = f"{navigation}($select={','.join(columns)})"
        return given

    def checked(self, row: JsonRow) -> JsonRow:
        """Returns the row, in which everything is that was asked for: an empty column is there as
        null. Raises IncompleteError, since a column that is not there says nothing."""
        wanted = {*self.select, *(self.expand or ())[:1]}
        if missing := wanted - row.keys():
            raise IncompleteError(f"A row of {self.entity_set} lacks {min(missing)}.")
        return row


class WebApi:
    """`url` is that of the Web API, such as `https://ORG.crm4.dynamics.com/api/data/v9.2`."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        url: str,
        tokens: Tokens,
        *,
        page_size: int = 5000,
        attempts: int = MOST_ATTEMPTS,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._http = http
        self._url = url.rstrip("/")
        self._tokens = tokens
        self._page_size = page_size
        self._attempts = attempts
        self._sleep = sleep

    async def row(self, query: TableQuery, id: str) -> JsonRow | None:
        """Returns one row, or None if there is none of this id.

        Raises PortalUnavailableError or PortalRefusedError.
        """
        url = f"{self._url}/{query.entity_set}({id})"
        content = await self._get(url, query.parameters(), _ANNOTATIONS)
        return None if content is None else query.checked(_decoded(content, JsonRow))

    async def definition(self, entity: str) -> TableDefinition | None:
        """Returns the definition of a table, or None if there is none of this name.

        Raises PortalUnavailableError or PortalRefusedError.
        """
        url = f"{self._url}/EntityDefinitions(LogicalName='{entity}')"
        parameters = {
            "$select": "EntitySetName,ChangeTrackingEnabled",
            "$expand": "Attributes($select=LogicalName)",
        }
        content = await self._get(url, parameters, _ANNOTATIONS)
        return None if content is None else _decoded(content, TableDefinition)

    async def first_row(self, query: TableQuery) -> JsonRow | None:
        """Returns any row, or None of an empty table. Raises as `rows` does."""
        url = f"{self._url}/{query.entity_set}"
        content = await self._get(url, {**query.parameters(), "$top": "1"}, _ANNOTATIONS)
        if content is None:
            raise PortalRefusedError(f"There is no table {query.entity_set}.")
        return next(map(query.checked, _decoded(content, _Page).value), None)

    async def rows(self, query: TableQuery) -> AsyncIterator[JsonRow]:
        """Yields all rows, over all pages.

        Raises IncompleteError at the end if rows are missing, PortalUnavailableError or
        PortalRefusedError.
        """
        prefer = f"odata.maxpagesize={self._page_size},{_ANNOTATIONS}"
        url: str | None = f"{self._url}/{query.entity_set}"
        parameters: Mapping[str, str] | None = {**query.parameters(), "$count": "true"}
        seen: set[str] = set()
        expected, received = 0, 0
        while url is not None:
            if url in seen:
                raise IncompleteError(f"The pages of {query.entity_set} go in a circle.")
            seen.add(url)
            content = await self._get(url, parameters, prefer)
            if content is None:
                raise PortalRefusedError(f"There is no table {query.entity_set}.")
            page = _decoded(content, _Page)
            expected = max(expected, page.count or 0)
            for row in page.value:
                received += 1
                yield query.checked(row)
            url, parameters = self._own(page.next_link), None
        # The count stops at 5,000, so that a larger one says only that there are so many at least.
        if received < expected:
            raise IncompleteError(
                f"{received} rows of {query.entity_set} came, of {expected} that there are."
            )

    async def begin_tracking(self, query: TableQuery) -> str:
        """Returns the link to what changes in the table from now on. All rows are gone through, as
        there is no other way to get one.

        Raises PortalUnavailableError or PortalRefusedError.
        """
        url = f"{self._url}/{query.entity_set}"
        return (await self._changes(url, query.parameters())).link

    async def changes(self, link: str) -> Changes:
        """Returns what has changed since the link was given.

        Raises DeltaExpiredError, PortalUnavailableError or PortalRefusedError.
        """
        return await self._changes(link, None)

    async def _changes(self, url: str, parameters: Mapping[str, str] | None) -> Changes:
        prefer = f"odata.track-changes,odata.maxpagesize={self._page_size}"
        rows: list[JsonRow] = []
        deleted: list[str] = []
        while True:
            content = await self._get(url, parameters, prefer)
            if content is None:
                raise PortalRefusedError("There is no such table, or no such link.")
            page = _decoded(content, _Page)
            for row in page.value:
                if row.get("reason") == "deleted":
                    deleted.append(str(row.get("id")))
                else:
                    rows.append(row)
            if page.next_link is None:
                link = self._own(page.delta_link)
                if link is None:
                    raise PortalRefusedError(
                        "The portal tells no changes; is change tracking on for the table?"
                    )
                return Changes(rows, deleted, link)
            url, parameters = self._own(page.next_link) or url, None

    def _own(self, link: str | None) -> str | None:
        """Returns a link of the portal; one to another host raises, since the token goes to the
        portal only."""
        if link is not None and urlsplit(link)[:2] != urlsplit(self._url)[:2]:
            raise PortalRefusedError("A link of the portal points to another host.")
        return link

    async def _get(
        self, url: str, parameters: Mapping[str, str] | None, prefer: str
    ) -> bytes | None:
        """Returns the body of the answer; None for 404."""
        why, wait = "no answer", 0.0
        for attempt in range(self._attempts):
            if wait:
                await self._sleep(wait)
            wait = min(2.0**attempt, LONGEST_WAIT) * random.uniform(0.8, 1.2)  # noqa: S311
            headers = {
                "Authorization": f"Bearer {await self._tokens.token()}",
                "Accept": "application/json",
                "OData-Version": "4.0",
                "OData-MaxVersion": "4.0",
                "Prefer": prefer,
            }
            try:
                response = await self._http.get(
                    url, params=parameters, headers=headers, timeout=REQUEST_SECONDS
                )
            except httpx.HTTPError as error:
                why = type(error).__name__
                continue
            if response.status_code == HTTPStatus.OK:
                return response.content
            if response.status_code == HTTPStatus.NOT_FOUND:
                return None
            why = f"{response.status_code}"
            if response.status_code == HTTPStatus.UNAUTHORIZED:
                # Another token, at once.
                self._tokens.forget()
                wait = wait if attempt else 0.0
            elif response.status_code in _LATER:
                wait = _retry_after(response) or wait
            else:
                message = _message(response)
                if response.status_code == HTTPStatus.GONE or _EXPIRED in message:
                    raise DeltaExpiredError("What has changed since then is no longer told.")
                raise PortalRefusedError(f"The portal answers {why}: {message}")
        raise PortalUnavailableError(f"The portal does not answer ({why}).")


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds, as Dataverse writes them; at most a minute, since the limits are of five."""
    text = response.headers.get("Retry-After", "")
    return min(float(text), LONGEST_WAIT) if text.isdigit() else None


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""


class _ErrorBody(msgspec.Struct):
    error: _Error


def _message(response: httpx.Response) -> str:
    try:
        error = msgspec.json.decode(response.content, type=_ErrorBody).error
    except msgspec.DecodeError:
        return "no reason given"
    return f"{error.code} {error.message}".strip()


def _decoded(content: bytes, type: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=type)
    except msgspec.DecodeError as error:
        raise PortalUnavailableError("The answer of the portal cannot be read.") from error
