"""The GraphQL operations that clients in this repository send, taken from their sources, and a few
that none of them sends."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphql import OperationType, get_operation_ast, parse, print_ast
from graphql.utilities import separate_operations

ROOT = Path(__file__).parents[2]
# A fragment may stand in any file of its folder.
DOCUMENTS = {"console": "console/web/src/api/*.graphql", "more": "tests/recorded/more.graphql"}
PROGRAMS = {
    "graphiql": "console/graphiql/src/queries.ts",
    "dashboard": "examples/dashboard/dashboard.ts",
    "report": "examples/report/report.py",
    "docs-clients": "docs/build/clients.md",
    "docs-api": "docs/build/api.md",
}
# Up to the end of the template, of the text or of the code block that holds it.
_OPERATION = re.compile(
    r'\b((?:query|mutation|subscription) (\w+)(?:\([^`)]*\))? \{[^`]*?\n *\}\n) *(?=`|""")'
)


@dataclass(frozen=True, slots=True)
class Operation:
    sender: str
    name: str
    text: str

    @property
    def type(self) -> OperationType:
        operation = get_operation_ast(parse(self.text))
        assert operation is not None
        return operation.operation

    def title(self, variables: dict[str, Any], viewer: str) -> str:
        return f"{self.name} {json.dumps(variables, ensure_ascii=False)} as {viewer}"


def of_type(type: OperationType) -> list[Operation]:
    return [operation for operation in OPERATIONS if operation.type is type]


def named(name: str) -> Operation:
    """The first of this name."""
    return next(operation for operation in OPERATIONS if operation.name == name)


def _operations() -> Iterator[Operation]:
    """What two senders send alike comes once."""
    for sender, pattern in DOCUMENTS.items():
        texts = [file.read_text(encoding="utf-8") for file in sorted(ROOT.glob(pattern))]
        for name, document in separate_operations(parse("\n".join(texts))).items():
            yield Operation(sender, name, print_ast(document))
    known = set()
    for sender, path in PROGRAMS.items():
        found = _OPERATION.findall((ROOT / path).read_text(encoding="utf-8"))
        assert found, f"{path} holds no operations."
        for text, name in found:
            if text not in known:
                known.add(text)
                yield Operation(sender, name, text)


OPERATIONS = list(_operations())
