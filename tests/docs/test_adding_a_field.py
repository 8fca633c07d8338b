"""A field is added to a copy of the tree as the page about that says, and nothing is missing."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from db.migrate import expected_revision

TREE = Path(__file__).parents[2]
PAGE = TREE / "docs" / "maintain" / "adding-a-field.md"
FOLDERS = ("app", "db", "docs", "resolvers", "schema", "sync", "tests")
MIGRATION = f"""
import sqlalchemy as sa
from alembic import op

revision = "birth_year"
down_revision = "{expected_revision()}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("members", sa.Column("birth_year", sa.Text()))


def downgrade() -> None:
    op.drop_column("members", "birth_year")
"""
# In each file, lines that are added after the only line that a pattern matches.
ADDED = {
    "db/tables/profile.py": {
        r"    phone: Mapped.*": "    birth_year: Mapped[str | None] = mapped_column(Text)",
        r"    phone: str \| None": "    birth_year: str | None",
    },
    "docs/integrate/events.schema.json": {
        r' *"email": .*,': '"birthYear": { "$ref": "#/$defs/text", "maxLength": 200 },',
    },
    "docs/integrate/webhooks.md": {
        r"\| `data\.member\.phone` .*": "| `data.member.birthYear` | 200 characters | - | - |",
    },
    "schema/types/nodes.py": {
        r"    email: .* = from_view\(.*\)": (
            '    birth_year: str | None = from_view("row.birth_year", "The year of birth.")'
        ),
    },
}
EXPORT = (
    "from pathlib import Path; from schema.build import build_schema; "
    "Path('schema/schema.graphql').write_text(build_schema().as_str() + chr(10), encoding='utf-8')"
)
PROBE = '''
from tests.support.builders import created, updated
from tests.support.service import Service

MEMBER = """{ members(first: 1) { nodes: edges { node { birthYear phone
    syncLog(first: 1) { edges { node { changes { field before after } } } } } } } }"""


async def test_birth_year_goes_all_the_way(service: Service) -> None:
    await service.tell(
        created("Kari", profile={"birthYear": "1970", "phone": "1"}),
        updated("Kari", profile={"birthYear": "1971"}),
    )

    data = await service.data(MEMBER)

    member = data["members"]["nodes"][0]["node"]
    entry = member["syncLog"]["edges"][0]["node"]
    assert (member["birthYear"], member["phone"]) == ("1971", "1")
    assert entry["changes"] == [{"field": "birthYear", "before": "1970", "after": "1971"}]
'''


def add_birth_year(copy: Path) -> None:
    for name, lines in ADDED.items():
        text = (copy / name).read_text(encoding="utf-8")
        for pattern, added in lines.items():
            whole_line = re.compile(f"^{pattern}$", re.MULTILINE)
            places = list(whole_line.finditer(text))
            assert len(places) == 1, f"{name} has {len(places)} lines that match {pattern!r}"
            end = places[0].end()
            text = f"{text[:end]}\n{added}{text[end:]}"
        (copy / name).write_text(text, encoding="utf-8")
    (copy / "db" / "migrations" / "versions" / "birth_year.py").write_text(MIGRATION)


def run(copy: Path, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603  (this Python, on a copy of this tree)
        [sys.executable, *arguments], cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_names_every_file_that_is_changed() -> None:
    rows = re.findall(r"^\| (.+?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    files = {re.sub(r"^(\[|`)([\w./-]+)(\]\(.*\)|`)$", r"\2", row) for row in rows if "/" in row}

    assert files == {*ADDED, "db/migrations/versions/", "schema/schema.graphql"}
    assert len(files) <= 7


def test_a_field_is_complete_when_these_files_have_it(tmp_path: Path) -> None:
    for folder in FOLDERS:
        ignored = shutil.ignore_patterns("__pycache__", "static")
        shutil.copytree(TREE / folder, tmp_path / folder, ignore=ignored)
    shutil.copy(TREE / "pyproject.toml", tmp_path)

    add_birth_year(tmp_path)
    run(tmp_path, "-c", EXPORT)
    probe = tmp_path / "tests" / "test_birth_year.py"
    probe.write_text(PROBE, encoding="utf-8")
    told = run(
        *(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not postgres"),
        *(str(probe), "tests/db/test_migrations.py", "tests/docs/test_events_schema.py"),
        *("tests/schema/test_sdl.py", "tests/sync/parsing/test_parser.py"),
    )

    assert " passed" in told
