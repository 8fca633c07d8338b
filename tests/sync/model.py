"""The law of any order, written a second time and in another way: the world that a set of events
ends in, without any order of arrival. Shares no code with the product."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from db.vocabulary import ActivationState
from tests.sync.recorded_events import Chapter, Person, Rights, RoleHeld, World

PROFILE = ("memberNumber", "givenName", "familyName", "email", "phone")

LONG = "x" * 321
READ_AS = {"Ka\nri": "Ka ri", "\tÅse  ": "Åse", 42: "42", LONG: ..., "": None}
"""What a flawed text of a profile is taken for; ... stands for one that says nothing."""

CLEARING = ("membership-updated", "membership-stated")
"""In these, what is null is cleared."""

Weight = tuple[datetime, int, bool, str, str]
"""The statement of the greatest weight counts."""


@dataclass(frozen=True)
class Told:
    """An event as the portal sent it."""

    source: str
    event_id: str
    event: dict[str, Any]

    @property
    def type(self) -> str:
        return str(self.event["type"])

    @property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = self.event["data"]
        return data

    @property
    def at(self) -> datetime:
        return datetime.fromisoformat(self.event["timestamp"])

    @property
    def weight(self) -> Weight:
        leaves = self.state is ActivationState.INACTIVE
        return self.at, int(self.event.get("sequence", 0)), leaves, self.event_id, self.source

    @property
    def member(self) -> str | None:
        return self.data["member"]["id"] if "member" in self.data else None

    @property
    def state(self) -> ActivationState | None:
        if self.type == "membership-stated":
            stated = self.data.get("state")
            return ActivationState(stated) if stated else None
        if self.type in ("membership-created", "membership-reactivated"):
            return ActivationState.ACTIVE
        return ActivationState.INACTIVE if self.type == "membership-deactivated" else None

    @property
    def roles(self) -> frozenset[tuple[str, str | None]] | None:
        if self.type == "membership-stated":
            if "roles" not in self.data:
                return None
        elif self.type not in ("membership-created", "role-updated"):
            return None
        return frozenset(
            (role["code"], role.get("organizationId")) for role in self.data.get("roles") or ()
        )

    def profile_field(self, field: str) -> str | None:
        """The text as it is read."""
        value = self.data["member"].get(field)
        return READ_AS.get(value, value)  # type: ignore[return-value]  # ... is never asked for

    def states_profile(self, field: str) -> bool:
        given = self.data["member"]
        value = given.get(field)
        if READ_AS.get(value, value) is ...:
            return False
        if self.type == "membership-created":
            return True
        if self.type in CLEARING:
            return field in given
        return READ_AS.get(value, value) is not None

    @property
    def states_home(self) -> bool:
        if self.data.get("organization"):
            return True
        return self.type in CLEARING and "organization" in self.data

    @property
    def home(self) -> str | None:
        home = self.data.get("organization")
        return str(home["id"]) if home else None

    def mentioned(self) -> Iterable[str]:
        if home := self.data.get("organization"):
            yield home["id"]
            if home.get("parentId"):
                yield home["parentId"]
        for _, place in self.roles or ():
            if place:
                yield place


def world_after(history: Iterable[Told]) -> World:
    told = sorted(history, key=lambda one: one.weight)
    members = {one.member for one in told if one.member}
    members |= {one.data["mergedId"] for one in told if "mergedId" in one.data}
    one_person = _people_of({id for id in members if id}, told)
    chapters = {id for one in told for id in one.mentioned()}
    return World(
        people={
            id: _person([one for one in told if one.member in ids])
            for id, ids in one_person.items()
        },
        chapters=_without_cycles({id: _chapter(id, told) for id in chapters}),
    )


def _people_of(ids: set[str], told: Sequence[Told]) -> dict[str, set[str]]:
    """The ids of each person, by the one that lives on: groups that merges unite one by one."""
    people = {id: {id} for id in ids}
    for one in told:
        if "mergedId" in one.data:
            (gone,) = (id for id, group in people.items() if one.data["mergedId"] in group)
            (survivor,) = (id for id, group in people.items() if one.member in group)
            if gone != survivor:
                people[survivor] |= people.pop(gone)
    return people


def _person(told: Sequence[Told]) -> Person:
    """All arguments here run from the lightest statement to the heaviest."""
    profile: dict[str, str | None] = dict.fromkeys(PROFILE)
    home = None
    for one in told:
        for field in PROFILE:
            if one.states_profile(field):
                profile[field] = one.profile_field(field)
        if one.states_home:
            home = one.home
    states = [(one.at, one.state) for one in told if one.state]
    state = states[-1][1] if states else ActivationState.ACTIVE
    return Person(
        profile=profile,
        state=state or ActivationState.ACTIVE,
        state_changed_at=_since([(at, stated is state) for at, stated in states]),
        home=home,
        roles=frozenset(_roles([(one.at, one.roles) for one in told if one.roles is not None])),
    )


def _roles(
    stated: Sequence[tuple[datetime, frozenset[tuple[str, str | None]]]],
) -> Iterable[RoleHeld]:
    for code, place in stated[-1][1] if stated else ():
        since = _since([(at, (code, place) in roles) for at, roles in stated])
        assert since is not None
        yield code, place, since


def _since(said: Sequence[tuple[datetime, bool]]) -> datetime | None:
    """When the last unbroken run of "yes" began."""
    since = None
    for at, yes in said:
        if not yes:
            since = None
        elif since is None:
            since = at
    return since


def _chapter(id: str, told: Sequence[Told]) -> tuple[Chapter, int]:
    """The chapter with the parent that was stated, and the place of that statement."""
    name = parent = None
    closed = False
    place = -1
    for index, one in enumerate(told):
        stated = one.data.get("organization")
        if stated and stated["id"] == id:
            name = stated.get("name") or name
            closed = stated.get("closed", closed)
            if "parentId" in stated:
                parent, place = stated["parentId"], index
    return Chapter(name, parent, closed), place


def _without_cycles(stated: dict[str, tuple[Chapter, int]]) -> dict[str, Chapter]:
    chapters = {}
    for id, (chapter, place) in stated.items():
        cycle = _cycle_through(id, stated)
        newest = cycle and place == max(stated[each][1] for each in cycle)
        chapters[id] = replace(chapter, parent=None) if newest else chapter
    return chapters


def _cycle_through(id: str, stated: dict[str, tuple[Chapter, int]]) -> set[str]:
    """The chapters that one comes past on the way up from this one back to it."""
    above: list[str] = []
    parent = stated[id][0].parent
    while parent is not None and parent not in above:
        above.append(parent)
        parent = stated[parent][0].parent
    return set(above) if id in above else set()


def rights_in(world: World, national_body: str) -> Rights:
    """Whom each person sees: who coordinates in a chapter, whoever belongs there or below it."""
    return {
        id: frozenset(_seen_by(id, person, world, national_body))
        for id, person in world.people.items()
    }


def _seen_by(id: str, person: Person, world: World, national_body: str) -> Iterable[str]:
    if person.state is ActivationState.INACTIVE:
        return
    yield id
    for code, place, _ in person.roles:
        if code == "coordinator" and (where := place or person.home):
            for other, one in world.people.items():
                places = {one.home, *(held for _, held, _ in one.roles)}
                inside = any(where in _way_up(place, world) for place in places if place)
                if inside or where == national_body:
                    yield other


def _way_up(place: str, world: World) -> Iterable[str]:
    while place:
        yield place
        place = world.chapters[place].parent or ""
