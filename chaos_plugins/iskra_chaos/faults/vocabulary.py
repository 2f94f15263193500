"""The vocabulary of faults: which kinds each point of the kernel knows."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from iskra_chaos.faults import parameters as p
from iskra_sdk.interceptor import Point


class Family(StrEnum):
    """What a fault does to a call."""

    LATENCY = "latency"
    """It takes longer."""
    CRASH = "crash"
    """It fails."""
    OMISSION = "omission"
    """Some of it never comes."""
    SHAPE = "shape"
    """It comes in a form that does not fit."""
    VALUE = "value"
    """It looks right and is wrong."""
    ORDER = "order"
    """It comes again, or not in its turn."""
    TIME = "time"
    """It comes with a wrong time."""


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One way in which a point can fail.

    Attributes:
        name: As it goes over the wire.
        about: What happens, in one sentence.
        reads_only: Calls with an effect on the world are left alone: they may fail before it, and in no other way.
        needs_sandbox: Only in sessions where nobody relies on what is said.
        is_server_wide: Cannot be limited to some sessions.
    """

    name: str
    family: Family
    parameters: type[p.Parameters]
    about: str
    reads_only: bool = False
    needs_sandbox: bool = False
    is_server_wide: bool = False


_LATENCY = FaultKind("latency", Family.LATENCY, p.Latency, "The call begins late.")
_BANDWIDTH = FaultKind("bandwidth", Family.LATENCY, p.Bandwidth, "Data passes no faster than a thin line lets it.")
_TIMEOUT = FaultKind("timeout", Family.OMISSION, p.Timeout, "Nothing comes, until the connection closes.")
_RESET = FaultKind("reset_peer", Family.CRASH, p.ResetPeer, "The other side resets the connection.")
_LIMIT = FaultKind("limit_data", Family.OMISSION, p.LimitData, "The connection closes after some bytes.")
_DOWN = FaultKind("down", Family.CRASH, p.Parameters, "The connection is refused.")

