"""Settings, from environment variables and `.env`. The only reader of the environment."""

import base64
import re
import tomllib
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from db.driver.engine import ANSWER_SECONDS, check_url
from db.feed.bell import check_bell_url
from schema.engine.trusted_documents import Allowed
from sync.sources import StandardWebhooks, standard_key

PREFIX = "LIKEPERSON_"
DEVELOPMENT_AUTH_SECRET = "for development only: anybody can read this"  # noqa: S105
DEVELOPMENT_WEBHOOK_SECRET = (
    "whsec_" + base64.b64encode(b"for development only: anybody can read this").decode()
)
_KNOWN_KEY = standard_key(DEVELOPMENT_WEBHOOK_SECRET)
_KNOWN_TEXTS = (
    DEVELOPMENT_AUTH_SECRET,
    DEVELOPMENT_WEBHOOK_SECRET,
    DEVELOPMENT_WEBHOOK_SECRET.removeprefix("whsec_"),
)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# Usable in a path as it is; a client would take away one dot, and two with what is before them.
_SOURCE_NAME = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]+")
# What Standard Webhooks asks for.
_KEY_BYTES = 24
_SHARED_KEY_CHARACTERS = 16
# Long before the calendar of Python ends.
_TEN_YEARS_IN_HOURS = 87_600


class SettingsError(Exception):
    """The message lists every setting that is wrong, and why."""


