"""The rooms of the console's sources: imports point one way, and nothing imports itself."""

import re
from graphlib import TopologicalSorter
from pathlib import Path

SOURCES = Path(__file__).parents[1] / "console" / "web" / "src"
# A module imports from its own room and from those before it; pages and shell are side by side.
ROOMS = [["."], ["messages", "live"], ["api"], ["ui"], ["session"], ["pages", "shell"]]
# These put the rooms together.
TOP = {"App", "Console", "main"}
_IMPORT = re.compile(r"(?:from |import\(|^import )'(\.[^']+)'", re.MULTILINE)


def imports() -> dict[str, set[str]]:
    """The modules that each module imports, as paths below the sources without their endings."""
    found = {}
    for file in [*SOURCES.rglob("*.ts"), *SOURCES.rglob("*.tsx")]:
        targets = [(file.parent / name).resolve() for name in _IMPORT.findall(file.read_text())]
        modules = [target / "index" if target.is_dir() else target for target in targets]
        found[_name(file.with_suffix(""))] = {
            _name(module) for module in modules if module.suffix != ".css"
        }
    return found


def _name(path: Path) -> str:
    return path.relative_to(SOURCES).as_posix()


def test_no_module_of_the_console_imports_itself_by_way_of_others() -> None:
    order = TopologicalSorter(imports()).static_order()

    assert "App" in list(order)


def test_rooms_of_the_console_import_one_way() -> None:
    rank = {room: number for number, rooms in enumerate(ROOMS) for room in rooms}

    upward = [
        f"{module} imports {target}"
        for module, targets in imports().items()
        for target in targets
        if module not in TOP
        and (room := Path(module).parent.as_posix()) != (below := Path(target).parent.as_posix())
        and (target in TOP or rank[below] >= rank[room])
    ]

    assert upward == []