_ANSWER = (
    _LATENCY,
    _BANDWIDTH,
    _TIMEOUT,
    _RESET,
    _LIMIT,
    _DOWN,
    FaultKind("rate_limited", Family.CRASH, p.RateLimited, "The provider answers 429, with the time to wait."),
    FaultKind("server_error", Family.CRASH, p.ServerError, "The provider answers with a temporary 5xx."),
    FaultKind("empty", Family.OMISSION, p.Parameters, "The answer ends properly and says nothing."),
    FaultKind("truncated", Family.OMISSION, p.Truncated, "The answer is cut as if it had reached its longest length."),
    FaultKind("content_filter", Family.OMISSION, p.Parameters, "The provider's filter withholds the answer."),
    FaultKind("malformed_tool_json", Family.SHAPE, p.Truncated, "The arguments of tool calls are half a JSON object."),
    FaultKind("renamed_field", Family.SHAPE, p.FieldDrift, "A field has another name than it should."),
    FaultKind("missing_field", Family.SHAPE, p.FieldDrift, "A field is left out."),
    FaultKind("wrong_type", Family.SHAPE, p.FieldDrift, "A field has a value of another type."),
    FaultKind("html_body", Family.SHAPE, p.Parameters, "A web page comes with status 200 in place of the answer."),
    FaultKind("hang", Family.OMISSION, p.Hang, "The provider falls silent and keeps the connection open."),
)
_STREAM = (
    *_ANSWER,
    FaultKind("slow_close", Family.LATENCY, p.SlowClose, "The stream is complete and stays open for a while."),
    FaultKind("slicer", Family.LATENCY, p.Slicer, "Text comes in many small pieces."),
    FaultKind("cut_stream", Family.OMISSION, p.AfterChunks, "The stream ends in the middle of the answer."),
    FaultKind("slow_first_token", Family.LATENCY, p.Delay, "The first chunk comes late, the others in time."),
    FaultKind("slow_drip", Family.LATENCY, p.SlowDrip, "Each chunk comes late."),
)
_LIES = tuple(
    FaultKind(name, Family.VALUE, model, about, reads_only=True, needs_sandbox=True)
    for name, model, about in (
        ("stale_result", p.Parameters, "The tool repeats what it returned first for the same arguments."),
        ("wrong_entity", p.AlteredFields, "The tool returns what belongs to something else."),
        ("swapped_fields", p.AlteredFields, "Two values of the result have changed places."),
        ("transposed_digits", p.AlteredFields, "Two neighbouring digits of a number have changed places."),
        ("disagreement", p.AlteredFields, "The result contradicts what an earlier call said of the same thing."),
        ("hidden_instructions", p.HiddenInstructions, "The result holds instructions to the model."),
    )
)
_TOOL = (
    _LATENCY,
    _DOWN,
    _RESET,
    FaultKind("error", Family.CRASH, p.ToolFailure, "The tool fails before it did anything."),
    FaultKind("timeout", Family.OMISSION, p.Timeout, "The tool does not finish in time and did nothing."),
    FaultKind("bandwidth", Family.LATENCY, p.Bandwidth, _BANDWIDTH.about, reads_only=True),
    FaultKind("limit_data", Family.OMISSION, p.LimitData, "The result is cut after some bytes.", reads_only=True),
    FaultKind("empty", Family.OMISSION, p.Parameters, "The result is empty.", reads_only=True),
    *_LIES,
)
_RESULT = (
    FaultKind("limit_data", Family.OMISSION, p.LimitData, "The result is cut after some bytes.", reads_only=True),
    FaultKind("empty", Family.OMISSION, p.Parameters, "The result is empty.", reads_only=True),
    *_LIES,
)
_PUBLISH = (FaultKind("delay", Family.LATENCY, p.BusDelay, "An event reaches the bus late."),)
_DELIVER = (
    FaultKind("delay", Family.LATENCY, p.BusDelay, "An event reaches its handler late, and all behind it too."),
    FaultKind("duplicate", Family.ORDER, p.Duplicate, "A handler gets an event again."),
    FaultKind("reorder", Family.ORDER, p.Reorder, "A handler gets an event after later ones."),
    FaultKind("drop_redeliver", Family.ORDER, p.DropRedeliver, "A delivery is lost and made up for later."),
    FaultKind("partition", Family.ORDER, p.Partition, "Events of one plugin reach another only after a while."),
)
_STORE_SLOW = FaultKind("slow", Family.LATENCY, p.Latency, "The database takes longer.")
_STORE_LOCKED = FaultKind("locked", Family.CRASH, p.Parameters, "The database is locked by somebody else.")
_READ = (
    _STORE_SLOW,
    _STORE_LOCKED,
    FaultKind("error", Family.CRASH, p.Parameters, "The database cannot read its file."),
)
_WRITE = (
    _STORE_SLOW,
    _STORE_LOCKED,
    FaultKind("full", Family.CRASH, p.Parameters, "There is no space left; nothing of the change is written."),
)
_CACHE = (
    _LATENCY,
    FaultKind("miss", Family.OMISSION, p.Parameters, "What was kept is not found."),
    FaultKind(
        "stale", Family.VALUE, p.Parameters, "The first value that the fault saw comes again.", needs_sandbox=True
    ),
    FaultKind("error", Family.CRASH, p.Parameters, "The cache cannot be reached."),
)
_SOCKET = (
    _LATENCY,
    _BANDWIDTH,
    _TIMEOUT,
    _RESET,
    _LIMIT,
    FaultKind("drop", Family.CRASH, p.Parameters, "The connection is lost with the message."),
    FaultKind("slow_consumer", Family.LATENCY, p.SlowConsumer, "The reader is slow to take each message."),
)
_CLOCK = (FaultKind("skew", Family.TIME, p.Skew, "The wall clock is wrong.", is_server_wide=True),)


def _by_name(*kinds: FaultKind) -> Mapping[str, FaultKind]:
    return {kind.name: kind for kind in kinds}


VOCABULARY: Mapping[Point, Mapping[str, FaultKind]] = {
    Point.LLM_REQUEST: _by_name(*_ANSWER),
    Point.LLM_STREAM: _by_name(*_STREAM),
    Point.TOOL_CALL: _by_name(*_TOOL),
    Point.TOOL_RESULT: _by_name(*_RESULT),
    Point.BUS_PUBLISH: _by_name(*_PUBLISH),
    Point.BUS_DELIVER: _by_name(*_DELIVER),
    Point.STORE_READ: _by_name(*_READ),
    Point.STORE_WRITE: _by_name(*_WRITE),
    Point.CACHE_GET: _by_name(*_CACHE),
    Point.WS_SEND: _by_name(*_SOCKET),
    Point.CLOCK: _by_name(*_CLOCK),
}
"""Point → name → kind. The point ``turn`` has no faults of its own."""


def fault_kind(point: Point, name: str) -> FaultKind:
    """Return a kind.

    Raises:
        ValueError: The point does not know it; the message lists what it knows.
    """
    known = VOCABULARY.get(point, {})
    if name not in known:
        raise ValueError(f"{point} knows no fault {name!r}, only {', '.join(sorted(known)) or 'none at all'}")
    return known[name]
