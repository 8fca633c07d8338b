"""The chapters of the simulated association: a national body, counties, and local chapters."""

from collections.abc import Iterator
from random import Random
from types import MappingProxyType
from uuid import UUID

import msgspec

# County chapter -> its local chapters, each with a rough share of the members.
_CHAPTERS: dict[str, dict[str, int]] = {
    "Oslo og Akershus": {"Oslo": 9, "Bærum": 3, "Lillestrøm": 2, "Asker": 2, "Nordre Follo": 2},
    "Innlandet": {"Hamar": 2, "Lillehammer": 2, "Gjøvik": 2, "Kongsvinger": 1},
    "Vestland": {"Bergen": 6, "Førde": 1, "Sogndal": 1, "Stord": 1},
    "Trøndelag": {"Trondheim": 5, "Steinkjer": 1, "Stjørdal": 2, "Røros": 1},
    "Møre og Romsdal": {"Ålesund": 3, "Molde": 2, "Kristiansund": 2, "Ørsta": 1},
    "Troms og Finnmark": {"Tromsø": 4, "Harstad": 2, "Alta": 1, "Vadsø": 1},
}
_SHARES = {
    f"HLF {place}": share for county in _CHAPTERS.values() for place, share in county.items()
}


class PortalOrganization(msgspec.Struct, frozen=True, rename="camel"):
    """A chapter in the form in which events carry it."""

    id: str
    name: str
    parent_id: str | None


class Federation:
    """All organizations, parents before children."""

    def __init__(self, organizations: tuple[PortalOrganization, ...]) -> None:
        self.all = organizations
        self.by_id = MappingProxyType({each.id: each for each in organizations})
        self.national = next(each for each in organizations if each.parent_id is None)
        self.counties = tuple(each for each in organizations if each.parent_id == self.national.id)
        county_ids = {each.id for each in self.counties}
        self.locals = tuple(each for each in organizations if each.parent_id in county_ids)
        self._shares = [_SHARES.get(each.name, 1) for each in self.locals]

    @classmethod
    def founded(cls, chance: Random) -> "Federation":
        """Returns the chapters, which are always the same, with ids drawn from `chance`."""
        return cls(tuple(_organizations(chance)))

    def likely_home(self, chance: Random) -> PortalOrganization:
        """Returns the home of a new member: mostly a local chapter, the large ones more often, and
        sometimes a county chapter."""
        if chance.random() < 0.03:
            return chance.choice(self.counties)
        return chance.choices(self.locals, self._shares)[0]


def drawn_guid(chance: Random) -> str:
    """Returns a version 4 GUID in lower case, as Dataverse writes them."""
    return str(UUID(int=chance.getrandbits(128), version=4))


def _organizations(chance: Random) -> Iterator[PortalOrganization]:
    national = PortalOrganization(drawn_guid(chance), "HLF", None)
    yield national
    counties = [
        PortalOrganization(drawn_guid(chance), f"HLF {name}", national.id) for name in _CHAPTERS
    ]
    yield from counties
    for county, places in zip(counties, _CHAPTERS.values(), strict=True):
        for place in places:
            yield PortalOrganization(drawn_guid(chance), f"HLF {place}", county.id)
