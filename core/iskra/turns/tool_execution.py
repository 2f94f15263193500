"""Runs one tool, whatever it does: raise, never return, or ignore that it is cancelled."""

import asyncio
import inspect
import logging
from typing import TypeAlias

from iskra.turns.tool_call import ToolJob, bounded, failure
from iskra.turns.turn_services import TurnServices
from iskra_sdk.errors import IskraError, ToolError, ToolTimeoutError
from iskra_sdk.message import ToolResult
from iskra_sdk.tool import Tool, ToolContext, ToolInvocation

logger = logging.getLogger(__name__)

CANCEL_GRACE = 2.0
"""Seconds a cancelled tool gets to end before it is left to itself."""

Running: TypeAlias = "asyncio.Task[ToolResult | BaseException]"

_abandoned: set[Running] = set()
"""Tools that ignored their cancellation, kept so that they are not collected while they run."""


async def execute(job: ToolJob, context: ToolContext, services: TurnServices) -> ToolResult:
    """Run a prepared call; whatever goes wrong becomes a result, for this is where plugin code is called."""
    tool, arguments = job.ready
    try:
        result = await _invoke(ToolInvocation(tool, arguments, context), job.plugin, services)
    except IskraError as exc:
        result = failure(exc)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        result = failure(ToolError(f"The tool {tool.name!r} cancelled itself."))
    except BaseException as exc:
        services.record_failure(job.plugin, exc)
        logger.warning("tool raised", extra={"tool": tool.name, "plugin": job.plugin}, exc_info=exc)
        result = failure(ToolError(f"The tool {tool.name!r} failed: {type(exc).__name__}: {exc}"))
    return bounded(result)


async def _invoke(invocation: ToolInvocation, plugin: str, services: TurnServices) -> ToolResult:
    async def run(payload: ToolInvocation) -> ToolResult:
        return await _run_in_time(payload, plugin, services)

    chain = services.tool_call.chain
    result: ToolResult = await (run(invocation) if chain is None else chain(invocation, run))
    if services.tool_result.chain is not None:
        result = await services.tool_result.chain(result, _same)
    return result


async def _same(result: ToolResult) -> ToolResult:
    return result


async def _run_in_time(invocation: ToolInvocation, plugin: str, services: TurnServices) -> ToolResult:
    """Run a tool in a task of its own, so that one that ignores its cancellation holds up nobody."""
    tool = invocation.tool
    task = asyncio.create_task(_outcome(invocation), name=f"tool {tool.name}")
    try:
        done, _ = await asyncio.wait((task,), timeout=tool.timeout)
    except asyncio.CancelledError:
        await _end(task, tool, plugin, services)
        raise
    if done:
        outcome = task.result()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome
    has_ended = await _end(task, tool, plugin, services)
    left = ""
    if not has_ended:
        left = " It does not let itself be cancelled and may still be running."
    elif not inspect.iscoroutinefunction(tool.function):
        left = " It runs in a thread, which cannot be stopped, and may still be running."
    raise ToolTimeoutError(
        f"The tool {tool.name!r} did not finish within {tool.timeout:g} seconds.{left}", mend="Ask for less at once."
    )


async def _outcome(invocation: ToolInvocation) -> ToolResult | BaseException:
    """Return what a tool returned or raised: a task that raises ``SystemExit`` would end the event loop."""
    try:
        return await invocation.tool.run(invocation.arguments, invocation.context)
    except asyncio.CancelledError:
        raise
    except BaseException as exc:
        return exc


async def _end(task: Running, tool: Tool, plugin: str, services: TurnServices) -> bool:
    """Cancel a tool and wait for its end, but not for long; return whether it ended."""
    task.cancel()
    done, _ = await asyncio.wait((task,), timeout=CANCEL_GRACE)
    if done:
        return True
    _abandoned.add(task)
    task.add_done_callback(_abandoned.discard)
    error = ToolTimeoutError(f"The tool {tool.name!r} ignored its cancellation.")
    services.record_failure(plugin, RuntimeError(str(error)))
    logger.warning("tool ignores its cancellation", extra={"tool": tool.name, "plugin": plugin})
    return False
