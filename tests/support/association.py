"""A small association, and everybody who may look at it.

HLF ── Oslo county ── Oslo: Kari, Per (peer mentor)
    └─ Vest county ── Bergen: Mona

Every coordinator and administrator is a member of the chapter that their role is in.
"""

from typing import Any

from tests.support.builders import created, deactivated, organization, role, updated
from tests.support.service import Service

PARENTS = {
    "HLF": None,
    "Oslo county": "HLF",
    "Vest county": "HLF",
    "Oslo": "Oslo county",
    "Bergen": "Vest county",
}
PEOPLE = {
    "Kari": ("Oslo", "member"),
    "Per": ("Oslo", "peer-mentor"),
    "Mona": ("Bergen", "member"),
    "coordinator of Oslo": ("Oslo", "coordinator"),
    "coordinator of Bergen": ("Bergen", "coordinator"),
    "coordinator of Oslo county": ("Oslo county", "coordinator"),
    "admin of Oslo": ("Oslo", "organization-administrator"),
    "admin of Bergen": ("Bergen", "organization-administrator"),
    "admin of HLF": ("HLF", "organization-administrator"),
    "inactive": ("Oslo", "coordinator"),
}
OSLO = {"Kari", "Per", "coordinator of Oslo", "admin of Oslo", "inactive"}
BERGEN = {"Mona", "coordinator of Bergen", "admin of Bergen"}
EVERYBODY = set(PEOPLE)


def chapter(name: str) -> dict[str, Any]:
    return organization(name, PARENTS[name])


def joined(name: str) -> dict[str, Any]:
    home, code = PEOPLE[name]
    profile = {"givenName": name}
    return created(name, organization=chapter(home), roles=[role(code)], profile=profile)


async def found_association(service: Service) -> None:
    """Afterwards everybody of PEOPLE is known, and nobody else."""
    await service.tell(*(joined(name) for name in PEOPLE))
    # Nobody is at home in this county, so the administrator's word is needed for its place.
    name, home = "admin of HLF", chapter("HLF")
    await service.tell(
        updated(name, 1, organization=chapter("Vest county")),
        updated(name, 2, organization=home),
        deactivated("inactive", 1),
    )
