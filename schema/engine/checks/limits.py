"""Bounds the shape of a document, before it is validated or executed.

Counting is linear in the size of the document: the contents of a fragment are counted once, and a
spread adds those numbers. A few hundred bytes of fragments that spread each other are thus seen to
stand for millions of fields, none of which is visited. Whatever runs afterwards may visit every
field that is asked for.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

from schema.engine.walk import fragments_of
from schema.errors import LimitError


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one document may hold. What stands in a fragment counts each time the fragment
    is spread."""

    characters: int = 20_000
    tokens: int = 1_000
    operations: int = 20
    depth: int = 15
    fields: int = 400
    root_fields: int = 20
    aliases: int = 50
    directives: int = 50


LIMITS = Limits()
# For trusted documents, whose authors mean no harm; their size is finite all the same.
TRUSTED_LIMITS = Limits(
    characters=200_000,
    tokens=20_000,
    operations=20,
    depth=30,
    fields=5_000,
    root_fields=100,
    aliases=1_000,
    directives=1_000,
)

# The tokens of the lexer, and one for each character that it would refuse.
_TOKEN = re.compile(
    r'"""(?:\\"""|[^"]|"(?!""))*(?:""")?'
    r'|"(?:\\.|[^"\\\n\r])*"?'
    r"|\#[^\n\r]*"
    r"|\.\.\."
    r"|[^\s,\ufeff\"\#\.!$&()\[\]{}:=@|]+"
    r"|[^\s,\ufeff]"
)


def check_text(text: str, limits: Limits) -> None:
    """Raises LimitError. Called before parsing, which costs far more than counting."""
    if len(text) > limits.characters:
        raise LimitError("document.characters", len(text), limits.characters)
    if next(islice(_TOKEN.finditer(text), limits.tokens, None), None) is not None:
        raise LimitError("document.tokens", None, limits.tokens)


@dataclass(slots=True)
class Counts:
    """The size of a selection set, with everything below it and everything it spreads."""

    fields: int = 0
    root_fields: int = 0
    aliases: int = 0
    directives: int = 0
    depth: int = 0

    def add(self, other: "Counts", *, below: int) -> None:
        """Adds the counts of another selection, `below` levels deeper; its root fields then do not
        count."""
        self.fields += other.fields
        self.aliases += other.aliases
        self.directives += other.directives
        self.depth = max(self.depth, other.depth + below)
        if not below:
            self.root_fields += other.root_fields


@dataclass(slots=True)
class Measure:
    """Measures the operations of one document. `visited`: how many selections were looked at."""

    fragments: Mapping[str, FragmentDefinitionNode]
    visited: int = 0
    _counted: dict[str, Counts] = field(default_factory=dict)

    def of(self, operation: OperationDefinitionNode) -> Counts:
        counts = self._count(operation.selection_set)
        counts.directives += len(operation.directives or ())
        return counts

    def _count(self, selection_set: SelectionSetNode) -> Counts:
        counts = Counts()
        for selection in selection_set.selections:
            self.visited += 1
            counts.directives += len(selection.directives or ())
            if isinstance(selection, FieldNode):
                counts.fields += 1
                counts.root_fields += 1
                counts.aliases += selection.alias is not None
                counts.depth = max(counts.depth, 1)
                if selection.selection_set is not None:
                    counts.add(self._count(selection.selection_set), below=1)
            elif isinstance(selection, InlineFragmentNode):
                counts.add(self._count(selection.selection_set), below=0)
            elif isinstance(selection, FragmentSpreadNode):
                counts.add(self._count_fragment(selection.name.value), below=0)
        return counts

    def _count_fragment(self, name: str) -> Counts:
        if name not in self._counted:
            # Within itself a fragment counts as nothing; validation refuses that.
            self._counted[name] = Counts()
            if name in self.fragments:
                self._counted[name] = self._count(self.fragments[name].selection_set)
        return self._counted[name]


def check_shape(document: DocumentNode, limits: Limits) -> int:
    """Raises LimitError. Returns how many selections were looked at."""
    operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
    if len(operations) > limits.operations:
        raise LimitError("document.operations", len(operations), limits.operations)
    measure = Measure(fragments_of(document))
    for operation in operations:
        counts = measure.of(operation)
        for name in ("depth", "fields", "root_fields", "aliases", "directives"):
            found, allowed = getattr(counts, name), getattr(limits, name)
            if found > allowed:
                raise LimitError(f"operation.{name}", found, allowed)
    return measure.visited
