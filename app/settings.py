"""Settings from environment variables and `.env`. The only module that reads the environment.

SQLAlchemy and asyncpg are imported only to check a URL that was given: commands that open no
database start in a fifth of the time without them.
"""

import base64
import os
import re
import stat
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

from app.errors import CommandError
from db.vocabulary import canonical_portal_id
from schema.engine.stored.trusted_documents import Allowed
from sync.dataverse.mapping import MappingError, load_mapping, named_secret, secret_variable
from sync.events import OWN_SOURCES
from sync.standard_webhooks.secrets import standard_key

PREFIX = "LIKEPERSON_"
ENV_FILE = Path(".env")
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
# Usable in a path as it is. Clients resolve the names `.` and `..` away.
_SOURCE_NAME = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]+")
# The minimum of the Standard Webhooks specification.
_MIN_KEY_BYTES = 24
_MIN_SHARED_KEY_CHARACTERS = 16
# The end of the names of settings that name a file which holds another setting.
_FILE = "_file"
# Where container engines and systemd lay secrets, for the one program that shall read them.
_RUN = Path("/run")
# Well within Python's calendar.
_TEN_YEARS_IN_HOURS = 87_600
_TEN_YEARS_IN_DAYS = 3_650


class SettingsError(CommandError):
    """Settings cannot be used. The message lists each of them, with the reason."""


