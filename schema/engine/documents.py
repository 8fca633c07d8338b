"""Documents: parsed, bounded, validated and priced once, however often they are sent."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from graphql import (
    ASTValidationRule,
    DocumentNode,
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

from schema.engine.compiled import RootField, root_fields
from schema.engine.cost import Cost, cost_of
from schema.engine.field_use import coordinates
from schema.engine.introspection import introspects
from schema.engine.limits import (
    LIMITS,
    LIMITS_OF_KNOWN,
    Limits,
    check_shape,
    check_text,
    fragments_of,
)
from schema.engine.overlaps import MergeableFieldsRule
from schema.errors import BadRequestError, LimitError

# Clients need the first few errors; a document of errors alone must not cost a search for each.
MAX_ERRORS = 5
# In characters, of which each can stand for 200 bytes of what is made of a document.
CACHE_CHARACTERS = 1_000_000

# The classes are built once: a rule made for each request would never be found in a cache again.
RULES: tuple[type[ASTValidationRule], ...] = tuple(
    MergeableFieldsRule if rule is OverlappingFieldsCanBeMergedRule else rule
    for rule in specified_rules
)


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One operation of a valid document; `roots` unless only graphql-core can execute it."""

    node: OperationDefinitionNode
    type: OperationType
    cost: Cost
    roots: Sequence[RootField] | None
    coordinates: frozenset[str]
    introspects: bool

    @property
    def name(self) -> str | None:
        return self.node.name.value if self.node.name else None


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """With errors, it has no operations. Shared by requests: nothing of it may be changed."""

    errors: tuple[GraphQLError, ...] = ()
    node: DocumentNode | None = None
    fragments: Mapping[str, FragmentDefinitionNode] = field(default_factory=dict)
    operations: Sequence[Operation] = ()

    @property
    def valid_node(self) -> DocumentNode:
        if self.node is None:
            raise ValueError("This document has errors.")
        return self.node

    def operation(self, name: str | None) -> Operation:
        """Raises BadRequestError, as the specification of GetOperation says."""
        if name is None:
            if len(self.operations) == 1:
                return self.operations[0]
            names = ", ".join(f"`{operation.name}`" for operation in self.operations)
            raise BadRequestError(
                f"The document has several operations: say by `operationName` which of {names}."
                if self.operations
                else "The document has no operation."
            )
        for operation in self.operations:
            if operation.name == name:
                return operation
        raise BadRequestError(f"The document has no operation that is named `{name}`.")


class Documents:
    """The documents of one schema, the latest of them at hand. `hits` and `misses` are counted."""

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

    def read(self, text: str, *, known: bool = False) -> Document:
        """`known`: its author is trusted, and it may be larger. Never raises."""
        key = (text, known)
        document = self._kept.get(key)
        if document is not None:
            self.hits += 1
            self._kept.move_to_end(key)
            return document
        self.misses += 1
        document = self._read(text, LIMITS_OF_KNOWN if known else LIMITS)
        if len(text) <= LIMITS_OF_KNOWN.characters:
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
            return Document((coded(error),))
        except (RecursionError, UnicodeError):
            return Document((BadRequestError("The document cannot be read."),))
        errors = validate(
            self._schema,
            node,
            RULES,
            max_errors=MAX_ERRORS,
            hide_suggestions=self._hide_suggestions,
        )
        if errors:
            return Document(tuple(coded(error) for error in errors))
        fragments = fragments_of(node)
        operations = [
            Operation(
                d,
                d.operation,
                cost_of(self._schema, fragments, d),
                root_fields(self._schema, fragments, d),
                coordinates(self._schema, fragments, d),
                introspects(fragments, d),
            )
            for d in node.definitions
            if isinstance(d, OperationDefinitionNode)
        ]
        return Document((), node, fragments, operations)


def coded(error: GraphQLError) -> GraphQLError:
    """An error of reading or validating, with the code of what a client can put right."""
    error.extensions = {"code": BadRequestError.code, **(error.extensions or {})}
    return error
