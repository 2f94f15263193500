"""All faults of a server: who may be let loose beside whom, and how all of them are stopped at once."""

import asyncio
import math
import uuid
from collections.abc import Callable, Sequence

from iskra_chaos.faults.bus import Lanes, Start
from iskra_chaos.faults.fault import Fault
from iskra_chaos.faults.lease import Lease
from iskra_chaos.faults.models import FaultSpec
from iskra_chaos.faults.scope import BlastRadius, Environment, SessionTraits, largest_share
from iskra_sdk.clock import Clock
from iskra_sdk.errors import BadInputError, ConflictError, NotFoundError, PermissionDeniedError
from iskra_sdk.interceptor import Interceptor, Point

MOST_EXPERIMENTS = 3
MOST_FAULTS = 16
"""Of one experiment."""
_GONE = "the chaos plugin was stopped"
_KEPT_FOR = 3600.0
"""Seconds an ended fault can still be looked at."""
_MOST_KEPT = 1000


class FaultBoard:
    """Lets faults loose and takes them back.

    A fault acts only while its lease holds, which is asked at each call: one that was ended does nothing from the next
    line on, also in chains that are still in use.

    Args:
        clock: Measures leases and waits.
        start: Runs a job in a task that ends with the plugin, as ``PluginContext.tasks.start`` does.
        traits: Answers what faults ask about sessions.
        environment: Bounds the share of sessions that faults may reach.
        on_change: Called when :meth:`interceptors` would return something else than before.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        start: Start,
        traits: SessionTraits | None = None,
        environment: Environment = Environment.PRODUCTION,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._start = start
        self._traits = traits or SessionTraits()
        self._environment = environment
        self._on_change = on_change
        self._faults: dict[str, Fault] = {}
        self._ended: dict[str, Fault] = {}
        self._at: dict[Point, tuple[Fault, ...]] = {}
        self._lanes = Lanes(start, self._settle)
        self._gates: dict[Point, Interceptor] = {}
        self._in_use: frozenset[Point] = frozenset()
        self._stopped_because = ""
        self._is_closed = False

    @property
    def is_stopped(self) -> bool:
        """Whether the kill switch refuses new faults."""
        return bool(self._stopped_because)

    def active(self, point: Point) -> tuple[Fault, ...]:
        """Return the faults at a point; the lease of one may have run out a moment ago."""
        return self._at.get(point, ())

    def interceptors(self) -> list[Interceptor]:
        """Return the interceptors of the points that faults are at, and no others."""
        used = self._points_in_use()
        if not used:
            return []
        # The injectors are needed by the first fault, not by the start of the server.
        from iskra_chaos.faults.gate import companions, interceptor

        for point in used - self._gates.keys():
            self._gates[point] = interceptor(point, self.active, self._lanes)
        return [*companions(used), *(self._gates[point] for point in Point if point in used)]

    def faults(self) -> Sequence[Fault]:
        """Return the active faults and those that ended within the hour, newest first."""
        self._settle()
        return [*reversed(self._faults.values()), *reversed(self._ended.values())]

    def get(self, fault_id: str) -> Fault:
        """Return a fault.

        Raises:
            NotFoundError: There is none, or it ended more than an hour ago.
        """
        fault = self._faults.get(fault_id) or self._ended.get(fault_id)
        if fault is None:
            raise NotFoundError("There is no such fault.", facts={"fault": fault_id})
        return fault

    def left_of(self, owner: str) -> list[float]:
        """Return the seconds left to each experiment that an owner has faults in."""
        left: dict[str, float] = {}
        for fault in self._faults.values():
            if fault.owner == owner and fault.lease.is_active:
                left[fault.experiment] = max(left.get(fault.experiment, 0.0), fault.lease.remaining)
        return list(left.values())

    def has_experiment(self, experiment: str, owner: str) -> bool:
        """Return whether an owner has faults in an experiment."""
        return any(fault.experiment == experiment and fault.owner == owner for fault in self._faults.values())

    def add(self, spec: FaultSpec, owner: str = "") -> Fault:
        """Let a fault loose, on an owner's account.

        Raises:
            ConflictError: The kill switch is on, another experiment holds the point, or there are too many.
            PermissionDeniedError: It would reach more sessions than this environment allows.
            BadInputError: It cannot be limited in the way that was asked for.
        """
        self._settle()
        fault_id = uuid.uuid4().hex
        experiment = spec.experiment or fault_id
        self._check_room(spec.point, experiment)
        kind = spec.fault_kind
        cap = largest_share(self._environment, spec.intensity)
        scope = spec.scope.scope
        if kind.is_server_wide and (scope.sessions or scope.label or scope.share < 1.0):
            raise BadInputError(f"{kind.name} concerns the whole server; it cannot be limited to some sessions.")
        if kind.is_server_wide and cap < 1.0:
            raise PermissionDeniedError(
                f"{kind.name} concerns the whole server, and here a fault may reach {cap:.0%} of the sessions.",
                mend="Use a test environment, without an intensity.",
            )
        fault = Fault(
            fault_id,
            spec.point,
            kind,
            spec.validated_parameters,
            strategy=spec.strategy,
            seed=spec.seed,
            lease=Lease(self._clock, spec.ttl),
            radius=BlastRadius(scope, self._traits, spec.seed, min(scope.share, cap), kind.needs_sandbox),
            experiment=experiment,
            owner=owner,
        )
        self._start(lambda: self._outlive(fault))
        self._faults[fault_id] = fault
        self._settle()
        return fault

    def heartbeat(self, fault_id: str) -> Fault:
        """Renew a fault's lease.

        Raises:
            NotFoundError: It has ended, or never was.
        """
        fault = self.get(fault_id)
        if not fault.lease.heartbeat():
            raise NotFoundError(f"The fault has ended: {fault.lease.reason}.", facts={"fault": fault_id})
        return fault

    def clear(self, fault_id: str, reason: str = "cleared on request") -> Fault:
        """End a fault; one that has ended stays as it is.

        Raises:
            NotFoundError: There is none, or it ended more than an hour ago.
        """
        fault = self.get(fault_id)
        fault.lease.clear(reason)
        self._settle()
        return fault

    def clear_all(self, reason: str = "emergency stop") -> Sequence[Fault]:
        """Throw the kill switch: end all faults now, and refuse new ones until :meth:`release`.

        When this returns, no fault acts any more; calls that wait inside one go on at the loop's next step.
        """
        self._stopped_because = reason or "emergency stop"
        killed = [fault for fault in self._faults.values() if fault.lease.is_active]
        for fault in killed:
            fault.lease.kill(self._stopped_because)
        self._settle()
        return killed

    def release(self) -> None:
        """Accept faults again."""
        self._stopped_because = ""

    async def close(self) -> None:
        """End all faults, accept no more, and deliver the events they held; for the end of the plugin."""
        self._is_closed = True
        self.clear_all(_GONE)
        await self._lanes.flush()

    def expire(self) -> None:
        """Put away what has ended. Nothing depends on it being called: leases are asked at each call."""
        self._settle()

    def _check_room(self, point: Point, experiment: str) -> None:
        if self._stopped_because:
            raise ConflictError(
                f"No faults are let loose now: {self._stopped_because}.", mend="Release the emergency stop first."
            )
        holder = next((fault.experiment for fault in self.active(point) if fault.experiment != experiment), None)
        if holder is not None:
            raise ConflictError(
                f"Another experiment is at {point}.",
                mend="Wait for its end, or clear its faults.",
                facts={"point": str(point), "experiment": holder},
            )
        running = {fault.experiment for fault in self._faults.values()}
        if experiment not in running and len(running) >= MOST_EXPERIMENTS:
            raise ConflictError(f"{MOST_EXPERIMENTS} experiments are running, and no more may.")
        if sum(fault.experiment == experiment for fault in self._faults.values()) >= MOST_FAULTS:
            raise ConflictError(f"An experiment may have {MOST_FAULTS} faults at a time.")

    async def _outlive(self, fault: Fault) -> None:
        """Wait for a fault's end and put it away; a plugin that goes takes its faults along."""
        try:
            await fault.lease.wait(math.inf)
        except asyncio.CancelledError:
            self._is_closed = True
            fault.lease.kill(_GONE)
            raise
        self._settle()

    def _settle(self) -> None:
        """Put away ended faults, forget old ones, and tell when other interceptors are needed."""
        for fault in [fault for fault in self._faults.values() if not fault.lease.is_active]:
            self._ended[fault.id] = self._faults.pop(fault.id)
            fault.forget()
        for fault in list(self._ended.values()):
            if fault.lease.ended_for < _KEPT_FOR and len(self._ended) <= _MOST_KEPT:
                break  # they are in the order of their end
            del self._ended[fault.id]
        at: dict[Point, tuple[Fault, ...]] = {}
        for fault in self._faults.values():
            at[fault.point] = (*at.get(fault.point, ()), fault)
        self._at = at
        used = self._points_in_use()
        if used != self._in_use:
            self._in_use = used
            if not self._is_closed:  # the interceptors go with the plugin
                self._on_change()

    def _points_in_use(self) -> frozenset[Point]:
        used = set(self._at)
        if self._lanes.are_busy:
            used.add(Point.BUS_DELIVER)
        return frozenset(used)
