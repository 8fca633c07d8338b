"""The portal: an association that lives in memory and tells what happens in it. Sends nothing."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from random import Random
from types import MappingProxyType

import msgspec

from sync.simulator.chapters import Federation, Organization
from sync.simulator.event_bodies import PortalEvent
from sync.simulator.newcomers import Newcomers, Personas
from sync.simulator.portal_changes import Changes
from sync.simulator.register import Member, Register

_ENROLMENT_SPAN = timedelta(days=5 * 365)


class _Snapshot(msgspec.Struct, frozen=True):
    seed: int
    random_state: tuple[int, tuple[int, ...], float | None]
    organizations: tuple[Organization, ...]
    personas: Personas
    register: Register


class Portal:
    """A simulated membership portal.

    The same seed and the same clock readings give the same events, byte for byte. Its members
    are the truth that a receiver of all its events must end with, in whatever order they came.
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
        """The portal as it was; raises `msgspec.MsgspecError` for what is not a snapshot."""
        portal = cls.__new__(cls)
        state = msgspec.json.decode(snapshot, type=_Snapshot)
        portal._resume(state, clock)  # noqa: SLF001 — an alternative constructor of this very class
        return portal

    def snapshot(self) -> bytes:
        """Everything `restore` needs to continue with the very next event.

        What has been generated but not delivered is not in it: keep the two together.
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
        """Let `count` people join, spread over the last years, oldest first.

        Lazy: each joins when their event is drawn. The first ones are the three personas and
        the coordinators of the chapters; a chapter is never mentioned before its parent.
        """
        now = self._changes.now()
        for place in range(count):
            share = (place + self._chance.random()) / count
            at = now - _ENROLMENT_SPAN * (1 - share)
            yield self._changes.joined(at.replace(microsecond=at.microsecond // 1000 * 1000))

    def next_change(self) -> PortalEvent:
        """One change, happening now, that makes sense for the members as they are."""
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
    def members(self) -> Mapping[str, Member]:
        """Everybody by id, in the order of joining, as they now are; a live view."""
        return MappingProxyType(self._register.members)

    @property
    def organizations(self) -> tuple[Organization, ...]:
        """Parents before children."""
        return self._federation.all

    @property
    def administrator(self) -> Member:
        """A persona: organization administrator in the national body."""
        return self._persona(self._personas.administrator)

    @property
    def coordinator(self) -> Member:
        """A persona: coordinator of a county chapter, with the peer mentor's chapter below it."""
        return self._persona(self._personas.coordinator)

    @property
    def peer_mentor(self) -> Member:
        """A persona: peer mentor in a local chapter."""
        return self._persona(self._personas.peer_mentor)

    def _resume(self, state: _Snapshot, clock: Callable[[], datetime]) -> None:
        self._seed = state.seed
        self._chance = Random()  # noqa: S311 — repeatable: the next line sets its state
        self._chance.setstate(state.random_state)
        self._federation = Federation(state.organizations)
        self._personas = state.personas
        self._register = state.register
        newcomers = Newcomers(self._chance, self._federation, self._personas)
        self._changes = Changes(self._chance, clock, self._federation, self._register, newcomers)

    def _persona(self, id: str) -> Member:
        try:
            return self._register.members[id]
        except KeyError:
            raise LookupError("the personas join first: enrol at least three members") from None

    def _joined_now(self) -> PortalEvent:
        return self._changes.joined(self._changes.now())


def _state_of(chance: Random) -> tuple[int, tuple[int, ...], float | None]:
    version, words, gauss = chance.getstate()
    return version, words, gauss
