"""What a URL of a database says about TLS reaches the driver, or is refused with a sentence."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import make_url

from db.driver.urls import check_url, postgres_arguments, unprotected_host

REMOTE = "postgresql+asyncpg://me@db.example.no/likeperson"


def tls_options(url: str) -> dict[str, str]:
    target, arguments = postgres_arguments(make_url(url))
    assert "sslmode" not in target.query
    query = parse_qs(urlsplit(arguments.get("dsn", "")).query)
    return {name: values[0] for name, values in query.items()}


@pytest.fixture(autouse=True)
def _no_authorities_of_ones_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PGSSLROOTCERT", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize("name", ["sslmode", "ssl"])
def test_a_certificate_is_verified_with_the_authorities_of_the_system(name: str) -> None:
    check_url(f"{REMOTE}?{name}=verify-full")

    options = tls_options(f"{REMOTE}?{name}=verify-full")

    assert options["sslmode"] == "verify-full"
    assert Path(options["sslrootcert"]).is_file()


def test_an_authority_that_is_named_is_used() -> None:
    url = f"{REMOTE}?sslmode=verify-ca&sslrootcert=/etc/ca.pem"

    assert tls_options(url) == {"sslmode": "verify-ca", "sslrootcert": "/etc/ca.pem"}


def test_without_options_the_driver_decides() -> None:
    assert postgres_arguments(make_url(REMOTE)) == (make_url(REMOTE), {})


@pytest.mark.parametrize(
    ("query", "said"),
    [("sslmode=full", "use one of disable, allow"), ("sslmod=require", "sslmode, sslrootcert")],
)
def test_other_words_are_refused(query: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_url(f"{REMOTE}?{query}")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        (REMOTE, "db.example.no"),
        (f"{REMOTE}?ssl=prefer", "db.example.no"),
        (f"{REMOTE}?sslmode=disable", "db.example.no"),
        (f"{REMOTE}?sslmode=require", None),
        (f"{REMOTE}?sslmode=verify-full", None),
        ("postgresql+asyncpg://me@127.0.0.1/likeperson", None),
        ("postgresql+asyncpg://me@localhost/likeperson", None),
        ("postgresql+asyncpg:///likeperson?host=/run/postgresql", None),
        ("sqlite+aiosqlite:///likeperson.db", None),
    ],
)
def test_a_connection_over_a_network_without_tls_for_certain_is_known(
    url: str, host: str | None
) -> None:
    assert unprotected_host(url) == host
