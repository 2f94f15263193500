"""Iskra as an MCP server: agents, and tools that an admin chose, over streamable HTTP.

Everything a client asks for is a turn of the user whose token it sends, with the same approvals, journal and limits
as any other. An approval is never something that a client's model can give: a call that waits says so, and a person
decides it in the console, in the terminal, or in a chat.
"""

import asyncio
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    ToolAnnotations,
)
from mcp_types import (
    Tool as OfferedTool,
)
from pydantic_core import to_json

from iskra_plugins.mcp.settings import OfferedServer
from iskra_plugins.mcp.tool_runner import TOOL_RUNNER
from iskra_sdk import PluginContext, Principal, Risk
from iskra_sdk.errors import BadInputError, IskraError
from iskra_sdk.event import TURN_ENDED, EventType
from iskra_sdk.ids import SessionId, TurnId
from iskra_sdk.session_store import TurnRecord

_ASK = "ask_"
_RESULT = "turn_result"
_MESSAGE_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "message": {"type": "string", "description": "What you want, in any language."},
        "session_id": {"type": "string", "description": "Goes on with the session of an earlier answer."},
    },
    "required": ["message"],
}
_RESULT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"turn_id": {"type": "string", "description": "From the answer that said to come back."}},
    "required": ["turn_id"],
}


def make_manager(context: PluginContext, settings: OfferedServer) -> StreamableHTTPSessionManager:
    """Return what serves MCP clients; it must be run."""
    return StreamableHTTPSessionManager(Offering(context, settings).server(), stateless=True)


