"""A simulated Dataverse that is served over HTTP, with tables as the example mapping names them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import uvicorn

import sync.dataverse
from sync.dataverse.mapping import PortalMapping, parse_mapping
from sync.simulator.dataverse.served_api import ROOT, SimulatedWebApi
from sync.simulator.dataverse.tables import SimulatedTable, SimulatedTables
from tests.support.builders import guid

EXAMPLE = Path(sync.dataverse.__file__).parent / "example.toml"
WEB_ROLES = "powerpagecomponent_mspp_webrole_contact"
TOKEN = "a token of the tests"


@dataclass
class Dataverse:
    """`url` is that of the Web API, `authority` that of the token service."""

    web: SimulatedWebApi
    authority: str

    @property
    def url(self) -> str:
        return self.authority + ROOT

    @property
    def tables(self) -> SimulatedTables:
        return self.web.tables

    def mapping_text(self, reconcile: str = 'start = "manual"') -> str:
        """The example mapping with this Web API, and a fixed token for it."""
        text = EXAMPLE.read_text(encoding="utf-8")
        api = (
            f'api = "{self.url}"\n\n[environment.auth]\nkind = "static_token"\n'
            'token_env = "MINSIDE_TOKEN"\n'
        )
        return text.replace(
            "\n[member]", f"{api}\n[reconcile]\npage_size = 7\n{reconcile}\n\n[member]", 1
        )

    def mapping(self) -> PortalMapping:
        return parse_mapping(self.mapping_text(), "min-side.toml")

    def member(self, name: str, home: str = "HLF Oslo", **columns: object) -> None:
        """Creates or changes a contact that is a member."""
        given = {
            "new_ermedlem": True,
            "firstname": name,
            "lastname": "Nordmann",
            "new_medlemsnummer": name,
            "parentcustomerid": guid(home),
            "new_verv": "100000000",
        }
        self.tables.put("contacts", guid(name), **{**given, **columns})


def tables() -> SimulatedTables:
    columns = (
        "new_ermedlem new_medlemsnummer firstname lastname emailaddress1 mobilephone telephone1 "
        "new_utmeldtdato new_verv statecode"
    )
    contacts = SimulatedTable(
        "contact",
        "contacts",
        "contactid",
        frozenset(columns.split()),
        {"parentcustomerid": "account"},
    )
    roles = SimulatedTable(
        "new_verv",
        "new_vervs",
        "new_vervid",
        frozenset({"new_vervtype", "new_fra", "new_til", "statecode"}),
        {"new_contactid": "contact", "new_lokallagid": "account"},
    )
    accounts = SimulatedTable(
        "account",
        "accounts",
        "accountid",
        frozenset({"name", "statecode"}),
        {"parentaccountid": "account"},
    )
    return SimulatedTables([contacts, roles, accounts], lambda: datetime.now(UTC))


@asynccontextmanager
async def simulated_dataverse() -> AsyncIterator[Dataverse]:
    web = SimulatedWebApi(tables())
    web.accept(TOKEN)
    config = uvicorn.Config(web.app(), host="127.0.0.1", port=0, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    started = asyncio.Event()
    startup = server.startup

    async def starting(*given: object, **named: object) -> None:
        await startup(*given, **named)  # type: ignore[arg-type]  # handed on as they came
        started.set()

    server.startup = starting  # type: ignore[method-assign]  # to be told when it listens
    task = asyncio.create_task(server.serve())
    await started.wait()
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Dataverse(web, f"http://127.0.0.1:{port}")
    finally:
        server.should_exit = True
        await task
