"""Reads documents: each is parsed, bounded, validated and priced once, however often it is sent."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphql import (
    ASTValidationRule,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    OverlappingFieldsCanBeMergedRule,
    parse,
    specified_rules,
    validate,
)

from schema.engine.checks.cost import Cost, cost_of
from schema.engine.checks.limits import LIMITS, TRUSTED_LIMITS, Limits, check_shape, check_text
from schema.engine.checks.overlaps import MergeableFieldsRule
from schema.engine.compiled import CompiledOperation
from schema.engine.field_use import coordinates
from schema.engine.lookahead import Selections
from schema.engine.walk import Scope, Walk, fragments_of
from schema.errors import BadRequestError, LimitError

# Clients need the first few errors; a document of errors alone must not cost a search for each.
MAX_ERRORS = 5
# Each character can stand for 200 bytes of what is made of a document.
CACHE_CHARACTERS = 1_000_000

# The classes are built once: a rule made for each request would never be found in a cache again.
RULES: tuple[type[ASTValidationRule], ...] = tuple(
    MergeableFieldsRule if rule is OverlappingFieldsCanBeMergedRule else rule
    for rule in specified_rules
)


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One operation of a valid document. `introspects`: it asks for more than names of types."""

    node: OperationDefinitionNode
    fragments: Mapping[str, FragmentDefinitionNode]
    cost: Cost
    compiled: CompiledOperation
    selections: Selections
    coordinates: frozenset[str]
    introspects: bool

    @property
    def type(self) -> OperationType:
        return self.node.operation

    @property
    def name(self) -> str | None:
        return self.node.name.value if self.node.name else None


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A document as it was read. It has either errors or operations; requests share it."""

    errors: tuple[GraphQLError, ...] = ()
    operations: Sequence[Operation] = ()

    def operation(self, name: str | None) -> Operation:
        """Returns the operation of that name, or the only one. Raises BadRequestError."""
        if name is None:
            if len(self.operations) == 1:
                return self.operations[0]
            names = ", ".join(f"`{operation.name}`" for operation in self.operations)
            raise BadRequestError(
                f"Document has several operations; set `operationName` to one of {names}."
                if self.operations
                else "Document has no operation."
            )
        for operation in self.operations:
            if operation.name == name:
                return operation
        raise BadRequestError(f"Document has no operation named `{name}`.")


class Documents:
    """Reads the documents of one schema and keeps the latest. Counts `hits` and `misses`."""

    def __init__(
        self,
        schema: GraphQLSchema,
        *,
        characters: int = CACHE_CHARACTERS,
        hide_suggestions: bool = False,
    ) -> None:
        self._schema = schema
        self._hide_suggestions = hide_suggestions
        self._most_characters = characters
        self._kept: OrderedDict[tuple[str, bool], Document] = OrderedDict()
        self._characters = 0
        self.hits = 0
        self.misses = 0

    def read(self, text: str, *, trusted: bool = False) -> Document:
        """Returns the document, read once, with what is wrong about it. A trusted one may be
        larger."""
        key = (text, trusted)
        document = self._kept.get(key)
        if document is not None:
            self.hits += 1
            self._kept.move_to_end(key)
            return document
        self.misses += 1
        document = self._read(text, TRUSTED_LIMITS if trusted else LIMITS)
        if len(text) <= TRUSTED_LIMITS.characters:
            self._keep(key, document)
        return document

    def _keep(self, key: tuple[str, bool], document: Document) -> None:
        self._kept[key] = document
        self._characters += len(key[0])
        while self._characters > self._most_characters:
            (text, _), _ = self._kept.popitem(last=False)
            self._characters -= len(text)

    def _read(self, text: str, limits: Limits) -> Document:
        try:
            check_text(text, limits)
            node = parse(text, max_lexical_tokens=limits.tokens, max_comments=limits.tokens)
            check_shape(node, limits)
        except LimitError as error:
            return Document((error,))
        except GraphQLError as error:
            return Document((_coded(error),))
        except (RecursionError, UnicodeError):
            return Document((BadRequestError("Document cannot be read."),))
        errors = validate(
            self._schema,
            node,
            RULES,
            max_errors=MAX_ERRORS,
            hide_suggestions=self._hide_suggestions,
        )
        if errors:
            return Document(tuple(_coded(error) for error in errors))
        walk = Walk(self._schema, fragments_of(node))
        operations = [d for d in node.definitions if isinstance(d, OperationDefinitionNode)]
        return Document((), [self._operation(walk, operation) for operation in operations])

    def _operation(self, walk: Walk, node: OperationDefinitionNode) -> Operation:
        scopes: list[Scope] = [(self._schema.get_root_type(node.operation), node.selection_set)]
        roots = {field.node.name.value for field in walk.fields(scopes)}
        return Operation(
            node,
            walk.fragments,
            cost_of(walk, scopes),
            CompiledOperation(walk),
            {},
            coordinates(walk, scopes),
            introspects=not roots.isdisjoint({"__schema", "__type"}),
        )


def _coded(error: GraphQLError) -> GraphQLError:
    """Adds the code of what a client can put right."""
    error.extensions = {"code": BadRequestError.code, **(error.extensions or {})}
    return error