class SourceSettings(BaseModel):
    """The settings of one source. `header` belongs to the schemes other than `standard-webhooks`,
    `mapping` to `dataverse` and, for its messages in envelopes, to `cloudevents`."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    scheme: Literal["standard-webhooks", "shared-key", "cloudevents", "dataverse"]
    secrets: list[SecretStr]
    header: str | None = None
    mapping: Path | None = None

    @field_validator("header")
    @classmethod
    def _is_a_header_name(cls, value: str | None) -> str | None:
        if value and not _HEADER_NAME.fullmatch(value):
            raise ValueError("is not a header name such as X-Portal-Key")
        return value

    @property
    def usable_secrets(self) -> list[str]:
        """The secrets that are not empty. A source without any is switched off."""
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
        env_file=ENV_FILE,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        allow_inf_nan=False,
        validate_default=False,
    )

    env: Literal["development", "production"] = Field(
        default="development",
        description="`production` refuses to start with a missing or known-default secret.",
    )
    database_url: str = Field(
        default="sqlite+aiosqlite:///var/likeperson.db",
        description="`sqlite+aiosqlite:///FILE` or `postgresql+asyncpg://USER:PASSWORD@HOST/NAME`.",
    )
    database_url_file: Path | None = Field(
        default=None, description="A file that holds LIKEPERSON_DATABASE_URL."
    )
    database_pool_size: int = Field(
        default=10,
        ge=1,
        le=200,
        description="PostgreSQL connections per process for reading; four more are for writing.",
    )
    broadcast_url: str | None = Field(
        default=None,
        description="The broker that notifies other processes of changes: `memory://`, `redis://…` "
        "or a PostgreSQL URL. Unset: `memory://` on SQLite, the database itself on PostgreSQL.",
    )
    broadcast_url_file: Path | None = Field(
        default=None, description="A file that holds LIKEPERSON_BROADCAST_URL."
    )
    sources: Annotated[dict[str, SourceSettings], NoDecode] = Field(
        default_factory=_development_sources,
        description="JSON: the sources of webhooks by the NAME in `/webhooks/NAME`, each with "
        "`scheme` (`standard-webhooks`, `shared-key`, `cloudevents` or `dataverse`), `secrets` "
        "(each of them is valid), `header` for the last three and `mapping` for `dataverse` and "
        "`cloudevents`. A source without a secret is switched off.",
    )
    sources_file: Path | None = Field(
        default=None,
        description="A TOML file with a table for each source, instead of LIKEPERSON_SOURCES.",
    )
    auth_secret: SecretStr = Field(
        default=SecretStr(DEVELOPMENT_AUTH_SECRET),
        description="Signs and verifies bearer tokens (HS256) without an identity provider; at "
        "least 32 bytes.",
    )
    auth_secret_file: Path | None = Field(
        default=None, description="A file that holds LIKEPERSON_AUTH_SECRET."
    )
    auth_issuer: str | None = Field(
        default=None,
        description="Issuer (`iss`) of the accepted tokens, an OpenID Connect provider. With it, "
        "no other tokens are accepted.",
    )
    auth_audience: str | None = Field(
        default=None,
        description="Audience (`aud`) of the accepted tokens; required with an issuer.",
    )
    auth_jwks_url: str | None = Field(
        default=None,
        description="URL of the provider's key set; needed only without OpenID Connect discovery.",
    )
    auth_subject_claim: str = Field(
        default="sub", description="Name of the claim that holds the member's portal id."
    )
    auth_operator_claim: str | None = Field(
        default=None,
        description="Claim that tokens of operators must have besides the scope `sync:operate`, as "
        "`NAME=VALUE`; of a list of values, one must be equal.",
    )
    console_client_id: str | None = Field(
        default=None,
        description="OIDC client id of the console: a public client with PKCE whose redirect URI "
        "is the console's `/`.",
    )
    console_scope: str = Field(
        default="openid", description="OIDC scopes that the console requests."
    )
    national_body: str | None = Field(
        default=None,
        description="Portal id of the national body, whose administrators keep the role catalogue. "
        "Unset: none in production; in development, the one root that has children.",
    )
    longest_silence_hours: float = Field(
        default=24,
        gt=0,
        le=_TEN_YEARS_IN_HOURS,
        description="Hours without an applied event after which the sync counts as unhealthy.",
    )
    max_delivery_bytes: int = Field(
        default=1024 * 1024, ge=1024, description="Maximum size of a delivery's body, in bytes."
    )
    feed_hours: float = Field(
        default=168,
        gt=0,
        le=_TEN_YEARS_IN_HOURS,
        description="Hours that changes are kept for subscribers who were away.",
    )
    feed_changes: int = Field(
        default=1_000_000, ge=1000, description="Maximum number of changes that are kept."
    )
    body_days: int = Field(
        default=14,
        ge=1,
        le=_TEN_YEARS_IN_DAYS,
        description="Days after which the values of an applied event are removed: its body, and "
        "the values before and after in the log.",
    )
    socket_init_seconds: float = Field(
        default=10,
        gt=0,
        le=300,
        description="Seconds within which a WebSocket must send `connection_init`.",
    )
    guarded: bool | None = Field(
        default=None,
        description="Rate limits, introspection for operators and administrators only, and no GET "
        "without credentials. Unset: on in production.",
    )
    requests_per_minute: int = Field(
        default=1200,
        ge=1,
        description="GraphQL requests per credential, or per address without one, when guarded; a "
        "fifth of them at once.",
    )
    failures_per_minute: int = Field(
        default=60,
        ge=1,
        description="Refused tokens and deliveries per address before it must wait, when guarded.",
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Origins of other web pages that may use the API (CORS, WebSocket), such as "
        "`https://app.example`; separated by commas.",
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Addresses or networks of proxies whose `X-Forwarded-For` and "
        "`X-Forwarded-Proto` are believed; separated by commas.",
    )
    max_query_cost: int = Field(
        default=5_000,
        ge=100,
        description="Maximum cost of a GraphQL operation, and of items in the lists of its answer.",
    )
    max_query_seconds: float = Field(
        default=10.0,
        gt=0,
        description="Seconds that a query or mutation may take, at most 30; then it is cancelled.",
    )
    documents: Allowed = Field(
        default=Allowed.ANY,
        description="Which GraphQL documents are executed: `any`, `trusted` or "
        "`trusted-except-operators`.",
    )
    documents_folder: Path | None = Field(
        default=None, description="Folder of trusted GraphQL documents, read at the start."
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(
        default=8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one."
    )
    workers: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Processes that serve behind the port; more than one needs PostgreSQL.",
    )
    public_url: str | None = Field(
        default=None,
        description="The address of the console for people, such as `https://sync.example`; alerts "
        "link to it.",
    )
    alerts: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(),
        description="URLs of Apprise to which concerns are told, separated by blanks.",
    )
    alerts_file: Path | None = Field(
        default=None, description="A file that holds LIKEPERSON_ALERTS."
    )
    alerts_quiet: str | None = Field(
        default=None,
        description="Hours in which nobody is told anything, as in Oslo, such as `22:00-07:00`.",
    )
    heartbeat_url: SecretStr | None = Field(
        default=None,
        description="A URL that is asked for once a minute while all is well.",
    )
    heartbeat_url_file: Path | None = Field(
        default=None, description="A file that holds LIKEPERSON_HEARTBEAT_URL."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe level that is logged."
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="`json` logs an object a line, with times in UTC."
    )

    @model_validator(mode="before")
    @classmethod
    def _read_from_files(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Takes each setting that has a twin `…_FILE` from the file that the twin names."""
        read: dict[str, Any] = {}
        complaints = []
        for twin in _twins(cls):
            name = twin.removesuffix(_FILE)
            if not given.get(twin):
                continue
            if given.get(name) is not None:
                complaints.append(f"give {_variable(name)} or {_variable(twin)}, not both")
                continue
            try:
                read[name] = _content(Path(given[twin]), toml=name == "sources")
            except ValueError as error:
                complaints.append(f"{_variable(twin)}: {error}")
        if complaints:
            raise ValueError("\n".join(complaints))
        return {**given, **read}

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
                    f"{name!r} is no name for a source, since it becomes part of /webhooks/NAME: "
                    "use letters from A to Z, digits, dots, - and _"
                )
            if name.casefold() in OWN_SOURCES:
                raise ValueError(
                    f"{name!r} is no name for a source: it is kept for what people state "
                    "here. Choose another"
                )
        return value

    @field_validator("allowed_origins", "trusted_proxies", mode="before")
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("alerts", mode="before")
    @classmethod
    def _split_at_blanks(cls, value: object) -> object:
        return tuple(value.split()) if isinstance(value, str) else value

    @field_validator("alerts")
    @classmethod
    def _are_known_to_apprise(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        from app.alerts.destinations import opened

        for number, url in enumerate(value, 1):
            try:
                opened(url.get_secret_value())
            except ValueError as error:
                raise ValueError(f"no. {number} {error}") from None
        return value

    @field_validator("alerts_quiet")
    @classmethod
    def _are_hours(cls, value: str | None) -> str | None:
        from app.alerts.quiet_hours import QuietHours

        if value is not None:
            QuietHours.parse(value)
        return value

    @field_validator("heartbeat_url", "public_url")
    @classmethod
    def _is_an_address_of_the_web(cls, value: SecretStr | str | None) -> SecretStr | str | None:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if text is not None and not re.fullmatch(r"https?://[^\s/]+\S*", text):
            raise ValueError("is not a URL such as https://sync.example")
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
        from db.driver.urls import check_url

        check_url(value)
        return value

    @field_validator("broadcast_url")
    @classmethod
    def _is_a_broker(cls, value: str | None) -> str | None:
        if value is not None:
            from db.feed.bell import check_bell_url

            check_bell_url(value)
        return value

    @field_validator("max_query_seconds")
    @classmethod
    def _is_within_the_wait_for_the_database(cls, value: float) -> float:
        from db.driver.engine import ANSWER_SECONDS

        if value > ANSWER_SECONDS:
            raise ValueError(f"must be at most {ANSWER_SECONDS:g}; got {value:g}")
        return value

    @field_validator("host")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("is empty; to listen on every address, give 0.0.0.0 or ::")
        return value.strip()

    @field_validator("auth_operator_claim")
    @classmethod
    def _is_a_claim(cls, value: str | None) -> str | None:
        if value is not None and not all(value.partition("=")):
            raise ValueError("must be NAME=VALUE, such as roles=Sync.Operate")
        return value

    @field_validator(
        "alerts_file",
        "alerts_quiet",
        "auth_issuer",
        "auth_audience",
        "auth_jwks_url",
        "auth_operator_claim",
        "auth_secret_file",
        "broadcast_url_file",
        "database_url_file",
        "documents_folder",
        "heartbeat_url",
        "heartbeat_url_file",
        "national_body",
        "public_url",
        "sources_file",
        mode="before",
    )
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("national_body")
    @classmethod
    def _is_canonical(cls, value: str | None) -> str | None:
        return None if value is None else canonical_portal_id(value.strip())

    @property
    def is_guarded(self) -> bool:
        return self.env == "production" if self.guarded is None else self.guarded

    @property
    def required_operator_claim(self) -> tuple[str, str] | None:
        """The name and value of the claim that makes an operator, besides the scope."""
        if self.auth_operator_claim is None:
            return None
        name, _, value = self.auth_operator_claim.partition("=")
        return name, value

    @property
    def resolved_broadcast_url(self) -> str:
        if self.broadcast_url is not None:
            return self.broadcast_url
        return "memory://" if self.database_url.startswith("sqlite") else self.database_url


def _twins(settings: type[Settings]) -> list[str]:
    """Returns the settings that name a file which holds another setting."""
    fields = settings.model_fields
    return [name for name in fields if name.endswith(_FILE) and name.removesuffix(_FILE) in fields]


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _content(file: Path, *, toml: bool) -> object:
    """Returns what a file holds, without the line break at its end. Raises ValueError, which shows
    nothing of it."""
    try:
        text = file.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise ValueError(f"cannot read {file}: {error.strerror}") from None
    except ValueError:
        raise ValueError(f"{file} is not UTF-8 text") from None
    if not text.strip():
        raise ValueError(f"{file} is empty")
    try:
        return tomllib.loads(text) if toml else text
    except ValueError as error:
        raise ValueError(f"{file} is not TOML: {error}") from None


def load_settings(**given: object) -> Settings:
    """Returns the settings; what is given wins over the environment. Raises SettingsError."""
    stated = {name: value for name, value in given.items() if value is not None}
    try:
        settings = Settings(**stated)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        raise SettingsError("\n".join(_complaints(error))) from error
    complaints = list(_insecure(settings)) if settings.env == "production" else []
    complaints += _inconsistent(settings)
    if complaints:
        raise SettingsError("\n".join(complaints))
    return settings


_MESSAGES = {
    "extra_forbidden": "is unknown; a source has scheme, secrets, header and mapping",
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


def _inconsistent(settings: Settings) -> Iterator[str]:
    """Says which settings contradict or need each other."""
    if len(settings.auth_secret.get_secret_value().encode()) < 32:
        yield f"{PREFIX}AUTH_SECRET: needs at least 32 bytes"
    if settings.auth_issuer is None:
        for name in ("AUDIENCE", "JWKS_URL", "OPERATOR_CLAIM"):
            if getattr(settings, f"auth_{name.lower()}") is not None:
                yield f"{PREFIX}AUTH_{name}: needs {PREFIX}AUTH_ISSUER, which is not set"
    elif settings.auth_audience is None:
        yield (
            f"{PREFIX}AUTH_AUDIENCE: not set; without it, tokens that the provider issued for "
            "other services would be accepted"
        )
    if settings.workers > 1 and settings.database_url.startswith("sqlite"):
        yield (f"{PREFIX}WORKERS: SQLite serves a single process; use PostgreSQL, or one worker")
    if settings.documents is not Allowed.ANY and settings.documents_folder is None:
        yield (
            f"{PREFIX}DOCUMENTS: {settings.documents.value} needs {PREFIX}DOCUMENTS_FOLDER, which "
            "is not set; without it, no document is trusted"
        )
    for name, source in settings.sources.items():
        if source.scheme == "shared-key" and not source.header:
            yield f"{PREFIX}SOURCES: {name}: the scheme shared-key needs a header"
        if source.scheme == "standard-webhooks":
            try:
                for secret in source.usable_secrets:
                    standard_key(secret)
            except ValueError as error:
                yield f"{PREFIX}SOURCES: {name}: {error}"
        yield from _mapping_errors(name, source)
    yield from _shared_secrets(settings)


def _mapping_errors(name: str, source: SourceSettings) -> Iterator[str]:
    if source.mapping is None:
        if source.scheme == "dataverse":
            yield f"{PREFIX}SOURCES: {name}: the scheme dataverse needs a mapping, which is a file"
    elif source.scheme not in ("dataverse", "cloudevents"):
        schemes = "the schemes dataverse and cloudevents only"
        yield f"{PREFIX}SOURCES: {name}: a mapping belongs to {schemes}"
    else:
        try:
            mapping = load_mapping(source.mapping)
        except MappingError as error:
            yield f"{PREFIX}SOURCES: {name}: {error}"
            return
        variable = secret_variable(mapping.environment.auth)
        try:
            if variable is not None and not named_secret(os.environ, variable):
                yield (
                    f"{PREFIX}SOURCES: {name}: the environment variable {variable}, which the "
                    f"mapping names, is not set, nor is {variable}_FILE"
                )
        except MappingError as error:
            yield f"{PREFIX}SOURCES: {name}: {error}"


def _shared_secrets(settings: Settings) -> Iterator[str]:
    """Says which sources have a secret in common: each could send in the name of the other."""
    first_owner: dict[bytes, str] = {}
    for name, source in settings.sources.items():
        keys = {key for secret in source.usable_secrets for key in _readings(secret)}
        others = {first_owner.setdefault(key, name) for key in keys} - {name}
        for other in sorted(others):
            yield (
                f"{PREFIX}SOURCES: {name}: has a secret of the source {other}; give each source "
                "secrets of its own"
            )


def _insecure(settings: Settings) -> Iterator[str]:
    """Says which secrets are publicly known, and which keys would be fetched without TLS."""
    if settings.auth_issuer is None:
        if settings.auth_secret.get_secret_value() in _KNOWN_TEXTS:
            yield (
                f"{PREFIX}AUTH_SECRET: not set, or a development default; in production set a "
                f"secret of your own, or {PREFIX}AUTH_ISSUER"
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
                "production set one of your own"
            )


def doubts(settings: Settings) -> Iterator[str]:
    """Says what should be improved, but does not stop the start."""
    from db.driver.urls import unprotected_host

    yield from _open_files(settings)
    if host := unprotected_host(settings.database_url):
        yield (
            f"{PREFIX}DATABASE_URL: the connection to {host} may not be encrypted, and nobody "
            "checks whose server answers; add ?sslmode=verify-full"
        )
    if settings.env != "production":
        return
    if settings.database_url.startswith("sqlite"):
        yield (
            f"{PREFIX}DATABASE_URL: SQLite serves a single process, and its file lives on this "
            "machine alone; use PostgreSQL in production, or see to backups of the file"
        )
    if settings.auth_issuer is not None and settings.auth_operator_claim is None:
        yield (
            f"{PREFIX}AUTH_OPERATOR_CLAIM: not set; every token of the provider with the scope "
            "sync:operate sees everything, unless its subject is a member"
        )
    if settings.national_body is None:
        yield (
            f"{PREFIX}NATIONAL_BODY is unset: no administrator can set what roles give, or sees "
            "what belongs to no organization; set it to the portal id of the national body"
        )
    for name, source in settings.sources.items():
        if source.scheme != "standard-webhooks":
            lengths = [len(secret) for secret in source.usable_secrets]
            minimum, unit = _MIN_SHARED_KEY_CHARACTERS, "characters"
        else:
            lengths = [len(standard_key(secret)) for secret in source.usable_secrets]
            minimum, unit = _MIN_KEY_BYTES, "bytes before base64"
        if any(length < minimum for length in lengths):
            yield (f"{PREFIX}SOURCES: {name}: has a short secret; use at least {minimum} {unit}")


def _open_files(settings: Settings) -> Iterator[str]:
    """Says which files with secrets other users of this machine can read."""
    named = [getattr(settings, twin) for twin in _twins(Settings)]
    for file in (ENV_FILE, *(file for file in named if file is not None)):
        try:
            mode = stat.S_IMODE(file.stat().st_mode)
        except OSError:
            continue  # There is none.
        if mode & (stat.S_IRGRP | stat.S_IROTH) and _RUN not in file.absolute().parents:
            yield (
                f"{file.absolute()}: can be read by other users (mode {mode:04o}), and may hold "
                "secrets; run `chmod 600` on it"
            )


def _readings(secret: str) -> set[bytes]:
    """Returns the keys that a secret can stand for, whichever scheme its source has."""
    try:
        return {secret.encode(), standard_key(secret)}
    except ValueError:
        return {secret.encode()}


def _is_known(source: SourceSettings, secret: str) -> bool:
    """Returns True for a secret of the source code. One key can be written in several ways."""
    if source.scheme != "standard-webhooks":
        return secret in _KNOWN_TEXTS
    try:
        return standard_key(secret) == _KNOWN_KEY
    except ValueError:
        return False  # `_inconsistent` reports it.
