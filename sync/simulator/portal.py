"""The portal: an association in memory, and the events of what happens in it. It sends nothing."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from random import Random
from types import MappingProxyType

import msgspec

from sync.simulator.chapters import Federation, PortalOrganization
from sync.simulator.event_bodies import PortalEvent
from sync.simulator.newcomers import Newcomers, Personas
from sync.simulator.portal_changes import PortalChanges
from sync.simulator.register import PortalMember, Register

_ENROLMENT_SPAN = timedelta(days=5 * 365)


class _Snapshot(msgspec.Struct, frozen=True):
    seed: int
    random_state: tuple[int, tuple[int, ...], float | None]
    organizations: tuple[PortalOrganization, ...]
    personas: Personas
    register: Register


class Portal:
    """A simulated membership portal.

    The same seed and the same times of the clock give the same events, byte for byte. A receiver of
    all events ends with the same members as the portal, whatever their order.
    """

    def __init__(self, seed: int, clock: Callable[[], datetime]) -> None:
        chance = Random(seed)  # noqa: S311 — a simulation must be repeatable; nothing is secret
        state = _Snapshot(
            seed=seed,
            organizations=Federation.founded(chance).all,
            personas=Personas.drawn(chance),
            random_state=_state_of(chance),
            register=Register(),
        )
        self._resume(state, clock)

    @classmethod
    def restore(cls, snapshot: bytes, clock: Callable[[], datetime]) -> "Portal":
        """Returns the portal of a snapshot. Raises `msgspec.MsgspecError` if it is not one."""
        portal = cls.__new__(cls)
        state = msgspec.json.decode(snapshot, type=_Snapshot)
        portal._resume(state, clock)  # noqa: SLF001 — an alternative constructor of this very class
        return portal

    def snapshot(self) -> bytes:
        """Returns what `restore` needs to continue with the next event.

        Events that were made but not delivered are not in it; the caller keeps them.
        """
        state = _Snapshot(
            seed=self._seed,
            random_state=_state_of(self._chance),
            organizations=self._federation.all,
            personas=self._personas,
            register=self._register,
        )
        return msgspec.json.encode(state)

    def enrol(self, count: int) -> Iterator[PortalEvent]:
        """Yields an event for each of `count` people who join, spread over the last years.

        The oldest comes first. Each person joins when the event is drawn. The three personas and
        the coordinators of the chapters come first; no chapter is mentioned before its parent.
        """
        now = self._changes.now()
        for place in range(count):
            share = (place + self._chance.random()) / count
            at = now - _ENROLMENT_SPAN * (1 - share)
            yield self._changes.joined(at.replace(microsecond=at.microsecond // 1000 * 1000))

    def next_change(self) -> PortalEvent:
        """Makes one change that is possible now, and returns its event."""
        happen: list[Callable[[], PortalEvent]] = [self._joined_now]
        weights = [18]
        if self._register.active:
            happen += [self._changes.roles_changed, self._changes.profile_changed]
            happen += [self._changes.moved, self._changes.deactivated]
            weights += [24, 24, 14, 11]
        if self._register.inactive:
            happen.append(self._changes.reactivated)
            weights.append(9)
        return self._chance.choices(happen, weights)[0]()

    @property
    def seed(self) -> int:
        return self._seed

    @property
    def members(self) -> Mapping[str, PortalMember]:
        """A live view of all members by id, in the order of joining."""
        return MappingProxyType(self._register.members)

    @property
    def organizations(self) -> tuple[PortalOrganization, ...]:
        """All chapters, parents before children."""
        return self._federation.all

    @property
    def administrator(self) -> PortalMember:
        """The persona who is organization administrator in the national body."""
        return self._persona(self._personas.administrator)

    @property
    def coordinator(self) -> PortalMember:
        """The persona who is coordinator of a county; the peer mentor's chapter is below it."""
        return self._persona(self._personas.coordinator)

    @property
    def peer_mentor(self) -> PortalMember:
        """The persona who is peer mentor in a local chapter."""
        return self._persona(self._personas.peer_mentor)

    def _resume(self, state: _Snapshot, clock: Callable[[], datetime]) -> None:
        self._seed = state.seed
        self._chance = Random()  # noqa: S311 — repeatable: the next line sets its state
        self._chance.setstate(state.random_state)
        self._federation = Federation(state.organizations)
        self._personas = state.personas
        self._register = state.register
        newcomers = Newcomers(self._chance, self._federation, self._personas)
        self._changes = PortalChanges(
            self._chance, clock, self._federation, self._register, newcomers
        )

    def _persona(self, id: str) -> PortalMember:
        try:
            return self._register.members[id]
        except KeyError:
            raise LookupError(
                "The persona has not joined yet; enrol at least three members."
            ) from None

    def _joined_now(self) -> PortalEvent:
        return self._changes.joined(self._changes.now())


def _state_of(chance: Random) -> tuple[int, tuple[int, ...], float | None]:
    version, words, gauss = chance.getstate()
    return version, words, gauss
