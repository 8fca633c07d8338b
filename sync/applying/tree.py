"""The tree of chapters: which of the stated parents count.

Every chapter has one parent at most, so chapters that are stated to be above each other form a
cycle. While it stands, its newest statement counts for nothing: that chapter has no parent. What
counts follows from the statements alone, whatever the order in which they arrived.
"""

from collections.abc import Iterable, Iterator, Mapping

from db.queries.chapters.organizations import TreeNode, save_tree, whole_tree
from db.sessions import WriteSession
from db.vocabulary import OrganizationId


async def settle_tree(session: WriteSession) -> tuple[frozenset[OrganizationId], bool]:
    """Saves which parents count, after some were stated under the lock of the tree.

    Returns the chapters within cycles, and whether anything became another than it was.
    """
    nodes = await session.find(whole_tree())
    settled = list(settle(nodes))
    changed = [new for old, new in zip(nodes, settled, strict=True) if old != new]
    await save_tree(session, changed)
    return frozenset(node.id for node in settled if node.in_cycle), bool(changed)


def settle(nodes: Iterable[TreeNode]) -> Iterator[TreeNode]:
    """Yields the chapters with the parents that count."""
    known = list(nodes)
    cycles = list(_cycles({node.id: node.stated_parent_id for node in known}))
    stamps = {node.id: node.stamp for node in known}
    within = {id for cycle in cycles for id in cycle}
    cut = {max(cycle, key=lambda id: stamps[id]) for cycle in cycles}
    for node in known:
        parent_id = None if node.id in cut else node.stated_parent_id
        yield node._replace(parent_id=parent_id, in_cycle=node.id in within)


def _cycles(
    parents: Mapping[OrganizationId, OrganizationId | None],
) -> Iterator[list[OrganizationId]]:
    seen: set[OrganizationId] = set()
    for start in parents:
        path: list[OrganizationId] = []
        id: OrganizationId | None = start
        while id is not None and id not in seen:
            seen.add(id)
            path.append(id)
            id = parents[id]
        if id in path:
            yield path[path.index(id) :]
