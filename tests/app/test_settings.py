"""Settings: what is refused, what is said about it, and what is never shown."""

import base64
import json
from datetime import timedelta
from pathlib import Path

import pytest

from app.auth.own_tokens import mint
from app.main import sources_of
from app.settings import (
    DEVELOPMENT_AUTH_SECRET,
    DEVELOPMENT_WEBHOOK_SECRET,
    Settings,
    SettingsError,
    doubts,
    load_settings,
)

OWN_AUTH_SECRET = "a secret of our own that has 32 bytes"
POSTGRESQL = "postgresql+asyncpg://localhost/likeperson"
OWN_WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"another secret of our own").decode()


def sources(*secrets: str, **more: object) -> str:
    portal = {"scheme": "standard-webhooks", "secrets": secrets, **more}
    return json.dumps({"portal": portal})


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs each test in an empty folder, so that no `.env` is read."""
    monkeypatch.chdir(tmp_path)


def complaints(**given: object) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(**given)
    return str(caught.value).splitlines()


def test_defaults_are_good_for_development() -> None:
    settings = load_settings()

    assert settings.env == "development"
    assert settings.database_url == "sqlite+aiosqlite:///var/likeperson.db"
    assert settings.resolved_broadcast_url == "memory://"
    assert set(sources_of(settings)) == {"portal"}


def test_production_refuses_every_secret_that_everybody_knows_and_says_which() -> None:
    both = complaints(env="production")
    webhook_only = complaints(env="production", auth_secret=OWN_AUTH_SECRET)
    auth_only = complaints(env="production", sources=sources(OWN_WEBHOOK_SECRET))
    one_of_two = complaints(
        env="production",
        auth_secret=OWN_AUTH_SECRET,
        sources=sources(OWN_WEBHOOK_SECRET, DEVELOPMENT_WEBHOOK_SECRET),
    )

    assert [line.split(":")[0] for line in both] == [
        "LIKEPERSON_AUTH_SECRET",
        "LIKEPERSON_SOURCES",
    ]
    assert [line.split(":")[0] for line in auth_only] == ["LIKEPERSON_AUTH_SECRET"]
    for only in (webhook_only, one_of_two):
        assert [line.split(":")[:2] for line in only] == [["LIKEPERSON_SOURCES", " portal"]]
    assert DEVELOPMENT_AUTH_SECRET not in str(both)
    assert DEVELOPMENT_WEBHOOK_SECRET not in str(both)


@pytest.mark.parametrize(
    "secret",
    [
        DEVELOPMENT_WEBHOOK_SECRET.removeprefix("whsec_"),
        # The last letter has bits that no byte takes: other text, the same key.
        DEVELOPMENT_WEBHOOK_SECRET.removesuffix("w==") + "x==",
    ],
)
def test_production_knows_the_default_key_however_it_is_written(secret: str) -> None:
    assert load_settings(sources=sources(secret)).env == "development"

    (line,) = complaints(
        env="production", auth_secret=OWN_AUTH_SECRET, sources=sources(secret, OWN_WEBHOOK_SECRET)
    )

    assert line.startswith("LIKEPERSON_SOURCES: portal: has the secret of the development default")


@pytest.mark.parametrize(
    "known", [DEVELOPMENT_AUTH_SECRET, DEVELOPMENT_WEBHOOK_SECRET, DEVELOPMENT_WEBHOOK_SECRET[6:]]
)
def test_production_refuses_known_secrets_in_other_places(known: str) -> None:
    flow = sources(known, scheme="shared-key", header="X-Key")

    lines = complaints(env="production", auth_secret=known, sources=flow)

    assert [line.split(":")[0] for line in lines] == [
        "LIKEPERSON_AUTH_SECRET",
        "LIKEPERSON_SOURCES",
    ]
    assert known not in str(lines)


def test_short_secrets_are_doubted_in_production() -> None:
    given = {
        "env": "production",
        "auth_secret": OWN_AUTH_SECRET,
        "national_body": "HLF",
        "database_url": POSTGRESQL,
    }
    key = {"scheme": "shared-key", "header": "X-Key"}
    long_enough = base64.b64encode(b"x" * 24).decode()
    short = base64.b64encode(b"x" * 23).decode()

    (signing,) = doubts(load_settings(**given, sources=sources(long_enough, short)))
    (shared,) = doubts(load_settings(**given, sources=sources("k" * 16, "k" * 15, **key)))

    assert signing.startswith("LIKEPERSON_SOURCES: portal: ")
    assert "24 bytes" in signing
    assert shared.startswith("LIKEPERSON_SOURCES: portal: ")
    assert "16 characters" in shared
    for good in (sources(long_enough, ""), sources("k" * 16, " ", **key), sources("")):
        assert list(doubts(load_settings(**given, sources=good))) == []
    assert list(doubts(load_settings(sources=sources(short)))) == []


@pytest.mark.parametrize("unset", [None, ""])
def test_production_without_a_national_body_is_doubted(unset: str | None) -> None:
    given = {
        "auth_secret": OWN_AUTH_SECRET,
        "sources": sources(OWN_WEBHOOK_SECRET),
        "database_url": POSTGRESQL,
    }

    (line,) = doubts(load_settings(**given, env="production", national_body=unset))

    assert line.startswith("LIKEPERSON_NATIONAL_BODY is unset: ")
    assert list(doubts(load_settings(**given, env="development", national_body=unset))) == []


def test_national_body_is_known_however_its_guid_is_written() -> None:
    given = " {6D81597F-0F9F-E711-8122-000D3AA2331C} "

    settings = load_settings(national_body=given)

    assert settings.national_body == "6d81597f-0f9f-e711-8122-000d3aa2331c"


def test_secret_that_two_sources_share_is_refused_however_it_is_written_and_not_shown() -> None:
    own = base64.b64encode(b"a third secret of our own").decode()
    flow = {"scheme": "shared-key", "header": "X-Key"}
    standard = {"scheme": "standard-webhooks"}
    for one, other in (
        ({**standard, "secrets": [own]}, {**standard, "secrets": [OWN_WEBHOOK_SECRET, own]}),
        ({**standard, "secrets": ["whsec_" + own]}, {**standard, "secrets": [own]}),
        ({**flow, "secrets": [own, "x"]}, {**flow, "secrets": ["y", own]}),
        ({**standard, "secrets": [own]}, {**flow, "secrets": [own]}),
        ({**standard, "secrets": [own]}, {**flow, "secrets": ["whsec_" + own]}),
    ):
        (line,) = complaints(sources=json.dumps({"one": one, "other": other}))

        assert line.startswith("LIKEPERSON_SOURCES: other: has a secret of the source one")
        assert own not in line


def test_source_may_name_its_own_secret_twice() -> None:
    twice = sources(OWN_WEBHOOK_SECRET, OWN_WEBHOOK_SECRET)

    assert set(load_settings(sources=twice).sources) == {"portal"}


@pytest.mark.parametrize(("mode", "doubted"), [(0o600, False), (0o640, True), (0o604, True)])
def test_env_file_that_others_can_read_is_doubted(mode: int, doubted: bool) -> None:
    Path(".env").write_text("LIKEPERSON_PORT=8001\n")
    Path(".env").chmod(mode)

    lines = list(doubts(load_settings()))

    assert bool(lines) is doubted
    for line in lines:
        assert f"mode {mode:04o}" in line
        assert "chmod 600" in line
        assert str(Path(".env").absolute()) in line


@pytest.mark.parametrize("env", ["development", "production"])
def test_signing_secret_without_a_key_is_refused(env: str) -> None:
    (line,) = complaints(
        env=env, auth_secret=OWN_AUTH_SECRET, sources=sources(OWN_WEBHOOK_SECRET, "whsec_")
    )

    assert line.startswith("LIKEPERSON_SOURCES: portal: ")
    assert "base64" in line


def test_production_starts_with_secrets_of_its_own() -> None:
    settings = load_settings(
        env="production", auth_secret=OWN_AUTH_SECRET, sources=sources(OWN_WEBHOOK_SECRET)
    )

    assert settings.env == "production"


def test_all_wrong_settings_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIKEPERSON_PORT", "many")
    monkeypatch.setenv("LIKEPERSON_LOG_LEVEL", "loud")
    monkeypatch.setenv("LIKEPERSON_ENV", "staging")

    lines = complaints()

    named = {line.split(":")[0] for line in lines}
    assert named == {"LIKEPERSON_PORT", "LIKEPERSON_LOG_LEVEL", "LIKEPERSON_ENV"}


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "null",
        '{"portal": {}}',
        '{"portal": {"scheme": "none", "secrets": []}}',
        '{"portal": {"scheme": "standard-webhooks", "secrets": "topsecret"}}',
        '{"portal": {"scheme": "shared-key", "secrets": ["topsecret"]}}',
        '{"portal": {"scheme": "standard-webhooks", "secrets": ["topsecret" "x"]}}',
    ],
)
def test_sources_that_cannot_be_read_are_refused_without_showing_secrets(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIKEPERSON_SOURCES", text)

    lines = complaints()

    assert {line.split(":")[0] for line in lines} == {"LIKEPERSON_SOURCES"}
    assert "topsecret" not in str(lines)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "med lem", "sørvest", "a%2fb", "a\n", "a?"])
def test_source_with_a_name_that_no_path_holds_is_refused(name: str) -> None:
    portal = json.loads(sources(OWN_WEBHOOK_SECRET))["portal"]

    (line,) = complaints(sources=json.dumps({name: portal}))

    assert line.startswith(f"LIKEPERSON_SOURCES: {name!r} is no name for a source")


@pytest.mark.parametrize("name", ["portal", "min-side.v2", "A_1", "...", ".x"])
def test_source_is_named_by_what_a_path_holds(name: str) -> None:
    portal = json.loads(sources(OWN_WEBHOOK_SECRET))["portal"]

    assert set(load_settings(sources=json.dumps({name: portal})).sources) == {name}


@pytest.mark.parametrize("header", ["X Key", "X-Key:", "X-Nøkkel", "X-Key\n", " "])
def test_header_that_no_request_has_is_refused(header: str) -> None:
    (line,) = complaints(sources=sources("topsecret", scheme="shared-key", header=header))

    assert line.startswith("LIKEPERSON_SOURCES: is not a header name")
    assert line.endswith("(at portal.header)")


def test_unknown_key_of_a_source_is_named_and_its_value_not_shown() -> None:
    portal = {"scheme": "standard-webhooks", "secret": "topsecret"}

    lines = complaints(sources=json.dumps({"portal": portal}))

    assert [line.rpartition(" (at ")[2] for line in lines] == ["portal.secrets)", "portal.secret)"]
    assert all(line.startswith("LIKEPERSON_SOURCES: ") for line in lines)
    assert "topsecret" not in str(lines)


@pytest.mark.parametrize(
    "given", [{"host": ""}, {"allowed_origins": "x"}, {"sources": "{"}, {"trusted_proxies": "x"}]
)
def test_complaints_speak_of_the_setting_only(given: dict[str, str]) -> None:
    (line,) = complaints(**given)

    assert line.startswith("LIKEPERSON_")
    assert "Value error" not in line


def test_source_without_a_secret_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    for secrets in ((), ("",), ("  ", "")):
        monkeypatch.setenv("LIKEPERSON_SOURCES", sources(*secrets))

        assert sources_of(load_settings()) == {}

    monkeypatch.setenv("LIKEPERSON_SOURCES", sources("", OWN_WEBHOOK_SECRET))
    assert set(sources_of(load_settings())) == {"portal"}


def test_short_auth_secret_is_refused() -> None:
    for secret in ("", "too short"):
        (line,) = complaints(auth_secret=secret)

        assert line.startswith("LIKEPERSON_AUTH_SECRET: ")
        assert "32 bytes" in line


@pytest.mark.parametrize("host", ["", "  "])
def test_empty_host_is_refused_since_it_would_mean_every_address(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_option = complaints(host=host)
    monkeypatch.setenv("LIKEPERSON_HOST", host)
    by_variable = complaints()

    for (line,) in (by_option, by_variable):
        assert line.startswith("LIKEPERSON_HOST: is empty; ")


def test_database_url_of_another_driver_is_refused() -> None:
    for url in ("", "postgresql://localhost/x", "sqlite:///x.db", "mysql+aiomysql://localhost/x"):
        (line,) = complaints(database_url=url)

        assert line.startswith("LIKEPERSON_DATABASE_URL: ")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+asyncpg://user:p4ssword@host:abc/x",
        "postgresql+asyncpg",
        "sqlite+aiosqlite://",
        "sqlite+aiosqlite:///",
        "sqlite+aiosqlite:///:memory:",
        "sqlite+aiosqlite:///file:x?mode=memory&uri=true",
        "postgresql+asyncpg://user:p4ssword@host:65536/x",
        "postgresql+asyncpg://user:p4ssword@/x?host=one:5432&host=two",
        "postgresql+asyncpg://user:p4ssword@host/x?prepared_statement_cache_size=many",
    ],
)
def test_database_url_that_cannot_be_used_is_refused_without_its_password(url: str) -> None:
    (line,) = complaints(database_url=url)

    assert line.startswith("LIKEPERSON_DATABASE_URL: ")
    assert "p4ss" not in line


@pytest.mark.parametrize(
    "url",
    [
        "",
        "kafka://host",
        "redis:p4ssword@host",
        "redis://:p4ss/word@host",
        "postgresql://h:p4ss/x",
        "postgresql://user:p4ss@host:65536/x",
    ],
)
def test_broadcast_url_that_cannot_be_used_is_refused_without_its_password(url: str) -> None:
    (line,) = complaints(broadcast_url=url)

    assert line.startswith("LIKEPERSON_BROADCAST_URL: ")
    assert "p4ss" not in line


@pytest.mark.parametrize("setting", ["database_url", "broadcast_url"])
def test_option_of_another_driver_is_refused_with_the_one_to_use(setting: str) -> None:
    url = "postgresql+asyncpg://user:p4ssword@host/x?connect_timeout=5"
    (line,) = complaints(**{setting: url})

    assert "connect_timeout" in line
    assert "sslmode" in line
    assert "p4ssword" not in line


def test_an_unprotected_connection_to_another_machine_is_warned_of() -> None:
    url = "postgresql+asyncpg://user:p4ssword@db.example.no/x"

    (doubt,) = doubts(load_settings(database_url=url))
    protected = list(doubts(load_settings(database_url=f"{url}?sslmode=verify-full")))

    assert "db.example.no" in doubt
    assert "sslmode=verify-full" in doubt
    assert "p4ssword" not in doubt
    assert protected == []


def test_query_may_not_take_longer_than_the_database_is_waited_for() -> None:
    (line,) = complaints(max_query_seconds=30.1)

    assert "LIKEPERSON_MAX_QUERY_SECONDS" in line
    assert "30" in line


@pytest.mark.parametrize(
    "name", ["LONGEST_SILENCE_HOURS", "FEED_HOURS", "MAX_QUERY_SECONDS", "SOCKET_INIT_SECONDS"]
)
@pytest.mark.parametrize("value", ["inf", "nan", "-inf", "1e8", "1e300", "0", "-1"])
def test_time_that_no_calendar_holds_is_refused(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"LIKEPERSON_{name}", value)

    (line,) = complaints()

    assert line.startswith(f"LIKEPERSON_{name}: ")


def test_secrets_are_not_shown() -> None:
    settings = load_settings(auth_secret=OWN_AUTH_SECRET, sources=sources(OWN_WEBHOOK_SECRET))

    for text in (repr(settings), str(settings), settings.model_dump_json(), f"{settings.sources}"):
        assert OWN_AUTH_SECRET not in text
        assert OWN_WEBHOOK_SECRET not in text


def test_settings_are_read_from_the_environment_and_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        "LIKEPERSON_PORT=8001",
        "LIKEPERSON_HOST=0.0.0.0",
        f"LIKEPERSON_SOURCES='{sources(OWN_WEBHOOK_SECRET)}'",
        "SOMETHING_ELSE=1",
    ]
    (tmp_path / ".env").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setenv("LIKEPERSON_PORT", "8002")

    settings = load_settings()
    given = load_settings(port=8003, host=None)

    assert (settings.port, settings.host) == (8002, "0.0.0.0")  # noqa: S104  (only compared)
    assert settings.sources["portal"].usable_secrets == [OWN_WEBHOOK_SECRET]
    assert given.port == 8003


def test_settings_cannot_be_changed() -> None:
    settings = Settings()

    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1


def test_postgresql_wakes_the_other_processes_itself() -> None:
    url = "postgresql+asyncpg://localhost/likeperson"

    assert load_settings(database_url=url).resolved_broadcast_url == url
    redis = load_settings(database_url=url, broadcast_url="redis://localhost")
    assert redis.resolved_broadcast_url == "redis://localhost"


def test_sources_can_stand_in_a_toml_file(tmp_path: Path) -> None:
    file = tmp_path / "sources.toml"
    file.write_text('[flow]\nscheme = "shared-key"\nheader = "X-Key"\nsecrets = ["one", "two"]\n')

    settings = load_settings(sources_file=str(file))

    assert settings.sources["flow"].usable_secrets == ["one", "two"]
    assert "portal" not in settings.sources


FILED = [
    ("auth_secret", OWN_AUTH_SECRET),
    ("database_url", "postgresql+asyncpg://user:p4ssword@localhost/likeperson"),
    ("broadcast_url", "redis://:p4ssword@localhost"),
]


@pytest.mark.parametrize(("name", "value"), FILED)
def test_secret_can_stand_in_a_file_and_is_taken_without_the_line_break_at_its_end(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    file.write_text(value + "\n")
    monkeypatch.setenv(f"LIKEPERSON_{name.upper()}_FILE", str(file))

    found = getattr(load_settings(), name)

    assert (found.get_secret_value() if name == "auth_secret" else found) == value


@pytest.mark.parametrize(("name", "value"), [*FILED, ("sources", sources(OWN_WEBHOOK_SECRET))])
def test_secret_and_its_file_are_not_given_together(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"LIKEPERSON_{name.upper()}", value)
    monkeypatch.setenv(f"LIKEPERSON_{name.upper()}_FILE", "secret")

    (line,) = complaints()

    variable = f"LIKEPERSON_{name.upper()}"
    assert line == f"give {variable} or {variable}_FILE, not both"


@pytest.mark.parametrize(
    ("content", "why"), [(None, "No such file"), (b" \n", "is empty"), (b"\xff", "is not UTF-8")]
)
def test_every_file_that_holds_no_secret_is_named_at_once(
    content: bytes | None, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    names = ["AUTH_SECRET", "BROADCAST_URL", "DATABASE_URL", "SOURCES"]
    for name in names:
        monkeypatch.setenv(f"LIKEPERSON_{name}_FILE", str(file))

    lines = complaints()

    assert sorted(line.partition(":")[0] for line in lines) == [
        f"LIKEPERSON_{name}_FILE" for name in names
    ]
    assert all(why in line for line in lines)


def test_settings_that_name_no_file_are_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AUTH_SECRET", "BROADCAST_URL", "DATABASE_URL", "SOURCES"):
        monkeypatch.setenv(f"LIKEPERSON_{name}_FILE", "")

    settings = load_settings()

    assert settings == load_settings()
    assert settings.auth_secret_file is None
    assert settings.sources_file is None


@pytest.mark.parametrize(("mode", "doubted"), [(0o600, False), (0o644, True)])
def test_file_of_a_secret_that_others_can_read_is_doubted(
    mode: int, doubted: bool, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.write_text(OWN_AUTH_SECRET)
    file.chmod(mode)

    lines = list(doubts(load_settings(auth_secret_file=file)))

    assert [str(file) in line for line in lines] == ([True] if doubted else [])


def test_sqlite_is_doubted_in_production() -> None:
    given = {"env": "production", "auth_secret": OWN_AUTH_SECRET, "national_body": "HLF"}

    (line,) = doubts(load_settings(**given, sources=sources(OWN_WEBHOOK_SECRET)))

    assert line.startswith("LIKEPERSON_DATABASE_URL: SQLite ")
    assert "PostgreSQL" in line


@pytest.mark.parametrize(
    ("text", "complaint"),
    [(None, "No such file"), ("[flow", "SOURCES_FILE"), ("[flow]\nscheme = 'x'", "SOURCES")],
)
def test_sources_file_that_cannot_be_used_is_refused(
    tmp_path: Path, text: str | None, complaint: str
) -> None:
    file = tmp_path / "sources.toml"
    if text is not None:
        file.write_text(text)

    with pytest.raises(SettingsError, match=complaint):
        load_settings(sources_file=str(file))


def test_webhook_secret_that_is_not_base64_is_refused_and_not_shown() -> None:
    sources = '{"portal": {"scheme": "standard-webhooks", "secrets": ["whsec_not-base64!"]}}'

    with pytest.raises(SettingsError, match="whsec_` followed by base64") as refusal:
        load_settings(sources=sources)

    assert "not-base64" not in str(refusal.value)


def test_production_starts_with_an_identity_provider_instead_of_a_secret() -> None:
    given = {"env": "production", "sources": sources(OWN_WEBHOOK_SECRET)}

    settings = load_settings(
        **given, auth_issuer="https://id.example", auth_audience="https://sync.example"
    )

    assert settings.auth_issuer == "https://id.example"


def test_identity_provider_is_refused_without_an_audience_and_in_production_without_tls() -> None:
    half = complaints(auth_issuer="https://id.example")
    other_half = complaints(
        auth_audience="x", auth_jwks_url="https://id.example/jwks", auth_operator_claim="a=b"
    )
    open_ones = complaints(
        env="production",
        sources=sources(OWN_WEBHOOK_SECRET),
        auth_issuer="http://id.example",
        auth_audience="x",
        auth_jwks_url="http://id.example/jwks",
    )

    named = [[line.split(":")[0] for line in lines] for lines in (half, other_half, open_ones)]
    assert named == [
        ["LIKEPERSON_AUTH_AUDIENCE"],
        [
            "LIKEPERSON_AUTH_AUDIENCE",
            "LIKEPERSON_AUTH_JWKS_URL",
            "LIKEPERSON_AUTH_OPERATOR_CLAIM",
        ],
        ["LIKEPERSON_AUTH_ISSUER", "LIKEPERSON_AUTH_JWKS_URL"],
    ]


@pytest.mark.parametrize("claim", ["roles", "=x", "roles=", "="])
def test_operator_claim_is_a_name_and_a_value(claim: str) -> None:
    (line,) = complaints(
        auth_issuer="https://id.example", auth_audience="x", auth_operator_claim=claim
    )

    assert line.startswith("LIKEPERSON_AUTH_OPERATOR_CLAIM: must be NAME=VALUE")


def test_production_without_a_claim_for_operators_is_doubted() -> None:
    given = {
        "env": "production",
        "sources": sources(OWN_WEBHOOK_SECRET),
        "auth_issuer": "https://id.example",
        "auth_audience": "x",
        "national_body": "HLF",
        "database_url": POSTGRESQL,
    }

    claimed = load_settings(**given, auth_operator_claim="aud=https://sync.example/a=b")

    (line,) = doubts(load_settings(**given))
    assert line.startswith("LIKEPERSON_AUTH_OPERATOR_CLAIM: not set")
    assert list(doubts(claimed)) == []
    assert claimed.required_operator_claim == ("aud", "https://sync.example/a=b")


def test_setting_that_is_left_empty_is_not_set() -> None:
    settings = load_settings(
        auth_issuer="",
        auth_audience="",
        auth_jwks_url="",
        auth_operator_claim="",
        documents_folder="",
    )

    assert settings.auth_issuer is None
    assert settings.documents_folder is None


@pytest.mark.parametrize("documents", ["trusted", "trusted-except-operators"])
def test_trusted_documents_are_refused_without_their_folder(documents: str, tmp_path: Path) -> None:
    for folder in (None, ""):
        (line,) = complaints(documents=documents, documents_folder=folder)

        assert line.startswith(f"LIKEPERSON_DOCUMENTS: {documents} needs LIKEPERSON_DOCUMENTS_FOL")

    settings = load_settings(documents=documents, documents_folder=str(tmp_path))
    assert settings.documents_folder == tmp_path


def test_no_token_is_made_where_the_identity_provider_makes_them() -> None:
    settings = load_settings(auth_issuer="https://id.example", auth_audience="x")

    with pytest.raises(SettingsError, match=r"https://id\.example"):
        mint(settings, "somebody", operator=True, lifetime=timedelta(hours=1))
