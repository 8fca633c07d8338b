"""The commands about a database as a whole."""

import shutil
from pathlib import Path

from tests.support.commands import run


async def test_backup_into_a_folder_keeps_the_newest(sqlite_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    for name in ("likeperson-20260101T000000Z.db", "likeperson-20260102T000000Z.db", "notes.db"):
        (folder / name).touch()

    done = await run(tmp_path, "backup", "backups", "--keep", "2", database_url=sqlite_url)

    assert done.code == 0, done.err
    oldest, newest, notes = sorted(file.name for file in folder.iterdir())
    assert (oldest, notes) == ("likeperson-20260102T000000Z.db", "notes.db")
    assert newest in done.out
    assert "20260101T000000Z.db is deleted" in done.out


async def test_backup_says_why_it_is_refused(sqlite_url: str, tmp_path: Path) -> None:
    shutil.copy(tmp_path / "likeperson.db", tmp_path / "there.db")

    there = await run(tmp_path, "backup", "there.db", database_url=sqlite_url)
    elsewhere = await run(tmp_path, "backup", "no/such/folder.db", database_url=sqlite_url)
    kept = await run(tmp_path, "backup", "new.db", "--keep", "3", database_url=sqlite_url)
    other = await run(
        tmp_path, "backup", "new.db", database_url="postgresql+asyncpg://nobody@localhost/x"
    )

    assert "exists already" in there.err
    assert "Cannot use no/such" in elsewhere.err
    assert "needs a folder" in kept.err
    assert "pg_dump" in other.err
    for refused in (there, elsewhere, kept, other):
        assert refused.code != 0
        assert "Traceback" not in refused.err
