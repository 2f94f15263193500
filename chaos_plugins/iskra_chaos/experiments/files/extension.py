"""What an experiment file may say beyond the Chaos Toolkit, under ``extensions: [{name: iskra, ...}]``."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from iskra_chaos.ethics.operation import OperationType
from iskra_chaos.faults.resilience_form import combinations_of, faults_of
from iskra_chaos.faults.scope import Environment, largest_share
from iskra_sdk.interceptor import Point

MAX_CLIENTS = 256
MAX_REQUESTS = 1_000_000
MAX_SESSIONS = 1000
MAX_SECONDS = 86_400.0

Arm = Literal["control", "experiment"]
Seconds = Annotated[float, Field(ge=0.0, le=MAX_SECONDS)]


class _Block(BaseModel):
    # A misspelt guard must not be a missing guard.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


class Scope(_Block):
    """Whose calls a fault meets.

    Attributes:
        sessions: Ids; empty is every session.
        share: Part of the eligible sessions, in (0, 1].
        label: Only what carries this label.
        experiment_arm: Whether the sessions of the experiment arm, or the label of its requests, are added. Turned off
            for faults that cannot be limited, such as a wrong clock.
    """

    sessions: list[str] = Field(default_factory=list, max_length=MAX_SESSIONS)
    share: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    label: str = ""
    experiment_arm: bool = True


class DeclaredFault(_Block):
    """A fault that the server applies for as long as its lease is renewed.

    Attributes:
        point: Where, e.g. ``llm.request``.
        kind: What, e.g. ``error_429``.
        parameters: Of the kind.
        strategy: When it fires, e.g. ``{"name": "intermittent", "probability": 0.3}``.
        seed: The same seed meets the same calls.
        name: What the journal and the report call it; by default point and kind.
        ttl: Seconds the server keeps it without a first heartbeat. A runner that is killed before that leaves its fault
            behind for so long.
        clearance: The token of an ethics review, usually ``${clearance}``.
        starts_after: Seconds from the beginning of the method.
        lasts: Seconds it stays; by default until the hypothesis has been checked after the method.
        minimum_observed: Fewer observed effects than this make the verdict ``invalid``.
        on_lost: What happens when the server ends the fault by itself.
        intensity: Of the operation it belongs to; cuts the share of sessions that it may reach.
        operation: What the operation is called; of its faults one has to be observed.
    """

    point: str = Field(min_length=1)
    kind: str = Field(min_length=1)
    parameters: dict[str, Any] = Field(default_factory=dict)
    strategy: dict[str, Any] = Field(default_factory=lambda: {"name": "persistent"})
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    scope: Scope = Field(default_factory=Scope)
    name: str = ""
    ttl: Annotated[float, Field(ge=1.0, le=60.0)] = 3.0
    clearance: str = ""
    starts_after: Seconds = 0.0
    lasts: Seconds | None = None
    minimum_observed: Annotated[int, Field(ge=0)] = 1
    on_lost: Literal["abort", "continue"] = "abort"
    intensity: Annotated[float, Field(ge=0.1, le=1.0)] | None = None
    operation: str = ""

    @property
    def title(self) -> str:
        """What people call it."""
        return self.name or f"{self.point} {self.kind}"


class DeclaredOperation(_Block):
    """An operation in its resilience form: which faults it lets loose follows from its intensity.

    Attributes:
        type: Which one.
        intensity: In [0.1, 1].
        point: Where, for ``micro_disturbance`` and ``pattern_break``; a streamed model call by default.
        combination: Which combination of faults ``emergent_stimulation`` tries, counted from 0; after the last one
            comes the first again.
        seed: Chooses among kinds of faults, and the calls that they meet.
        scope: By default as many sessions as the intensity allows.
    """

    type: OperationType
    intensity: Annotated[float, Field(ge=0.1, le=1.0)] = 0.3
    point: Point | None = None
    combination: Annotated[int, Field(ge=0)] = 0
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    scope: Scope | None = None
    name: str = ""
    ttl: Annotated[float, Field(ge=1.0, le=60.0)] = 3.0
    clearance: str = ""
    starts_after: Seconds = 0.0
    lasts: Seconds | None = None

    @model_validator(mode="after")
    def _has_faults(self) -> Self:
        self.faults()  # a point that has nothing to offer is refused before anything runs
        return self

    def faults(self) -> list[DeclaredFault]:
        """Return its faults."""
        if self.type == "emergent_stimulation":
            combinations = combinations_of(self.intensity, seed=self.seed)
            found = combinations[self.combination % len(combinations)]
        else:
            found = faults_of(self.type, self.intensity, seed=self.seed, point=self.point)
        called = self.name or self.type
        scope = self.scope or Scope(share=largest_share(Environment.TEST, self.intensity))
        return [
            DeclaredFault(
                point=fault.point,
                kind=fault.kind,
                parameters=fault.parameters,
                strategy=fault.strategy.model_dump(mode="json"),
                seed=fault.seed,
                # A clock is the whole server's.
                scope=Scope(experiment_arm=False) if fault.point is Point.CLOCK else scope,
                name=f"{called}: {fault.point} {fault.kind}",
                ttl=self.ttl,
                clearance=self.clearance,
                starts_after=self.starts_after,
                lasts=self.lasts,
                minimum_observed=0,
                intensity=fault.intensity,
                operation=called,
            )
            for fault in found
        ]


class Guard(_Block):
    """A limit that is watched during the whole method; a hit ends the experiment at once.

    Either a probe with a tolerance, or a measure of the load with a bound.

    Attributes:
        name: What the verdict calls it.
        probe: An activity; one that fails counts as a hit, since nobody knows then.
        tolerance: What the probe may return.
        measure: Of the load: share of failed requests, 99th percentile in seconds, that percentile by the control
            arm's, or requests sent.
        arm: Whose requests are measured.
        most: Upper bound of the measure.
        at_least_requests: Requests of the arm before the measure is judged.
        every: Seconds between two looks.
        for_seconds: Seconds that the limit must be passed without a break; written ``for``.
    """

    name: str = Field(min_length=1)
    probe: dict[str, Any] | None = None
    tolerance: Any = None
    measure: Literal["error_rate", "p99", "p99_ratio", "requests"] | None = None
    arm: Arm = "experiment"
    most: float | None = None
    at_least_requests: Annotated[int, Field(ge=1)] = 20
    every: Annotated[float, Field(ge=0.01, le=3600.0)] = 1.0
    for_seconds: Annotated[Seconds, Field(alias="for")] = 0.0

    @model_validator(mode="after")
    def _is_one_of_two(self) -> Self:
        if (self.probe is None) == (self.measure is None):
            raise ValueError("a guard has either a probe or a measure")
        if self.measure is not None and self.most is None:
            raise ValueError("a guard with a measure needs a bound, `most`")
        if self.probe is not None and self.tolerance is None and "tolerance" not in self.probe:
            raise ValueError("a guard with a probe needs a tolerance")
        return self


class Arms(_Block):
    """How the load is split into requests that meet the faults and requests that do not.

    Attributes:
        by: Whole sessions, chosen by their hash, or single requests in turn. Of a labelled request our server's faults
            meet model calls, tools, the store and caches within its turn; events and WebSockets know sessions alone.
        share: Part of the experiment arm, strictly between 0 and 1.
        label: What the requests of the experiment arm carry.
        header: The header that carries it, for ``http``; another service may expect another one.
        seed: Another seed chooses other sessions.
    """

    by: Literal["session", "request"] = "session"
    share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    label: str = "experiment"
    header: str = "X-Iskra-Labels"
    seed: int = 0


class Load(_Block):
    """Clients that each send a request, wait for the answer, and send the next.

    In ``path``, ``headers``, ``body``, ``text``, ``model`` and ``expect`` the names ``${session}``, ``${client}``,
    ``${request}`` (a number that counts up) and ``${message}`` (unique) are replaced.

    Attributes:
        kind: ``http`` sends requests, ``chat`` asks through the client of the sdk.
        path: Of the server under test, for ``http``.
        text: The message, for ``chat``.
        model: Who answers, for ``chat``.
        clients: How many at once.
        sessions: How many sessions they share; at least one for each client.
        create_sessions: Whether the server makes the sessions first; for ``chat`` it always does.
        session_metadata: Of the sessions that are made.
        ramp_up: Seconds until the last client starts.
        duration: Seconds of load; with ``requests`` whichever comes first.
        requests: Requests in all.
        think_time: Seconds a client waits between an answer and its next request.
        timeout: Seconds until a request counts as failed.
        expect: What an answer must be to count as a success; by default any status below 400.
    """

    kind: Literal["http", "chat"] = "http"
    path: Annotated[str, Field(pattern="^/")] = "/"
    method: str = "GET"
    headers: dict[str, str] = Field(default_factory=dict)
    body: Any = None
    text: str = "Say yes."
    model: str | None = None
    clients: Annotated[int, Field(ge=1, le=MAX_CLIENTS)] = 4
    sessions: Annotated[int, Field(ge=0, le=MAX_SESSIONS)] = 0
    create_sessions: bool = False
    session_metadata: dict[str, Any] = Field(default_factory=dict)
    ramp_up: Seconds = 0.0
    duration: Annotated[float, Field(gt=0.0, le=MAX_SECONDS)] | None = None
    requests: Annotated[int, Field(ge=1, le=MAX_REQUESTS)] | None = None
    think_time: Seconds = 0.0
    timeout: Annotated[float, Field(gt=0.0, le=3600.0)] = 30.0
    expect: Any = None

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.duration is None and self.requests is None:
            raise ValueError("a load needs a `duration` or a number of `requests`")
        return self


class Sequential(_Block):
    """Stops the load as soon as its error rate is known to be too high; see ``SequentialTest``.

    Attributes:
        stop_when_accepted: Whether a rate that is known to be good ends the load too.
    """

    p0: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.005
    p1: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.02
    alpha: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.05
    beta: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.05
    arm: Arm = "experiment"
    stop_when_accepted: bool = False

    @model_validator(mode="after")
    def _is_ordered(self) -> Self:
        if self.p0 >= self.p1:
            raise ValueError("p0, the acceptable error rate, must be below p1")
        return self


class Recovery(_Block):
    """How long the steady state may take to come back after everything has been undone.

    Attributes:
        within: Seconds.
        every: Seconds between two checks.
    """

    within: Seconds = 10.0
    every: Annotated[float, Field(ge=0.01, le=60.0)] = 0.5


class IskraExtension(_Block):
    """Our own part of an experiment.

    Attributes:
        level: How hard it is on the server, 1 to 3: its weight in the resilience score, and how long a server rests
            afterwards before a scheduled one.
        faults: Applied from the beginning of the method, undone on every exit.
        operations: Their faults likewise.
        guards: Watched during the method.
        load: Runs beside the method's activities; the method ends when both have ended.
        arms: Without them every request belongs to the experiment arm.
        sequential: Watches the load.
        expect: Probes with a tolerance, judged after the method while the faults are still there.
        evidence: Tolerances by the name of an activity of the method or an expectation. What it returned must be within
            it, or what the experiment does was not seen to happen, and the verdict is ``invalid``. For faults that the
            server does not count: a process that is killed, a provider that is taken away.
        undo: Activities by the name of the action that they take back; run on every exit if the action was started.
        recovery: Of the steady state.
        time_limit: Seconds from the start until the experiment is aborted.
    """

    name: Literal["iskra"] = "iskra"
    level: Annotated[int, Field(ge=1, le=3)] = 1
    faults: list[DeclaredFault] = Field(default_factory=list, max_length=16)
    operations: list[DeclaredOperation] = Field(default_factory=list, max_length=3)
    guards: list[Guard] = Field(default_factory=list, max_length=64)
    load: Load | None = None
    arms: Arms | None = None
    sequential: Sequential | None = None
    expect: list[dict[str, Any]] = Field(default_factory=list, max_length=64)
    evidence: dict[str, Any] = Field(default_factory=dict, max_length=64)
    undo: dict[str, dict[str, Any]] = Field(default_factory=dict)
    recovery: Recovery = Field(default_factory=Recovery)
    time_limit: Annotated[float, Field(gt=0.0, le=MAX_SECONDS)] = 3600.0

    @model_validator(mode="after")
    def _has_what_it_measures(self) -> Self:
        if self.load is None and (self.sequential or self.arms or any(guard.measure for guard in self.guards)):
            raise ValueError("arms, a sequential test and guards with a measure need a `load`")
        return self

    @property
    def all_faults(self) -> list[DeclaredFault]:
        """The faults, and those of the operations."""
        return [*self.faults, *(fault for operation in self.operations for fault in operation.faults())]
