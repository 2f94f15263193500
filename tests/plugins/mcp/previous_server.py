"""An MCP server for tests that speaks a previous version of the protocol on stdio, and tells when its tools change.

Run: ``python previous_server.py``. The tool ``rename`` gives the other one a new name and says so by a notification;
what happens to the list is thus known before the call is answered.
"""

import json
import sys
from typing import Any

VERSION = "2025-06-18"
name = "first"


def send(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def answer(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    global name
    match method:
        case "initialize":
            capabilities = {"tools": {"listChanged": True}}
            return {
                "protocolVersion": VERSION,
                "capabilities": capabilities,
                "serverInfo": {"name": "p", "version": "1"},
            }
        case "tools/list":
            schema = {"type": "object", "properties": {"text": {"type": "string"}}}
            return {"tools": [{"name": each, "description": each, "inputSchema": schema} for each in ("rename", name)]}
        case "tools/call":
            if params["name"] == "rename":
                name = params["arguments"]["text"]
                send({"method": "notifications/tools/list_changed"})
            return {"content": [{"type": "text", "text": params["name"]}]}
    return None


for line in sys.stdin:
    received = json.loads(line)
    if "id" not in received:
        continue
    result = answer(received["method"], received.get("params", {}))
    if result is None:
        send({"id": received["id"], "error": {"code": -32601, "message": "no such method"}})
    else:
        send({"id": received["id"], "result": result})
