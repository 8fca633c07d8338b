"""The routes of the console: its pages, its files, and the ways to sign in to it."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path

import msgspec
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from app.auth.own_tokens import SESSION_LIFETIME, SignInCodes, mint
from app.services import Services
from app.settings import DEVELOPMENT_AUTH_SECRET, Settings
from app.web.pages import BuiltFiles, page
from db.queries.keyset import PageRequest
from db.queries.members.member_pages import MemberFilter, MemberOrder, MemberOrderField
from db.queries.members.viewers import OPERATOR
from db.vocabulary import AccessLevel, ActivationState
from resolvers.members import MemberFields, MemberView, page_of_members
from sync.intake.problems import problem

CONSOLE = Path(__file__).parents[1] / "static" / "web"
MAX_BODY_BYTES = 4096

# How many members of each access level can be chosen in development. Those who changed longest ago
# are shown, so that the choice stays the same.
_PEOPLE_PER_LEVEL = {
    AccessLevel.ADMIN: 2,
    AccessLevel.COORDINATOR: 2,
    AccessLevel.PEER_MENTOR: 1,
    AccessLevel.MEMBER: 1,
}


class ConsolePage(Convertor[str]):
    """The addresses of the console's pages. All of them are answered with the same file."""

    regex = "(?:medlemmer|logg|driftsstatus|kilder|roller)(?:/[^/]+)?"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("console", ConsolePage())


class Person(msgspec.Struct, rename="camel"):
    """Somebody to sign in as in development. `name` is None for an operator."""

    name: str | None
    access_level: str
    organization: str | None
    token: str


class OidcClient(msgspec.Struct, rename="camel"):
    """The console as a client of the identity provider."""

    issuer: str
    client_id: str
    scope: str


class WaysToSignIn(msgspec.Struct):
    """The answer of `/sign-in`."""

    oidc: OidcClient | None
    people: Sequence[Person] | None


class CodeToExchange(msgspec.Struct):
    code: str


class ExchangedToken(msgspec.Struct):
    token: str


def console_routes(settings: Settings, services: Callable[[], Services]) -> list[BaseRoute]:
    codes = SignInCodes(settings)

    async def sign_in(request: Request) -> Response:
        if request.method == "POST":
            return await _exchanged(codes, request)
        people = await _people(settings, services()) if _tokens_are_public(settings) else None
        return _json(WaysToSignIn(_oidc_client(settings), people))

    shell = page(CONSOLE / "index.html")
    return [
        Route("/", shell),
        Route("/{page:console}", shell),
        Route("/sign-in", sign_in, methods=["GET", "POST"]),
        Mount("/web", BuiltFiles(CONSOLE)),
    ]


async def _exchanged(codes: SignInCodes, request: Request) -> Response:
    """Returns a token for the one-time code in the body."""
    try:
        code = msgspec.json.decode(await _small_body(request), type=CodeToExchange).code
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return problem(HTTPStatus.BAD_REQUEST, 'Send {"code": "…"} as JSON.')
    token = codes.exchange(code)
    if token is None:
        return problem(HTTPStatus.FORBIDDEN, "The code is not valid, or was used before.")
    return _json(ExchangedToken(token))


async def _small_body(request: Request) -> bytes:
    """Returns the body, or nothing if it is longer than a code can be."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return b""
    return bytes(body)


def _json(answer: msgspec.Struct) -> Response:
    return Response(
        msgspec.json.encode(answer),
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def _oidc_client(settings: Settings) -> OidcClient | None:
    if settings.auth_issuer is None or settings.console_client_id is None:
        return None
    return OidcClient(settings.auth_issuer, settings.console_client_id, settings.console_scope)


def _tokens_are_public(settings: Settings) -> bool:
    """Returns True if tokens are signed with the secret in the source code.

    Everybody can make such tokens, so handing them out gives nothing away. Production refuses to
    start with that secret.
    """
    return (
        settings.env == "development"
        and settings.auth_issuer is None
        and settings.auth_secret.get_secret_value() == DEVELOPMENT_AUTH_SECRET
    )


async def _people(settings: Settings, services: Services) -> list[Person]:
    def token(subject: str, *, operator: bool = False) -> str:
        return mint(settings, subject, operator=operator, lifetime=SESSION_LIFETIME)

    people = [Person(None, AccessLevel.ADMIN.name, None, token("console", operator=True))]
    for level, count in _PEOPLE_PER_LEVEL.items():
        for view in await _members_of(services, level, count):
            row = view.row
            home = view.organizations.get(row.organization_id) if row.organization_id else None
            people.append(
                Person(
                    name=" ".join(filter(None, (row.given_name, row.family_name))) or row.portal_id,
                    access_level=level.name,
                    organization=home.name if home else None,
                    token=token(row.portal_id),
                )
            )
    return people


async def _members_of(services: Services, level: AccessLevel, count: int) -> Sequence[MemberView]:
    found = await page_of_members(
        services.database,
        OPERATOR.sight,
        MemberFilter(states=frozenset({ActivationState.ACTIVE}), access_levels=frozenset({level})),
        MemberOrder(MemberOrderField.UPDATED_AT),
        PageRequest(count),
        MemberFields(),
        want_total=False,
        want_cursor=False,
    )
    return found.members.rows
