"""Faults of tools: calls that fail before they did anything, and results that are cut, empty or wrong.

A call with an effect on the world may be late or fail *before* the effect, and nothing else: a result that was
changed after it would let a model repeat what was done.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from iskra_chaos.faults import lies
from iskra_chaos.faults.attribution import current_invocation
from iskra_chaos.faults.delay import latency_seconds
from iskra_chaos.faults.disagreement import disagree, remember
from iskra_chaos.faults.fault import INJECTED, Fault, Shot
from iskra_chaos.faults.injection import Inject, Watch
from iskra_chaos.faults.parameters import (
    AlteredFields,
    Bandwidth,
    HiddenInstructions,
    LimitData,
    ResetPeer,
    Timeout,
    ToolFailure,
)
from iskra_sdk.approval import canonical_arguments
from iskra_sdk.errors import ToolError, ToolTimeoutError
from iskra_sdk.interceptor import Proceed
from iskra_sdk.message import ToolResult
from iskra_sdk.tool import ToolInvocation

Alter = Callable[[Shot, ToolResult], ToolResult]
_MOST_KEPT = 256
"""Results one fault keeps, to replay them; later ones are not kept."""


def _too_late(shot: Shot, invocation: ToolInvocation) -> ToolTimeoutError:
    tool = invocation.tool
    return shot.injected(ToolTimeoutError(f"The tool {tool.name!r} did not finish within {tool.timeout:g} seconds."))


async def _late(shot: Shot, invocation: ToolInvocation, proceed: Proceed) -> ToolResult:
    """Run late; what would not be done within the tool's time is not begun."""
    seconds = latency_seconds(shot)
    if seconds >= invocation.tool.timeout and await shot.wait(invocation.tool.timeout):
        raise _too_late(shot, invocation)
    if seconds < invocation.tool.timeout:
        await shot.wait(seconds)
    result: ToolResult = await proceed(invocation)
    return result


async def _time_out(shot: Shot, invocation: ToolInvocation, proceed: Proceed) -> ToolResult:
    limit = invocation.tool.timeout
    if await shot.wait(min(shot.parameters(Timeout).timeout / 1000.0 or limit, limit)):
        raise _too_late(shot, invocation)
    result: ToolResult = await proceed(invocation)
    return result


async def _reset(shot: Shot, invocation: ToolInvocation, proceed: Proceed) -> ToolResult:
    if await shot.wait(min(shot.parameters(ResetPeer).timeout / 1000.0, invocation.tool.timeout)):
        raise shot.injected(ToolError("The service behind this tool reset the connection."))
    result: ToolResult = await proceed(invocation)
    return result


async def _refuse(shot: Shot, invocation: ToolInvocation, proceed: Proceed) -> ToolResult:
    raise shot.injected(ToolError("The service behind this tool refused the connection."))


async def _fail(shot: Shot, invocation: ToolInvocation, proceed: Proceed) -> ToolResult:
    raise shot.injected(ToolError(shot.parameters(ToolFailure).message))


async def _trickle(shot: Shot, invocation: ToolInvocation, proceed: Proceed) -> ToolResult:
    result: ToolResult = await proceed(invocation)
    seconds = len(result.content.encode(errors="surrogatepass")) / (shot.parameters(Bandwidth).rate * 1000.0)
    limit = invocation.tool.timeout
    if await shot.wait(min(seconds, limit)) and seconds >= limit:
        raise _too_late(shot, invocation)
    return result


def _cut(shot: Shot, result: ToolResult) -> ToolResult:
    encoded = result.content.encode(errors="surrogatepass")
    content = encoded[: shot.parameters(LimitData).bytes].decode(errors="ignore")
    return result if content == result.content else replace(result, content=content, data=None)


def _empty(shot: Shot, result: ToolResult) -> ToolResult:
    return replace(result, content="", data=None)


def _stale(shot: Shot, result: ToolResult) -> ToolResult:
    """Return the first result for the same arguments."""
    kept = shot.fault.memory.get(_key())
    return kept if isinstance(kept, ToolResult) else result


def _wrong_entity(shot: Shot, result: ToolResult) -> ToolResult:
    """Return a result of the same tool for other arguments, or alter what says whom this one is about."""
    mine = _key()
    others = [
        kept
        for key, kept in shot.fault.memory.items()
        if isinstance(key, tuple) and key[:2] == mine[:2] and key != mine and isinstance(kept, ToolResult)
    ]
    if others:
        return others[int(shot.draw("other") * len(others))]
    return lies.name_another(result, shot.parameters(AlteredFields).fields, shot.draw)


def _swapped(shot: Shot, result: ToolResult) -> ToolResult:
    return lies.swap_fields(result, shot.parameters(AlteredFields).fields, shot.draw)


def _transposed(shot: Shot, result: ToolResult) -> ToolResult:
    return lies.transpose_digits(result, shot.parameters(AlteredFields).fields, shot.draw)


def _with_instructions(shot: Shot, result: ToolResult) -> ToolResult:
    return lies.hide_instructions(result, shot.parameters(HiddenInstructions).text)


def _key() -> tuple[str, str, str]:
    invocation = current_invocation()
    if invocation is None:
        return ("", "", "")
    return (invocation.context.session_id, invocation.tool.name, canonical_arguments(invocation.arguments))


def keep(fault: Fault, payload: Any, result: Any) -> None:
    """Keep the first result for each tool and arguments of a session, to be replayed later."""
    if isinstance(result, ToolResult) and not result.is_error and len(fault.memory) < _MOST_KEPT:
        fault.memory.setdefault(_key(), result)


def _ignore(fault: Fault, payload: Any, result: Any) -> None:
    """Keep nothing, for kinds that replay nothing."""


def _altering(alter: Alter) -> Inject:
    """Return an injector that alters results and marks what it altered; errors stay what they are."""

    async def inject(shot: Shot, payload: Any, proceed: Proceed) -> ToolResult:
        result: ToolResult = await proceed(payload)
        if result.is_error or not shot.is_active:
            return result
        altered = alter(shot, result)
        WATCHES.get(shot.fault.kind.name, _ignore)(shot.fault, payload, result)
        if (altered.content, altered.data) == (result.content, result.data):
            return result
        shot.observe()
        mark = {"id": shot.fault.id, "kind": shot.fault.kind.name}
        return replace(altered, metadata={**altered.metadata, INJECTED: mark, "no_store": True})

    return inject


RESULTS: Mapping[str, Inject] = {
    "limit_data": _altering(_cut),
    "empty": _altering(_empty),
    "stale_result": _altering(_stale),
    "wrong_entity": _altering(_wrong_entity),
    "swapped_fields": _altering(_swapped),
    "transposed_digits": _altering(_transposed),
    "disagreement": _altering(disagree),
    "hidden_instructions": _altering(_with_instructions),
}
"""Faults of ``tool.result``."""

CALLS: Mapping[str, Inject] = {
    **RESULTS,
    "latency": _late,
    "timeout": _time_out,
    "reset_peer": _reset,
    "down": _refuse,
    "error": _fail,
    "bandwidth": _trickle,
}
"""Faults of ``tool.call``."""

WATCHES: Mapping[str, Watch] = {"stale_result": keep, "wrong_entity": keep, "disagreement": remember}
"""Kinds that replay what was before."""
