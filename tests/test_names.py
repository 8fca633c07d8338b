"""A name means one thing: no two public classes or modules share one."""

import ast
from collections import defaultdict
from collections.abc import Container, Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("app", "schema", "resolvers", "sync", "db")
MODULES_THAT_MAY = {
    "errors": "each package has its tree of errors",
    "scheme": "each folder of a scheme of webhooks has it",
    "__init__": "Python's own name",
    "__main__": "Python's own name",
}
CLASSES_THAT_MAY = {
    "Query": "the root type of GraphQL has its name from there, and db has queries of its own",
}


def modules() -> Iterator[Path]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "migrations" not in path.parts:
                yield path


def shared(named: Iterator[tuple[str, Path]], excepted: Container[str]) -> dict[str, list[str]]:
    """Returns the places of each name that is given more than once, without the exceptions."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name, path in named:
        found[name].append(str(path.relative_to(ROOT)))
    return {n: places for n, places in found.items() if len(places) > 1 and n not in excepted}


def public_classes() -> Iterator[tuple[str, Path]]:
    for path in modules():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield node.name, path


def test_no_two_public_classes_share_a_name() -> None:
    assert shared(public_classes(), CLASSES_THAT_MAY) == {}


def test_no_two_modules_share_a_name() -> None:
    assert shared(((path.stem, path) for path in modules()), MODULES_THAT_MAY) == {}