class Offering:
    """Answers MCP clients.

    Args:
        context: The plugin's.
        settings: What is offered.
    """

    def __init__(self, context: PluginContext, settings: OfferedServer) -> None:
        self._context = context
        self._settings = settings

    def server(self) -> "Server[Any]":
        """Return the protocol's server."""
        return Server(
            "iskra",
            title="Iskra",
            instructions="Ask an agent with `ask_<agent>`. Sessions keep what was said; pass `session_id` to go on.",
            on_list_tools=self._list,
            on_call_tool=self._call,
        )

    async def _list(self, _: "ServerRequestContext[Any]", __: PaginatedRequestParams | None) -> ListToolsResult:
        found = [
            OfferedTool(
                name=f"{_ASK}{agent.name}",
                title=f"Ask {agent.name}",
                description=agent.description or f"Ask the agent {agent.name}.",
                input_schema=dict(_MESSAGE_SCHEMA),
            )
            for agent in self._context.agents.values()
            if self._offers_agent(agent.name)
        ]
        found += [
            OfferedTool(
                name=tool.name,
                description=tool.description,
                input_schema=dict(tool.parameters),
                annotations=ToolAnnotations(read_only_hint=tool.risk is Risk.READ),
            )
            for tool in self._context.tools.values()
            if self._offers_tool(tool.name)
        ]
        found.append(
            OfferedTool(
                name=_RESULT,
                description="Return the answer of a turn that was not finished when its call returned.",
                input_schema=dict(_RESULT_SCHEMA),
                annotations=ToolAnnotations(read_only_hint=True),
            )
        )
        return ListToolsResult(tools=found)

    def _offers_agent(self, name: str) -> bool:
        return name != TOOL_RUNNER and any(fnmatchcase(name, glob) for glob in self._settings.agents)

    def _offers_tool(self, name: str) -> bool:
        return any(fnmatchcase(name, glob) for glob in self._settings.tools)

    async def _call(self, request: "ServerRequestContext[Any]", given: CallToolRequestParams) -> CallToolResult:
        if request.request is None:
            raise RuntimeError("the transport hands over no request, so nobody knows whose it is")
        principal: Principal = request.request.scope["state"]["principal"]
        try:
            turn, after = await self._turn(principal, given.name, given.arguments or {})
            return await self._followed(request, principal, turn, after)
        except IskraError as exc:
            return _said(str(exc), is_error=True)

    async def _turn(self, principal: Principal, name: str, arguments: Mapping[str, Any]) -> tuple[TurnRecord, int]:
        """Return the turn that a call is about, and the number of the event after which its answer comes."""
        if name == _RESULT:
            return _from_its_begin(
                await self._context.sessions.turn(principal, TurnId(str(arguments.get("turn_id", ""))))
            )
        principal.require("sessions:write")
        if name.startswith(_ASK) and name.removeprefix(_ASK) in self._context.agents:
            agent = name.removeprefix(_ASK)
            message, session_id = arguments.get("message"), arguments.get("session_id")
            if not self._offers_agent(agent):
                raise BadInputError(f"The agent {agent!r} is not offered here.")
            if not isinstance(message, str) or not message.strip():
                raise BadInputError("`message` must be a text.", mend="Send what you want as `message`.")
            session = SessionId(session_id) if isinstance(session_id, str) and session_id else None
            if session is not None:
                answered = await self._context.turns.answer(principal, session, message)
                if answered is not None:
                    return answered, answered.first_seq
            turn = await self._context.turns.start(principal, session, message, model=f"agent:{agent}")
            return _from_its_begin(turn)
        if self._offers_tool(name) and name in self._context.tools:
            call = to_json({"tool": name, "arguments": arguments}).decode()
            turn = await self._context.turns.start(principal, None, call, model=f"agent:{TOOL_RUNNER}")
            return _from_its_begin(turn)
        raise BadInputError(f"There is no tool {name!r} here.", mend="List the tools again.")

    async def _followed(
        self, request: "ServerRequestContext[Any]", principal: Principal, turn: TurnRecord, after: int
    ) -> CallToolResult:
        """Follow a turn to its end, or until the client has waited long enough."""
        answer: list[str] = []
        waits_for: dict[str, str] = {}
        told = 0
        try:
            async with asyncio.timeout(self._settings.wait):
                async for event in self._context.turns.follow(principal, turn.session_id, after=after):
                    if event.turn_id != turn.id:
                        continue
                    data = event.data
                    if event.type == EventType.MESSAGE_COMPLETED and data.get("role") == "assistant":
                        answer.append(str(data.get("text") or ""))
                    elif event.type == EventType.APPROVAL_REQUESTED:
                        waits_for[str(data["approval_id"])] = f"{data['code']} ({data['tool']})"
                        told += 1
                        await request.session.report_progress(told, None, f"waits for approval {data['code']}")
                    elif event.type in (EventType.APPROVAL_DECIDED, EventType.APPROVAL_EXPIRED):
                        waits_for.pop(str(data["approval_id"]), None)
                    elif event.type == EventType.QUESTION_ASKED:
                        return self._question(turn, answer, data)
                    elif event.type in TURN_ENDED:
                        if event.type != EventType.TURN_COMPLETED:
                            reason = data.get("message") or data.get("reason") or event.type
                            return _said(f"The turn ended without an answer: {reason}", is_error=True)
                        break
        except TimeoutError:
            return self._unfinished(turn, waits_for)
        text = "\n\n".join(part for part in answer if part) or "(no text)"
        return _said(text, session_id=turn.session_id, turn_id=turn.id)

    def _question(self, turn: TurnRecord, answer: list[str], data: Mapping[str, Any]) -> CallToolResult:
        options = data.get("options")
        numbered = enumerate(options if isinstance(options, list) else (), 1)
        listing = [f"{number}. {option}" for number, option in numbered]
        text = "\n".join([*filter(None, answer), str(data["question"]), *listing])
        how = f"Answer with the same tool and the session_id {turn.session_id}."
        return _said(f"{text}\n\n{how}", session_id=turn.session_id, turn_id=turn.id)

    def _unfinished(self, turn: TurnRecord, waits_for: Mapping[str, str]) -> CallToolResult:
        if waits_for:
            codes = ", ".join(waits_for.values())
            why = f"It waits for a person's approval: {codes}. `iskra approvals list` shows it to them."
        else:
            why = f"It is not finished after {self._settings.wait:g} s."
        return _said(
            f"{why} Call {_RESULT} with the turn_id {turn.id} to get the answer later.",
            session_id=turn.session_id,
            turn_id=turn.id,
        )


def _from_its_begin(turn: TurnRecord) -> tuple[TurnRecord, int]:
    return turn, max(0, turn.first_seq - 1)


def _said(text: str, *, is_error: bool = False, **structured: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=text)], structured_content=structured or None, is_error=is_error)
