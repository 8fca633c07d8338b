"""The Web API of the simulated Dataverse, as an application to be served over HTTP.

Each behaviour names the page of Microsoft's documentation it comes from, below
https://learn.microsoft.com/power-apps/developer/data-platform/.
"""

import re
from collections import deque
from dataclasses import dataclass
from http import HTTPStatus
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sync.simulator.dataverse.tables import Columns, SimulatedTable, SimulatedTables

ROOT = "/api/data/v9.2"
_ROW = re.compile(r"(\w+)\(([0-9a-f-]{36})\)")
_DEFINITION = re.compile(r"EntityDefinitions\(LogicalName='(\w+)'\)")
_EQUALS = re.compile(r"_(\w+)_value eq ([0-9a-f-]{36})")
_EXPAND = re.compile(r"(\w+)\(\$select=([\w,]+)\)")
_PAGE_SIZE = re.compile(r"odata\.maxpagesize=(\d+)")
_LARGEST_PAGE = 5000
_LARGEST_COUNT = 5000


@dataclass(frozen=True, slots=True)
class Fault:
    """An answer instead of the right one; `body` is one that pretends to be right."""

    status: HTTPStatus
    retry_after: int | None = None
    body: Any = None


class SimulatedWebApi:
    """`faults` are answered first, one for each request; None stands for a right answer. `requests`
    are those that were made."""

    def __init__(self, tables: SimulatedTables) -> None:
        self.tables = tables
        self.faults: deque[Fault | None] = deque()
        self.requests: list[str] = []
        self.secret = "a secret of the simulated Dataverse"  # noqa: S105
        self._tokens: set[str] = set()
        self._oldest_link = 0
        self._numbers = count(1)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/{tenant}/oauth2/v2.0/token", self._token, methods=["POST"]),
                Route(ROOT + "/{target:path}", self._data),
            ]
        )

    def fail_after(self, requests: int, fault: Fault) -> None:
        """Answers so many requests rightly, and then this."""
        self.faults.extend([*[None] * requests, fault])

    def accept(self, token: str) -> None:
        """Accepts a token that was given out elsewhere."""
        self._tokens.add(token)

    def end_links(self) -> None:
        """Lets all delta links that were given out expire."""
        self.tables.touch()
        self._oldest_link = self.tables.version

    def end_tokens(self) -> None:
        """Refuses all tokens that were given out."""
        self._tokens.clear()

    async def _token(self, request: Request) -> Response:
        """Answers the client credentials grant
        (entra/identity-platform/v2-oauth2-client-creds-grant-flow, below
        https://learn.microsoft.com/)."""
        form = parse_qs((await request.body()).decode())
        if form.get("client_secret") != [self.secret]:
            return JSONResponse({"error": "invalid_client"}, HTTPStatus.UNAUTHORIZED)
        token = f"token-{next(self._numbers)}"
        self._tokens.add(token)
        return JSONResponse({"token_type": "Bearer", "expires_in": 3599, "access_token": token})

    async def _data(self, request: Request) -> Response:
        self.requests.append(f"{request.url.path}?{request.url.query}")
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or token not in self._tokens:
            # No error body (authenticate-web-api).
            return Response(status_code=HTTPStatus.UNAUTHORIZED)
        if self.faults and (fault := self.faults.popleft()) is not None:
            return _faulty(fault)
        target = request.path_params["target"]
        if found := _DEFINITION.fullmatch(target):
            return self._definition(found[1])
        if found := _ROW.fullmatch(target):
            return self._one(request, found[1], found[2])
        table = self.tables.by_set.get(target)
        if table is None:
            text = f"Resource not found for the segment '{target}'."
            return _error(HTTPStatus.NOT_FOUND, "0x8006088a", text)
        if "$deltatoken" in request.query_params:
            return self._changes(request, table)
        return self._many(request, table)

    def _definition(self, entity: str) -> Response:
        """Describes a table (webapi/query-metadata-web-api); 404 for an unknown one."""
        for table in self.tables.by_set.values():
            if table.entity == entity:
                names = [table.id, "modifiedon", "versionnumber", *table.columns, *table.lookups]
                return JSONResponse(
                    {
                        "EntitySetName": table.entity_set,
                        "ChangeTrackingEnabled": table.tracked,
                        "Attributes": [{"LogicalName": name} for name in names],
                    }
                )
        return _error(HTTPStatus.NOT_FOUND, "0x80060888", f"Could not find an entity {entity}.")

    def _one(self, request: Request, entity_set: str, id: str) -> Response:
        """Answers with one row by its id; 404 with 0x80040217 if there is none
        (webapi/compose-http-requests-handle-errors)."""
        table = self.tables.by_set.get(entity_set)
        row = table.rows.get(id) if table else None
        if table is None or row is None:
            text = f"Entity '{entity_set}' With Id = {id} Does Not Exist"
            return _error(HTTPStatus.NOT_FOUND, "0x80040217", text)
        try:
            return JSONResponse(_shown(row, table, request))
        except KeyError as error:
            return _unknown_column(error, table)

    def _many(self, request: Request, table: SimulatedTable) -> Response:
        """Answers with a page of rows, with a link to the next one that is to be used as it stands
        (webapi/query/page-results). The count ends at 5,000 (webapi/query/count-rows)."""
        query = dict(request.query_params)
        rows = [row for row in table.rows.values() if _matches(row, query.get("$filter"))]
        asked = _PAGE_SIZE.search(request.headers.get("Prefer", ""))
        size = min(int(asked[1]) if asked else _LARGEST_PAGE, _LARGEST_PAGE)
        start = int(query.pop("$skiptoken", 0))
        document: dict[str, Any] = {}
        if query.get("$count") == "true":
            document["@odata.count"] = min(len(rows), _LARGEST_COUNT)
        try:
            page = rows[start : start + size]
            document["value"] = [_shown(row, table, request) for row in page]
        except KeyError as error:
            return _unknown_column(error, table)
        if start + size < len(rows):
            further = urlencode({**query, "$skiptoken": start + size})
            document["@odata.nextLink"] = f"{request.url.replace(query='')}?{further}"
        elif "odata.track-changes" in request.headers.get("Prefer", ""):
            document["@odata.deltaLink"] = self._delta_link(request)
        return JSONResponse(document)

    def _delta_link(self, request: Request) -> str:
        query = {"$select": request.query_params["$select"], "$deltatoken": self.tables.version}
        return f"{request.url.replace(query='')}?{urlencode(query)}"

    def _changes(self, request: Request, table: SimulatedTable) -> Response:
        """Answers with the rows that are new or changed since the link was given, and the ids of
        deleted ones; a link lasts seven days
        (use-change-tracking-synchronize-data-external-systems)."""
        since = int(request.query_params["$deltatoken"])
        if since < self._oldest_link:
            return _error(HTTPStatus.GONE, "0x80044352", "Version stamp in the request is expired.")
        changed = [row for row in table.rows.values() if row["versionnumber"] > since]
        deleted = [id for id, version in table.deleted.items() if version > since]
        tombstone = {"@odata.context": f"{ROOT}/$metadata#{table.entity_set}/$deletedEntity"}
        value = [_shown(row, table, request) for row in changed]
        value += [{**tombstone, "id": id, "reason": "deleted"} for id in deleted]
        return JSONResponse({"value": value, "@odata.deltaLink": self._delta_link(request)})


