"""./run and ./test start, and say what is missing on a machine that is not ready for them."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import bootstrap

pytestmark = pytest.mark.child_process


def test_run_hands_its_arguments_to_the_command_line() -> None:
    run = bootstrap.ROOT / "run"

    done = subprocess.run([run, "--help"], capture_output=True, text=True, check=False)  # noqa: S603

    assert done.returncode == 0, done.stderr
    assert "serve" in done.stdout


def test_old_python_is_told_so_in_a_sentence() -> None:
    assert bootstrap.complaint_about((3, 11)) is None
    assert bootstrap.complaint_about((4, 0)) is None
    assert bootstrap.complaint_about((3, 9)) == (
        f"Likeperson Sync needs Python 3.11 or newer; {sys.executable} is Python 3.9."
    )


@pytest.mark.parametrize("script", ["run", "test", "bootstrap.py"])
def test_old_python_can_read_the_scripts_far_enough_to_complain(script: str) -> None:
    ast.parse((bootstrap.ROOT / script).read_text(), feature_version=(3, 7))


class Programs:
    """Stands in for the programs that fetch uv; `pip` can be told to fail."""

    def __init__(self, scratch: Path) -> None:
        self.pip_fails = False
        self._scratch = scratch

    def __call__(self, *command: str) -> bool:
        if "venv" in command:
            (self._scratch / "bin").mkdir(parents=True)
            return True
        assert "--require-hashes" in command
        assert str(bootstrap.UV_REQUIREMENT) in command
        (self._scratch / "bin" / "uv").write_text("half")
        if self.pip_fails:
            return False
        (self._scratch / "bin" / "uv").write_text("whole")
        return True


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    programs = Programs(tmp_path / "fetching-uv")
    monkeypatch.setattr(bootstrap, "_succeeds", programs)
    return programs


def test_failed_fetch_leaves_nothing_that_looks_like_uv(tmp_path: Path, programs: Programs) -> None:
    programs.pip_fails = True

    with pytest.raises(bootstrap.BootstrapError, match="could not be fetched"):
        bootstrap._fetch_uv(tmp_path / "uv-1")

    assert not (tmp_path / "uv-1").exists()


def test_fetch_after_an_interrupted_one_starts_over(tmp_path: Path, programs: Programs) -> None:
    programs.pip_fails = True
    with pytest.raises(bootstrap.BootstrapError):
        bootstrap._fetch_uv(tmp_path / "uv-1")
    programs.pip_fails = False

    bootstrap._fetch_uv(tmp_path / "uv-1")

    assert (tmp_path / "uv-1").read_text() == "whole"
    assert not (tmp_path / "fetching-uv").exists()
