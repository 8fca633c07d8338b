"""Finds the members that a message points at, for a source whose rows can be read.

Such a message never carries the answer: it says which rows to look at.
"""

from collections.abc import Iterator

from db.vocabulary import PortalId
from sync.dataverse.mapping import LinkedRoles, PortalMapping, RowRoles
from sync.dataverse.messages import Message, Reference, Value, id_of
from sync.errors import NotAnEventError


def members_to_read(message: Message, mapping: PortalMapping) -> list[PortalId]:
    """Returns the members that the message is about; none if it is of no concern here.

    Raises NotAnEventError if it is about a member, and does not tell which.
    """
    if message.name in ("Associate", "Disassociate"):
        return list(dict.fromkeys(_linked(message, mapping)))
    if message.table == mapping.member.entity:
        found = [row.id for row in message.rows]
        found += [id for id in (message.id, _merged(message)) if id is not None]
        if not found:
            raise NotAnEventError("The message does not tell which rows it is about.")
        return list(dict.fromkeys(found))
    for rule in mapping.role:
        if isinstance(rule, RowRoles) and rule.entity == message.table:
            return list(dict.fromkeys(_of_role_rows(message, rule)))
    return []


def merge_of(message: Message, mapping: PortalMapping) -> tuple[PortalId, PortalId] | None:
    """Returns the member's row that lives on and the one that was merged into it, if the message
    tells of a merge."""
    if message.name != "Merge" or message.table != mapping.member.entity:
        return None
    survivor = id_of(message.parameters.get("Target")) or message.id
    merged = _merged(message)
    return None if survivor is None or merged is None or survivor == merged else (survivor, merged)


def _merged(message: Message) -> PortalId | None:
    return id_of(message.parameters.get("SubordinateId"))


def _linked(message: Message, mapping: PortalMapping) -> Iterator[PortalId]:
    """Yields the members of a link; either side may be one."""
    relationship = message.parameters.get("Relationship")
    name = relationship.get("SchemaName") if isinstance(relationship, dict) else None
    rules = [rule for rule in mapping.role if isinstance(rule, LinkedRoles)]
    if not message.stripped and name not in {rule.relationship for rule in rules}:
        return
    others = message.parameters.get("RelatedEntities")
    ends: list[Value] = [message.parameters.get("Target")]
    ends += others if isinstance(others, list) else []
    members = [
        end.id for end in ends if isinstance(end, Reference) and end.table == mapping.member.entity
    ]
    if not members:
        raise NotAnEventError(f"{message.name} does not tell which member it is about.")
    yield from members


def _of_role_rows(message: Message, rule: RowRoles) -> list[PortalId]:
    """Returns the member before the operation, and the one after it."""
    members = [
        member.id
        for row in message.rows
        for columns in (row.before, row.stated)
        if isinstance(member := columns.get(rule.member), Reference)
    ]
    if not members:
        raise NotAnEventError(
            f"The message does not tell whose role it is about, since it lacks {rule.member}; an "
            "image of the step with that column tells it."
        )
    return members