def _matches(row: Columns, filter: str | None) -> bool:
    if filter is None:
        return True
    found = _EQUALS.fullmatch(filter)
    if found is None:
        raise ValueError(f"The simulated Dataverse does not know the filter {filter!r}.")
    return bool(row.get(found[1]) == found[2])


def _shown(row: Columns, table: SimulatedTable, request: Request) -> Columns:
    """Returns the selected columns; a lookup is `_name_value`, with its table as an annotation if
    asked for (webapi/query/select-columns, webapi/request-annotations)."""
    annotated = "lookuplogicalname" in request.headers.get("Prefer", "")
    shown: Columns = {"@odata.etag": f'W/"{row["versionnumber"]}"'}
    for name in request.query_params.get("$select", "").split(","):
        lookup = name.removeprefix("_").removesuffix("_value")
        if name.startswith("_") and lookup in table.lookups:
            shown[name] = row.get(lookup)
            if annotated and row.get(lookup):
                key = f"{name}@Microsoft.Dynamics.CRM.lookuplogicalname"
                shown[key] = table.lookups[lookup]
        elif name in table.columns | {table.id, "statecode", "modifiedon", "versionnumber"}:
            shown[name] = row.get(name)
        else:
            raise KeyError(name)
    if found := _EXPAND.fullmatch(request.query_params.get("$expand", "")):
        # Collections come whole here; the real one pages those of more than its page size
        # (webapi/query/join-tables).
        linked = table.links.get(found[1], {}).get(row[table.id], [])
        wanted = found[2].split(",")
        shown[found[1]] = [{name: other.get(name) for name in wanted} for other in linked]
    return shown


def _faulty(fault: Fault) -> Response:
    """Answers with a fault; the limits for service protection say 429 with Retry-After
    (api-limits)."""
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    if fault.body is not None:
        return JSONResponse(fault.body, fault.status, headers)
    text = "Number of requests exceeded the limit of 6000 over time window of 300 seconds."
    return _error(fault.status, "0x80072322", text, headers)


def _unknown_column(error: KeyError, table: SimulatedTable) -> Response:
    type = f"Microsoft.Dynamics.CRM.{table.entity}"
    text = f"Could not find a property named {error} on type '{type}'."
    return _error(HTTPStatus.BAD_REQUEST, "0x80060888", text)


def _error(
    status: HTTPStatus, code: str, message: str, headers: dict[str, str] | None = None
) -> Response:
    return JSONResponse({"error": {"code": code, "message": message}}, status, headers)
