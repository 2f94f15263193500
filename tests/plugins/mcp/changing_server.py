"""An MCP server for tests: speaks stdio or streamable HTTP, and does what files in its folder say.

Run: ``python changing_server.py FOLDER [PORT]``. ``FOLDER/tools.json`` maps names of tools to descriptions; it is read
for each list. The tool ``slow`` waits, ``die`` ends the process, ``fail`` fails, the others say back what they got.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import anyio
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged
from mcp_types import CallToolResult, ImageContent, ListToolsResult, TextContent, Tool, ToolAnnotations

BUS = InMemorySubscriptionBus()
FOLDER = Path(sys.argv[1])
SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


async def list_tools(_context: Any, _params: Any) -> ListToolsResult:
    described = json.loads((FOLDER / "tools.json").read_text())
    return ListToolsResult(
        tools=[
            Tool(
                name=name,
                description=description,
                input_schema=dict(SCHEMA),
                annotations=ToolAnnotations(read_only_hint=True),
            )
            for name, description in described.items()
        ]
    )


async def call_tool(context: Any, params: Any) -> CallToolResult:
    match params.name:
        case "slow":
            await context.session.report_progress(1, 2, "half way")
            await anyio.sleep(600)
        case "die":
            os._exit(3)
        case "fail":
            return CallToolResult(content=[TextContent(text="it went wrong")], is_error=True)
        case "change":
            (FOLDER / "tools.json").write_text(params.arguments["text"])
            await BUS.publish(ToolsListChanged())
            return CallToolResult(content=[TextContent(text="changed")])
        case "picture":
            return CallToolResult(content=[ImageContent(data="AAAA", mime_type="image/png")])
        case "secret":
            return CallToolResult(content=[TextContent(text=os.environ.get("SECRET", "none"))])
    said = (params.arguments or {}).get("text", "")
    return CallToolResult(content=[TextContent(text=f"{params.name}: {said}")], structured_content={"said": said})


def make_server() -> "Server[Any]":
    return Server(
        "changing", on_list_tools=list_tools, on_call_tool=call_tool, on_subscriptions_listen=ListenHandler(BUS)
    )


async def serve_stdio() -> None:
    server = make_server()
    print("listening", file=sys.stderr)
    async with stdio_server() as (reading, writing):
        options = server.create_initialization_options(NotificationOptions(tools_changed=True))
        await server.run(reading, writing, options)


def serve_http(port: int) -> None:
    import uvicorn

    app = make_server().streamable_http_app()
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        serve_http(int(sys.argv[2]))
    else:
        asyncio.run(serve_stdio())
