"""Bounds on the shape of a document, counted before it is validated or executed.

Every count is linear in the size of the document: what a fragment holds is counted once, and a
spread adds those numbers. So a few hundred bytes of fragments that spread each other are seen to
stand for millions of fields without a single one of them being visited.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
)

from schema.errors import LimitError


@dataclass(frozen=True, slots=True)
class Limits:
    """What one document may hold; `fields`, `aliases`, `directives` and `root_fields` count what
    is spread as often as it is spread."""

    characters: int = 20_000
    tokens: int = 1_000
    operations: int = 20
    depth: int = 15
    fields: int = 400
    root_fields: int = 20
    aliases: int = 50
    directives: int = 50


LIMITS = Limits()
# Of documents that are known beforehand: their authors are trusted, their size is still finite.
LIMITS_OF_KNOWN = Limits(
    characters=200_000,
    tokens=20_000,
    operations=20,
    depth=30,
    fields=5_000,
    root_fields=100,
    aliases=1_000,
    directives=1_000,
)

# What the lexer makes a token of. Whatever it would refuse counts as one as well.
_TOKEN = re.compile(
    r'"""(?:\\"""|[^"]|"(?!""))*(?:""")?'
    r'|"(?:\\.|[^"\\\n\r])*"?'
    r"|\#[^\n\r]*"
    r"|\.\.\."
    r"|[^\s,\ufeff\"\#\.!$&()\[\]{}:=@|]+"
    r"|[^\s,\ufeff]"
)


def check_text(text: str, limits: Limits) -> None:
    """Before parsing, which costs far more than counting. Raises LimitError."""
    if len(text) > limits.characters:
        raise LimitError("document.characters", len(text), limits.characters)
    if next(islice(_TOKEN.finditer(text), limits.tokens, None), None) is not None:
        raise LimitError("document.tokens", None, limits.tokens)


@dataclass(slots=True)
class Counts:
    """Of a selection set, with everything below it and everything it spreads."""

    fields: int = 0
    root_fields: int = 0
    aliases: int = 0
    directives: int = 0
    depth: int = 0

    def add(self, other: "Counts", *, below: int) -> None:
        """`below`: how many levels deeper the other stands; then its roots are none here."""
        self.fields += other.fields
        self.aliases += other.aliases
        self.directives += other.directives
        self.depth = max(self.depth, other.depth + below)
        if not below:
            self.root_fields += other.root_fields


@dataclass(slots=True)
class Measure:
    """Counts the operations of one document. `visited` says how many selections were looked at."""

    fragments: Mapping[str, FragmentDefinitionNode]
    visited: int = 0
    _of_fragments: dict[str, Counts] = field(default_factory=dict)

    def of(self, operation: OperationDefinitionNode) -> Counts:
        # A fragment is counted after those it spreads, so that none is entered twice.
        for name in self._spreads_first(operation.selection_set):
            self._of_fragments[name] = self._count(self.fragments[name].selection_set)
        counts = self._count(operation.selection_set)
        counts.directives += len(operation.directives or ())
        return counts

    def _spreads_first(self, root: SelectionSetNode) -> Iterator[str]:
        """Fragments that were not counted yet, without recursion; a cycle is left open."""
        entered: set[str] = set(self._of_fragments)
        path: list[tuple[str | None, Iterator[str]]] = [(None, _spread_names(root))]
        while path:
            name, spreads = path[-1]
            for spread in spreads:
                if spread in self.fragments and spread not in entered:
                    entered.add(spread)
                    inside = self.fragments[spread].selection_set
                    path.append((spread, _spread_names(inside)))
                    break
            else:
                path.pop()
                if name is not None:
                    yield name

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
                # Within a cycle a fragment counts as nothing; validation refuses it.
                known = self._of_fragments.get(selection.name.value, Counts())
                counts.add(known, below=0)
        return counts


def check_shape(document: DocumentNode, limits: Limits) -> int:
    """Raises LimitError. Returns how many selections were looked at, for those who watch it."""
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


def fragments_of(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    return {
        definition.name.value: definition
        for definition in document.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }


def _spread_names(selection_set: SelectionSetNode) -> Iterator[str]:
    """Everything that is spread somewhere in it."""
    todo: list[Iterable[SelectionNode]] = [selection_set.selections]
    while todo:
        for selection in todo.pop():
            if isinstance(selection, FragmentSpreadNode):
                yield selection.name.value
            elif isinstance(selection, FieldNode | InlineFragmentNode) and selection.selection_set:
                todo.append(selection.selection_set.selections)
