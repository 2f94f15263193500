"""Faults on the server, held by a heartbeat: whoever stops beating has undone them."""

import asyncio
import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from iskra_chaos.experiments.errors import ActivityError
from iskra_chaos.experiments.files.extension import DeclaredFault
from iskra_chaos.experiments.undo import to_the_end
from iskra_sdk.client import AsyncIskraClient
from iskra_sdk.errors import BusyError, IskraError, NotFoundError

logger = logging.getLogger(__name__)

FAULTS = "/api/v1/chaos/faults"

HEARTBEAT = 1.0
"""Seconds between two heartbeats; the server lets a fault go 3 s after the last one."""

_PATIENCE = 3.0
"""Heartbeats that may go without an answer, in a row and in their time; the server has let the fault go by then."""

_BEAT_TIMEOUT = 2.0
_RELEASE_ATTEMPTS = 4
_RELEASE_PAUSE = 0.25  # seconds before the second attempt, doubled each time


@dataclass(slots=True)
class Lease:
    """One fault as far as it is known here.

    Attributes:
        id: The server's name for it; empty before it was granted.
        state: ``asked``, ``active``, ``cleared``, ``lost`` (the server ended it), ``unreachable`` (no heartbeat is
            answered any more) or ``refused``.
        requested: Calls that passed the point while the fault was active and in scope.
        applied: Calls where it fired.
        observed: Calls where the effect was seen to reach the caller.
        reason: Why it ended, in the server's words.
        beats: Heartbeats that were answered.
    """

    spec: DeclaredFault
    id: str = ""
    state: str = "asked"
    requested: int = 0
    applied: int = 0
    observed: int = 0
    reason: str = ""
    beats: int = 0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to take back."""
        return self.state in ("cleared", "lost", "refused")

    def summary(self) -> dict[str, Any]:
        """Return what the journal keeps."""
        return {
            "name": self.spec.title,
            "point": self.spec.point,
            "kind": self.spec.kind,
            "id": self.id,
            "state": self.state,
            "requested": self.requested,
            "applied": self.applied,
            "observed": self.observed,
            "minimum_observed": self.spec.minimum_observed,
            "operation": self.spec.operation,
            "reason": self.reason,
            "heartbeats": self.beats,
        }

    def _read(self, answer: Mapping[str, Any]) -> None:
        for counter in ("requested", "applied", "observed"):
            value = answer.get(counter)
            if isinstance(value, int):
                # A late answer must not take counts back.
                setattr(self, counter, max(getattr(self, counter), value))
        self.reason = str(answer.get("reason") or answer.get("ended_reason") or self.reason)


class FaultLeases:
    """Asks for faults, keeps them and takes them back.

    Args:
        client: Talks to the server under test.
        experiment: Faults of one experiment may share a point.
        heartbeat: Seconds between two heartbeats.
        on_lost: Called when the server has ended a fault that should still be there, or answers no heartbeat.
    """

    def __init__(
        self,
        client: AsyncIskraClient,
        experiment: str,
        *,
        heartbeat: float = HEARTBEAT,
        on_lost: Callable[[Lease], None] | None = None,
    ) -> None:
        self._client = client
        self._experiment = experiment
        self._heartbeat = heartbeat
        self.on_lost = on_lost

    async def acquire(
        self,
        lease: Lease,
        *,
        sessions: Sequence[str] = (),
        label: str = "",
        clearance: str = "",
        parameters: Any = None,
    ) -> None:
        """Ask for the fault of a lease.

        Args:
            lease: In the state ``asked``; ``active`` afterwards.
            sessions: Added to the scope.
            label: Used when the fault names none.
            clearance: The token, with its variables filled.
            parameters: The parameters, with their variables filled.

        Raises:
            ActivityError: The server refused it, e.g. as the point belongs to another experiment.
            asyncio.CancelledError: The caller was cancelled; the lease knows whether the fault is there.
        """
        spec = lease.spec
        scope = {
            "sessions": [*spec.scope.sessions, *sessions],
            "share": spec.scope.share,
            "label": spec.scope.label or label,
        }
        body = {
            "point": spec.point,
            "kind": spec.kind,
            "parameters": spec.parameters if parameters is None else parameters,
            "strategy": spec.strategy,
            "seed": spec.seed,
            "intensity": spec.intensity,
            "scope": scope,
            "ttl": spec.ttl,
            "experiment": self._experiment,
            "clearance": clearance,
        }
        try:
            # Once it is asked for it may be there, so a cancellation waits until its name is known.
            asked = asyncio.ensure_future(self._client.request("POST", FAULTS, body))
            was_cancelled = await to_the_end(asked)
            answer = asked.result()
        except IskraError as exc:
            lease.state, lease.reason = "refused", exc.message
            raise ActivityError(f"The server did not take the fault {spec.title!r}: {exc.message}") from exc
        lease.id = str(answer.get("id", ""))
        if not lease.id:
            lease.state = "refused"
            raise ActivityError(f"The server's answer about the fault {spec.title!r} names no lease.")
        lease.state = "active"
        lease._read(answer)
        if was_cancelled:
            raise asyncio.CancelledError

    async def keep(self, lease: Lease) -> None:
        """Send heartbeats until cancelled, until the fault is over, or until none was answered for the lease's time."""
        loop = asyncio.get_running_loop()
        due = answered = loop.time()
        while not lease.is_over:
            due = max(due + self._heartbeat, loop.time())
            await asyncio.sleep(due - loop.time())
            cause = await self._beat(lease)
            if not cause:
                answered = loop.time()
            elif loop.time() - answered >= _PATIENCE * self._heartbeat:
                self._give_up(lease, loop.time() - answered, cause)
                return

    def _give_up(self, lease: Lease, seconds: float, cause: str) -> None:
        if lease.is_over:
            return
        lease.state = "unreachable"
        lease.reason = f"no heartbeat was answered for {seconds:.1f} s ({cause})"
        if self.on_lost is not None:
            self.on_lost(lease)

    async def _beat(self, lease: Lease) -> str:
        """Send one heartbeat; return why it got no good answer, empty if it did or the fault is over."""
        async with lease._turn:
            if lease.is_over:
                return ""
            try:
                async with asyncio.timeout(_BEAT_TIMEOUT):
                    answer = await self._client.request("POST", f"{FAULTS}/{lease.id}/heartbeat")
            except NotFoundError:
                lease.state = "lost"
            except (IskraError, TimeoutError) as exc:
                logger.warning("heartbeat failed", extra={"fault": lease.spec.title, "cause": type(exc).__name__})
                return type(exc).__name__
            else:
                lease.beats += 1
                lease._read(answer)
                if answer.get("state", "active") == "active":
                    return ""
                lease.state = "lost"
        await self.refresh([lease])
        if self.on_lost is not None:
            self.on_lost(lease)
        return ""

    async def release(self, lease: Lease) -> None:
        """End a fault. Ending one that is over does nothing.

        Raises:
            ActivityError: The server did not confirm it; it lets the fault go when the heartbeats stop. Of a fault
                whose heartbeats stopped for lack of answers this is no failure.
        """
        async with lease._turn:
            if lease.is_over or not lease.id:
                return
            for attempt in itertools.count(1):
                try:
                    lease._read(await self._client.request("DELETE", f"{FAULTS}/{lease.id}"))
                except NotFoundError:
                    pass
                except IskraError as exc:
                    if lease.state == "unreachable" and lease.beats:
                        logger.warning("fault was left to its lease", extra={"fault": lease.spec.title})
                        lease.state = "lost"
                        return
                    if attempt < _RELEASE_ATTEMPTS and isinstance(exc, BusyError):
                        await asyncio.sleep(_RELEASE_PAUSE * 2.0 ** (attempt - 1))
                        continue
                    raise ActivityError(f"The fault {lease.spec.title!r} could not be ended: {exc.message}") from exc
                lease.state = "cleared"
                return

    async def refresh(self, leases: Sequence[Lease]) -> None:
        """Read the counters of leases, also of ended ones; what cannot be read stays as it is."""
        if not any(lease.id for lease in leases):
            return
        try:
            listed = (await self._client.request("GET", FAULTS)).get("faults")
        except IskraError as exc:
            logger.warning("counters of faults could not be read", extra={"cause": exc.code})
            return
        by_id = {str(item.get("id")): item for item in listed or () if isinstance(item, Mapping)}
        for lease in leases:
            if lease.id in by_id:
                lease._read(by_id[lease.id])

    async def remaining(self) -> list[str]:
        """Return what the server still has at work of this experiment, as point and kind; none if it does not say."""
        try:
            listed = (await self._client.request("GET", FAULTS)).get("faults")
        except IskraError:
            return []
        return [
            f"{item.get('point')} {item.get('kind')}"
            for item in listed or ()
            if isinstance(item, Mapping)
            and item.get("experiment") == self._experiment
            and item.get("state") == "active"
        ]
