"""``iskra mcp``: shows MCP servers, and accepts changed tools."""

import json
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from iskra_sdk.errors import IskraError

_PATH = "/api/v1/mcp"
_USAGE = "iskra mcp [list | accept SERVER TOOL [DIGEST]]"
_DIGEST = 12  # characters that are shown


def mcp(arguments: Sequence[str]) -> int:
    """Run the command and return the exit status."""
    from iskra_sdk.client import IskraClient  # the server imports this module too, and has no use for the client

    try:
        with IskraClient() as client:
            match list(arguments) or ["list"]:
                case ["list"]:
                    _list(client.request("GET", f"{_PATH}/servers"))
                case ["accept", server, tool, *seen] if len(seen) <= 1:
                    query = f"?digest={quote(seen[0])}" if seen else ""
                    client.request("POST", f"{_PATH}/servers/{quote(server)}/tools/{quote(tool)}/accept{query}")
                    print(f"{tool} of {server} is offered as it describes itself now.")
                case _:
                    print(f"usage: {_USAGE}", file=sys.stderr)
                    return 2
    except IskraError as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


def _list(found: Any) -> None:
    if not found["data"]:
        print("No MCP server is in the settings (`[plugins.settings.mcp.servers.…]`).")
    for server in found["data"]:
        state = f"connected, protocol {server['protocol_version']}" if server["connected"] else server["problem"]
        print(f"{server['name']}: {_plain(state)}")
        for tool in server["tools"]:
            mark = "changed: look at it, then accept it" if tool["changed"] else tool["offered_as"] or "not offered"
            print(f"  {_plain(tool['name'])}  {tool['risk']}  {_plain(mark)}")
            if tool["changed"]:
                print(f"    {_plain(tool['description'])}")
                print(f"    {_plain(json.dumps([tool['parameters'], tool['hints']], ensure_ascii=False))}")
                seen = f"{server['name']} {_plain(tool['name'])} {tool['digest'][:_DIGEST]}"
                print(f"    accept it with: iskra mcp accept {seen}")


def _plain(text: str) -> str:
    """Return foreign text with nothing in it that acts on a terminal."""
    return "".join(char if char.isprintable() else " " for char in text)