class SourceSettings(BaseModel):
    """A sender of webhooks. `header` goes with the scheme `shared-key`."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    scheme: Literal["standard-webhooks", "shared-key"]
    secrets: list[SecretStr]
    header: str | None = None

    @field_validator("header")
    @classmethod
    def _is_a_header_name(cls, value: str | None) -> str | None:
        if value and not _HEADER_NAME.fullmatch(value):
            raise ValueError("is not the name of a header, such as X-Portal-Key")
        return value

    @property
    def usable_secrets(self) -> list[str]:
        """Without empty ones; a source that has none is off."""
        return [text for secret in self.secrets if (text := secret.get_secret_value().strip())]


def _development_sources() -> dict[str, SourceSettings]:
    return {
        "portal": SourceSettings(
            scheme="standard-webhooks", secrets=[SecretStr(DEVELOPMENT_WEBHOOK_SECRET)]
        )
    }


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )

    env: Literal["development", "production"] = Field(
        default="development",
        description="`production` refuses to start with a missing or known-default secret.",
    )
    database_url: str = Field(
        default="sqlite+aiosqlite:///var/likeperson.db",
        description="`sqlite+aiosqlite:///FILE` or `postgresql+asyncpg://USER:PASSWORD@HOST/NAME`.",
    )
    database_pool_size: int = Field(
        default=10,
        ge=1,
        le=200,
        description="Connections of a process to PostgreSQL for reading; four are for writing.",
    )
    broadcast_url: str | None = Field(
        default=None,
        description="What wakes the other processes: `memory://`, `redis://…` or a PostgreSQL URL. "
        "Unset: `memory://` on SQLite, the database itself on PostgreSQL.",
    )
    sources: Annotated[dict[str, SourceSettings], NoDecode] = Field(
        default_factory=_development_sources,
        description="JSON: the senders of webhooks, by the name in `/webhooks/NAME`, each with "
        "`scheme` (`standard-webhooks` or `shared-key`), `secrets` (all of them are valid) and, "
        "for `shared-key`, `header`. A source without a secret is off.",
    )
    sources_file: Path | None = Field(
        default=None,
        description="A TOML file with the same, a table for each sender; instead of "
        "LIKEPERSON_SOURCES.",
    )
    auth_secret: SecretStr = Field(
        default=SecretStr(DEVELOPMENT_AUTH_SECRET),
        description="Signs and verifies bearer tokens (HS256) where no identity provider does; at "
        "least 32 bytes.",
    )
    auth_issuer: str | None = Field(
        default=None,
        description="The identity provider whose tokens are taken, and no others: the `iss` in "
        "them. Its keys are found by OpenID Connect discovery.",
    )
    auth_audience: str | None = Field(
        default=None, description="The `aud` that tokens of the identity provider must have."
    )
    auth_jwks_url: str | None = Field(
        default=None,
        description="Where the provider's keys are, for one that offers no discovery.",
    )
    auth_subject_claim: str = Field(
        default="sub", description="The claim of a token that holds the member's portal id."
    )
    console_client_id: str | None = Field(
        default=None,
        description="As which client of the identity provider one signs in to the console; a "
        "public one, with PKCE, that may come back to `/`.",
    )
    console_scope: str = Field(
        default="openid", description="What the console asks the identity provider for."
    )
    longest_silence_hours: float = Field(
        default=24,
        gt=0,
        le=_TEN_YEARS_IN_HOURS,
        description="For how many hours nothing may come from the sources before the health of "
        "the sync calls for a look.",
    )
    max_delivery_bytes: int = Field(
        default=1024 * 1024, ge=1024, description="The largest body a delivery may have."
    )
    feed_hours: float = Field(
        default=168,
        gt=0,
        le=_TEN_YEARS_IN_HOURS,
        description="How long changes are kept for subscribers who were away.",
    )
    feed_changes: int = Field(
        default=1_000_000, ge=1000, description="How many of the latest changes are kept at most."
    )
    socket_init_seconds: float = Field(
        default=10,
        gt=0,
        le=300,
        description="How long a WebSocket may take until it says who it is.",
    )
    guarded: bool | None = Field(
        default=None,
        description="Whether strangers are kept at a distance: limited rates, introspection for "
        "operators and administrators only, no GET without credentials. Unset: in production.",
    )
    requests_per_minute: int = Field(
        default=1200,
        ge=1,
        description="GraphQL requests of one credential, or of one address without any, where "
        "guarded. A fifth of it may come at once.",
    )
    failures_per_minute: int = Field(
        default=60,
        ge=1,
        description="Refused tokens and deliveries of one address before it is asked to wait, "
        "where guarded.",
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Web pages of others that may use the API (CORS, WebSocket): "
        "`https://app.example`, several with commas.",
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Addresses or networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are "
        "believed, several with commas.",
    )
    max_query_cost: int = Field(
        default=5_000,
        ge=100,
        description="What one GraphQL operation may cost for coordinators, administrators and "
        "operators; for others a fifth of it.",
    )
    max_query_seconds: float = Field(
        default=10.0,
        gt=0,
        le=ANSWER_SECONDS,
        description="How long a query or mutation may take.",
    )
    documents: Allowed = Field(
        default=Allowed.ANY,
        description="Which GraphQL documents are executed: `any`, `known` or "
        "`known-except-operators`.",
    )
    documents_folder: Path | None = Field(
        default=None, description="The folder of known GraphQL documents."
    )
    host: str = Field(default="127.0.0.1", description="The address to listen on.")
    port: int = Field(
        default=8000, ge=0, le=65535, description="The port to listen on; 0 picks a free one."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="How much is logged."
    )

    @model_validator(mode="before")
    @classmethod
    def _sources_from_file(cls, given: dict[str, Any]) -> dict[str, Any]:
        file = given.get("sources_file")
        if not file:
            return given
        if given.get("sources") is not None:
            raise ValueError(f"{PREFIX}SOURCES and {PREFIX}SOURCES_FILE exclude each other")
        try:
            return {**given, "sources": tomllib.loads(Path(file).read_text(encoding="utf-8"))}
        except (OSError, ValueError) as error:
            raise ValueError(f"{PREFIX}SOURCES_FILE: {error}") from error

    @field_validator("sources", mode="before")
    @classmethod
    def _sources_from_json(cls, value: object) -> object:
        if isinstance(value, str):
            try:
                return msgspec.json.decode(value)
            except msgspec.DecodeError as error:
                raise ValueError(f"not JSON: {error}") from error
        return value

    @field_validator("sources")
    @classmethod
    def _have_usable_names(cls, value: dict[str, SourceSettings]) -> dict[str, SourceSettings]:
        for name in value:
            if not _SOURCE_NAME.fullmatch(name):
                raise ValueError(
                    f"{name!r} cannot be a source, since it is a part of /webhooks/NAME: "
                    "letters from A to Z, digits, dots, - and _ can"
                )
        return value

    @field_validator("allowed_origins", "trusted_proxies", mode="before")
    @classmethod
    def _parts(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("allowed_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            parts = urlsplit(origin)
            if origin != f"{parts.scheme}://{parts.netloc}" or not parts.netloc:
                raise ValueError(f"{origin} is not an origin such as https://app.example")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ip_network(network)
        return value

    @field_validator("database_url")
    @classmethod
    def _is_a_database(cls, value: str) -> str:
        check_url(value)
        return value

    @field_validator("broadcast_url")
    @classmethod
    def _is_a_bell(cls, value: str | None) -> str | None:
        if value is not None:
            check_bell_url(value)
        return value

    @field_validator("host")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("is empty; to listen on every address, give 0.0.0.0 or ::")
        return value.strip()

    @field_validator(
        "auth_issuer", "auth_audience", "auth_jwks_url", "documents_folder", mode="before"
    )
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    @property
    def is_guarded(self) -> bool:
        return self.env == "production" if self.guarded is None else self.guarded

    @property
    def resolved_broadcast_url(self) -> str:
        if self.broadcast_url is not None:
            return self.broadcast_url
        return "memory://" if self.database_url.startswith("sqlite") else self.database_url


def load_settings(**given: object) -> Settings:
    """What is given wins over the environment. Raises SettingsError."""
    known = {name: value for name, value in given.items() if value is not None}
    try:
        settings = Settings(**known)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        raise SettingsError("\n".join(_complaints(error))) from error
    complaints = list(_dangers(settings)) if settings.env == "production" else []
    complaints += _misfits(settings)
    if complaints:
        raise SettingsError("\n".join(complaints))
    return settings


_MESSAGES = {
    "extra_forbidden": "there is no such key; a source has scheme, secrets and header",
    "missing": "is missing",
}


def _complaints(error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        message = _MESSAGES.get(problem["type"]) or problem["msg"].removeprefix("Value error, ")
        if not problem["loc"]:
            yield message
            continue
        name, *path = (str(part) for part in problem["loc"])
        where = f" (at {'.'.join(path)})" if path else ""
        yield f"{PREFIX}{name.upper()}: {message}{where}"


def _misfits(settings: Settings) -> Iterator[str]:
    if len(settings.auth_secret.get_secret_value().encode()) < 32:
        yield f"{PREFIX}AUTH_SECRET: needs at least 32 bytes"
    if settings.auth_issuer is None:
        for name in ("AUDIENCE", "JWKS_URL"):
            if getattr(settings, f"auth_{name.lower()}") is not None:
                yield f"{PREFIX}AUTH_{name}: goes with {PREFIX}AUTH_ISSUER, which is not set"
    elif settings.auth_audience is None:
        yield (
            f"{PREFIX}AUTH_AUDIENCE: not set; without it, tokens that the provider made for other "
            "services would be taken"
        )
    if settings.documents is not Allowed.ANY and settings.documents_folder is None:
        yield (
            f"{PREFIX}DOCUMENTS: {settings.documents.value} needs {PREFIX}DOCUMENTS_FOLDER, which "
            "is not set; without it, no document is known"
        )
    for name, source in settings.sources.items():
        if source.scheme == "shared-key" and not source.header:
            yield f"{PREFIX}SOURCES: {name}: the scheme shared-key needs a header"
        if source.scheme == "standard-webhooks":
            try:
                StandardWebhooks.from_secrets(source.usable_secrets)
            except ValueError as error:
                yield f"{PREFIX}SOURCES: {name}: {error}"


def _dangers(settings: Settings) -> Iterator[str]:
    """Secrets that everybody knows, and keys that come in the open."""
    if settings.auth_issuer is None:
        if settings.auth_secret.get_secret_value() in _KNOWN_TEXTS:
            yield (
                f"{PREFIX}AUTH_SECRET: not set, or a development default; in production it must be "
                f"a secret of your own, or tokens come from {PREFIX}AUTH_ISSUER"
            )
    else:
        for name in ("ISSUER", "JWKS_URL"):
            url = getattr(settings, f"auth_{name.lower()}")
            if url is not None and not url.startswith("https://"):
                yield f"{PREFIX}AUTH_{name}: must begin with https:// in production"
    for name, source in settings.sources.items():
        if any(_is_known(source, secret) for secret in source.usable_secrets):
            yield (
                f"{PREFIX}SOURCES: {name}: has the secret of the development default; in "
                "production it must be one of your own"
            )


def doubts(settings: Settings) -> Iterator[str]:
    """What is good enough to start with, and should be better in production."""
    if settings.env != "production":
        return
    for name, source in settings.sources.items():
        if source.scheme == "shared-key":
            lengths = [len(secret) for secret in source.usable_secrets]
            least, unit = _SHARED_KEY_CHARACTERS, "characters"
        else:
            lengths = [len(standard_key(secret)) for secret in source.usable_secrets]
            least, unit = _KEY_BYTES, "bytes before base64"
        if any(length < least for length in lengths):
            yield f"{PREFIX}SOURCES: {name}: has a secret that is short; take {least} {unit}"


def _is_known(source: SourceSettings, secret: str) -> bool:
    """Keys are compared, since one key can be written in many ways."""
    if source.scheme == "shared-key":
        return secret in _KNOWN_TEXTS
    try:
        return standard_key(secret) == _KNOWN_KEY
    except ValueError:
        return False  # said elsewhere, in development as well
