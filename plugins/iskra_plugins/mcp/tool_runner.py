"""The agent that runs one tool for an MCP client, so that the call is a turn like any other."""

from collections.abc import AsyncIterator, Sequence

from pydantic_core import from_json

from iskra_sdk import Agent, Turn, TurnEvent
from iskra_sdk.errors import BadInputError, ToolError

TOOL_RUNNER = "mcp-tool-runner"


class ToolRunner(Agent):
    """Runs the tool call that its input is, as JSON.

    Args:
        tools: Globs of the tools it may run.
    """

    name = TOOL_RUNNER
    description = "Runs a single tool call of an MCP client; its input is JSON."

    def __init__(self, tools: Sequence[str]) -> None:
        self.tools = tuple(tools)

    async def run(self, turn: Turn) -> AsyncIterator[TurnEvent]:
        try:
            call = from_json(turn.input.text)
            name, arguments = str(call["tool"]), dict(call["arguments"])
        except (ValueError, TypeError, KeyError) as exc:
            raise BadInputError(
                "This agent takes only tool calls that MCP clients make.", mend="Talk to another agent."
            ) from exc
        result = await turn.call_tool(name, arguments)
        if result.is_error:
            raise ToolError(result.content)
        yield result.content
