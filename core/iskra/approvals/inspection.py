"""Looks at a tool call for the person who decides on it: its preview, and the outside state it is bound to."""

import asyncio
import inspect
from collections.abc import Mapping

from pydantic_core import to_json

from iskra.approvals.chat import visible
from iskra_sdk.errors import ToolError
from iskra_sdk.tool import Inspection, Tool

INSPECTION_TIMEOUT = 10.0  # seconds
LONGEST_PREVIEW = 20_000  # characters


async def fingerprint_of(tool: Tool, arguments: Mapping[str, object]) -> str:
    """Return the digest of the outside state a call is bound to; empty if the tool has none.

    Raises:
        ToolError: The tool could not look at it.
    """
    return "" if tool.fingerprint is None else await _inspect(tool, tool.fingerprint, arguments)


async def preview_of(tool: Tool, arguments: Mapping[str, object]) -> str:
    """Return the call as a person sees it: the tool's own preview, or its name and arguments.

    Raises:
        ToolError: The tool could not render it.
    """
    if tool.preview is None:
        text = f"{tool.name} {to_json(arguments, indent=2).decode()}"
    else:
        text = await _inspect(tool, tool.preview, arguments)
    text = visible(text)
    if len(text) > LONGEST_PREVIEW:
        text = f"{text[:LONGEST_PREVIEW]}\n… {len(text) - LONGEST_PREVIEW} more characters"
    return text


async def _inspect(tool: Tool, inspection: Inspection, arguments: Mapping[str, object]) -> str:
    try:
        async with asyncio.timeout(INSPECTION_TIMEOUT):
            if inspect.iscoroutinefunction(inspection):
                found = await inspection(arguments)
            else:
                found = await asyncio.to_thread(inspection, arguments)
            return str(await found if inspect.isawaitable(found) else found)
    except ToolError:
        raise
    except TimeoutError as exc:
        raise ToolError(f"The tool {tool.name!r} took too long to describe the call.") from exc
    except Exception as exc:
        raise ToolError(f"The tool {tool.name!r} could not describe the call: {exc}.") from exc
