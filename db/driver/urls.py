"""URLs of databases: what they may say, and how their options reach the driver."""

import os
import ssl
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import URL
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_UNPROTECTED_SSL_MODES = ("disable", "allow", "prefer")
# The options of libpq about TLS. asyncpg reads them only from a URL of its own.
_LIBPQ_OPTIONS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl")
# The other options that a URL may have: those that asyncpg takes as text.
_ASYNCPG_OPTIONS = (
    *("host", "port", "user", "password", "database", "passfile", "service", "servicefile"),
    *("ssl", "target_session_attrs", "krbsrvname", "gsslib", "prepared_statement_cache_size"),
)
_LARGEST_PORT = 65_535


def check_url(url: str) -> None:
    """Raises ValueError, without the password, for a URL that cannot be used."""
    try:
        parts = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError(
            "is not a URL such as sqlite+aiosqlite:///FILE or "
            "postgresql+asyncpg://USER:PASSWORD@HOST:PORT/NAME, in which PORT is a number"
        ) from None
    if parts.drivername not in ("sqlite+aiosqlite", "postgresql+asyncpg"):
        raise ValueError("must begin with sqlite+aiosqlite:// or postgresql+asyncpg://")
    if parts.get_backend_name() == "postgresql":
        check_postgres_url(parts)
    elif _in_memory(parts):
        raise ValueError(
            "a database in memory cannot be shared by several connections; give a file, "
            "as in sqlite+aiosqlite:///var/likeperson.db"
        )


def check_postgres_url(url: URL) -> None:
    """Raises ValueError for a URL of PostgreSQL that asyncpg cannot use."""
    unknown = url.query.keys() - {*_ASYNCPG_OPTIONS, *_LIBPQ_OPTIONS}
    if unknown:
        raise ValueError(
            f"has an option that asyncpg does not take: {', '.join(sorted(unknown))}. About TLS "
            f"it takes {', '.join(_LIBPQ_OPTIONS)}"
        )
    mode = _ssl_mode(url)
    if mode not in _SSL_MODES:
        raise ValueError(f"has the sslmode {mode!r}; use one of {', '.join(_SSL_MODES)}")
    try:
        _, arguments = url.get_dialect()().create_connect_args(_without_libpq_options(url))
        ports = arguments.get("port", [])
        numbers = [int(port) for port in (ports if isinstance(ports, list) else [ports])]
    except (ArgumentError, ValueError, TypeError) as error:
        raise ValueError(f"cannot be used by asyncpg: {error}") from error
    if not all(0 < number <= _LARGEST_PORT for number in numbers):
        raise ValueError(f"has a port outside of 1 to {_LARGEST_PORT}")


def postgres_arguments(url: URL) -> tuple[URL, dict[str, Any]]:
    """Returns the URL for SQLAlchemy and the arguments of asyncpg for its options about TLS.

    Where a certificate is verified and the URL, PGSSLROOTCERT and ~/.postgresql/root.crt name no
    authorities, those of the operating system count.
    """
    options = {name: _single(url.query[name]) for name in _LIBPQ_OPTIONS if name in url.query}
    if _ssl_mode(url).startswith("verify-") and _needs_authorities(options):
        options = {"sslmode": _ssl_mode(url), **options}
        options["sslrootcert"] = ssl.get_default_verify_paths().cafile or ""
    if not options:
        return url, {}
    return _without_libpq_options(url), {"dsn": f"postgresql://?{urlencode(options)}"}


def unprotected_host(url: str) -> str | None:
    """Returns the host of a PostgreSQL that is reached over a network without TLS for certain."""
    parts = make_url(url)
    if is_sqlite(url) or _ssl_mode(parts) not in _UNPROTECTED_SSL_MODES:
        return None
    host = parts.host
    return None if host is None or _is_local(host) else host


def is_sqlite(url: str) -> bool:
    return make_url(url).get_backend_name() == "sqlite"


def sqlite_file(url: str) -> Path | None:
    """Returns the file of an SQLite database; None for every other database."""
    database = make_url(url).database
    on_file = is_sqlite(url) and database not in (None, "", ":memory:")
    return Path(str(database)) if on_file else None


def _in_memory(url: URL) -> bool:
    database = url.database or ""
    return not database or ":memory:" in database or url.query.get("mode") == "memory"


def _ssl_mode(url: URL) -> str:
    return _single(url.query.get("sslmode") or url.query.get("ssl") or "prefer")


def _single(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else value[-1]


def _without_libpq_options(url: URL) -> URL:
    ours = [name for name in _LIBPQ_OPTIONS if name in url.query]
    return url.difference_update_query([*ours, "ssl"] if "sslmode" in ours else ours)


def _needs_authorities(options: Mapping[str, str]) -> bool:
    named = options.get("sslrootcert") or os.environ.get("PGSSLROOTCERT")
    return named == "system" or not (named or (Path.home() / ".postgresql/root.crt").exists())


def _is_local(host: str) -> bool:
    if host.startswith("/") or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
