"""Faults as they go over the wire."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from iskra_chaos.faults.fault import Fault
from iskra_chaos.faults.firing import Persistent, Strategy
from iskra_chaos.faults.lease import LONGEST, LeaseState
from iskra_chaos.faults.parameters import Parameters
from iskra_chaos.faults.scope import Scope
from iskra_chaos.faults.vocabulary import FaultKind, fault_kind
from iskra_sdk.interceptor import Point

Label = Annotated[str, Field(max_length=100)]


class FaultScope(BaseModel):
    """For which sessions a fault is meant."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    sessions: Annotated[frozenset[Label], Field(max_length=1000)] = frozenset()
    share: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    label: Label = ""

    @property
    def scope(self) -> Scope:
        """The scope without its wire form."""
        return Scope(self.sessions, self.share, self.label)


class FaultSpec(BaseModel):
    """A fault that somebody wants.

    Attributes:
        ttl: Seconds it lasts if no heartbeat comes.
        experiment: What it belongs to; faults of one experiment may share a point. Empty: an experiment of its own.
        intensity: Of the operation it belongs to, if it does; cuts the share of sessions it may reach.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    point: Point
    kind: Annotated[str, Field(max_length=100)]
    parameters: dict[str, Any] = Field(default_factory=dict)
    strategy: Strategy = Field(default_factory=Persistent)
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    scope: FaultScope = Field(default_factory=FaultScope)
    ttl: Annotated[float, Field(gt=0.0, le=LONGEST)] = 10.0
    experiment: Label = ""
    intensity: Annotated[float, Field(ge=0.1, le=1.0)] | None = None

    @model_validator(mode="after")
    def _fits_the_vocabulary(self) -> Self:
        fault_kind(self.point, self.kind).parameters.model_validate(self.parameters)
        return self

    @property
    def fault_kind(self) -> FaultKind:
        """What it does."""
        return fault_kind(self.point, self.kind)

    @property
    def validated_parameters(self) -> Parameters:
        """The parameters with their defaults."""
        return self.fault_kind.parameters.model_validate(self.parameters)


class FaultRequest(FaultSpec):
    """The body of ``POST /api/v1/chaos/faults``.

    Attributes:
        clearance: The signed token that lets it happen.
    """

    # FastAPI warns of an alias of its own where it meets a body that is not built yet.
    model_config = ConfigDict(defer_build=False)

    clearance: Annotated[str, Field(max_length=10_000)] = ""


class FaultLease(BaseModel):
    """A fault and what it did so far.

    Attributes:
        expires_at: By the wall clock, for people; ``expires_in`` are the seconds left by the one that cannot jump.
        share: The share of sessions it may reach, after what the environment allows.
        requested: Calls that passed the point while it was active, in its scope.
        applied: Calls that its rule chose.
        observed: Calls whose caller was seen to get the effect.
        reason: Why it ended; empty while it is active.
    """

    model_config = ConfigDict(defer_build=True)

    id: str
    point: Point
    kind: str
    parameters: dict[str, Any]
    strategy: Strategy
    seed: int
    experiment: str
    share: float
    state: LeaseState
    expires_at: datetime
    expires_in: float
    requested: int
    applied: int
    observed: int
    reason: str

    @classmethod
    def of(cls, fault: Fault) -> Self:
        """Return a fault as it stands now."""
        lease = fault.lease
        return cls(
            id=fault.id,
            point=fault.point,
            kind=fault.kind.name,
            parameters=fault.parameters.model_dump(mode="json"),
            strategy=fault.strategy,
            seed=fault.seed,
            experiment=fault.experiment,
            share=fault.radius.share,
            state=lease.state,
            expires_at=lease.expires_at,
            expires_in=lease.remaining,
            requested=lease.requested,
            applied=lease.applied,
            observed=lease.observed,
            reason=lease.reason,
        )
