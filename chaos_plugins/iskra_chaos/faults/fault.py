"""One fault that was let loose, and each call that it hits."""

import threading
from dataclasses import dataclass
from typing import TypeVar

from iskra_chaos.faults.firing import Strategy, fires, uniform
from iskra_chaos.faults.lease import Lease
from iskra_chaos.faults.parameters import Parameters
from iskra_chaos.faults.scope import BlastRadius
from iskra_chaos.faults.vocabulary import FaultKind
from iskra_sdk.errors import IskraError
from iskra_sdk.interceptor import Point

P = TypeVar("P", bound=Parameters)
E = TypeVar("E", bound=IskraError)

INJECTED = "injected_fault"
"""Key of the mark on what a fault made or altered: in ``IskraError.facts`` and ``ToolResult.metadata``.

A result with this mark is no evidence of anything and is never kept as a fact.
"""
_MOST_SESSIONS = 100_000
"""Sessions whose calls one fault counts; more are left alone, because forgetting a count would spoil the replay."""
_MOST_TURNS = 10_000
"""Turns in which one fault was observed that are kept by name."""
_MEASURABLE = 0.001
"""Seconds; a shorter delay is noise and counts as not observed."""


@dataclass(frozen=True, slots=True)
class Passage:
    """What a fault has to know of a call.

    Attributes:
        session: Whose call it is; empty if it belongs to none, or it cannot be told.
        has_effect: The call may change the world outside.
        labels: Those of the request that the call belongs to, where it can be told.
        turn: The turn that it is part of; known of model calls and tools.
    """

    session: str
    has_effect: bool = False
    labels: frozenset[str] = frozenset()
    turn: str = ""


class Fault:
    """A fault at one point, with its counters.

    Args:
        lease: Its right to act.
        radius: Whom it may reach.
        owner: Who let it loose.
    """

    def __init__(
        self,
        fault_id: str,
        point: Point,
        kind: FaultKind,
        parameters: Parameters,
        *,
        strategy: Strategy,
        seed: int,
        lease: Lease,
        radius: BlastRadius,
        experiment: str,
        owner: str = "",
    ) -> None:
        self.id = fault_id
        self.point = point
        self.kind = kind
        self.parameters = parameters
        self.strategy = strategy
        self.seed = seed
        self.lease = lease
        self.radius = radius
        self.experiment = experiment
        self.owner = owner
        self.memory: dict[object, object] = {}
        """What an injector keeps between calls, with its own bounds; gone with the fault."""
        self.turns: dict[str, None] = {}
        """Turns in which it was observed, in their order; gone with the fault."""
        self.knows_all_turns = True
        """Whether ``turns`` has every one of them."""
        self._call_indexes: dict[str, int] = {}
        self._passing = 0
        self._lock = threading.Lock()

    def take(self, passage: Passage) -> "Shot | None":
        """Count a call that reaches the point, and return the shot if it is hit.

        Decided before anything is awaited, so calls are numbered in the order in which they come.
        """
        lease = self.lease
        if not lease.is_active or (passage.has_effect and self.kind.reads_only):
            return None
        session = passage.session
        with self._lock:
            passing = self._passing
            self._passing += not session
        if not self.radius.reaches(session, passing, passage.labels):
            return None
        with self._lock:
            index = self._call_indexes.get(session, 0)
            if not index and len(self._call_indexes) >= _MOST_SESSIONS:
                return None
            self._call_indexes[session] = index + 1
        rule = self.strategy
        is_hit = rule.is_candidate(index, lease.age) and fires(self.seed, session, self.point, index, rule.probability)
        lease.count(applied=is_hit)
        return Shot(self, session, index, passage.turn) if is_hit else None

    def fade(self, share: float) -> None:
        """Go on with ``share`` of the strength, in (0, 1]: fewer calls are hit, and less is done to them."""
        rule = self.strategy
        self.strategy = rule.model_copy(update={"probability": rule.probability * share})
        self.parameters = self.parameters.faded(share)

    def forget(self) -> None:
        """Drop what was kept of calls; for a fault that has ended and is only looked at any more."""
        self.memory.clear()
        self.knows_all_turns = self.knows_all_turns and not self.turns
        self.turns.clear()
        self._call_indexes.clear()

    def remember_turn(self, turn: str) -> None:
        """Note that it was observed in a turn; an empty name is one that cannot be told."""
        with self._lock:
            if turn and (turn in self.turns or len(self.turns) < _MOST_TURNS):
                self.turns[turn] = None
            else:
                self.knows_all_turns = False

    def may_watch(self, passage: Passage) -> bool:
        """Whether the results of a call that was not hit may be kept, to be replayed later."""
        return (
            not passage.has_effect and bool(passage.session) and self.radius.reaches(passage.session, 0, passage.labels)
        )


class Shot:
    """One call that a fault hits."""

    __slots__ = ("_is_observed", "fault", "index", "session", "turn")

    def __init__(self, fault: Fault, session: str, index: int, turn: str = "") -> None:
        self.fault = fault
        self.session = session
        self.index = index
        self.turn = turn
        self._is_observed = False

    @property
    def is_active(self) -> bool:
        """Whether the fault may still act."""
        return self.fault.lease.is_active

    def parameters(self, model: type[P]) -> P:
        """Return the fault's parameters as the model they are of."""
        parameters = self.fault.parameters
        if not isinstance(parameters, model):
            raise TypeError(f"{self.fault.kind.name} has {type(parameters).__name__}, not {model.__name__}")
        return parameters

    def draw(self, *what: str | int) -> float:
        """Return a number in [0, 1) that belongs to this call and ``what``, the same in every replay."""
        fault = self.fault
        return uniform(fault.seed, self.session, fault.point, self.index, *what)

    def observe(self) -> None:
        """Count that the caller got the effect; once for a call."""
        if not self._is_observed:
            self._is_observed = True
            self.fault.lease.count_observed()
            self.fault.remember_turn(self.turn)

    def injected(self, error: E) -> E:
        """Mark an error that is about to leave for the caller, and count it as observed."""
        error.facts = {**error.facts, INJECTED: self.fault.id}
        self.observe()
        return error

    async def wait(self, seconds: float) -> bool:
        """Hold the call for so long; return ``False``, at once, when the fault ends meanwhile.

        The delay is observed if it was long enough to be measured, also when the caller gave up before its end.
        """
        if seconds <= 0.0:
            return self.is_active
        lease = self.fault.lease
        began = lease.age
        try:
            return await lease.wait(seconds)
        finally:
            if lease.age - began >= _MEASURABLE:
                self.observe()
