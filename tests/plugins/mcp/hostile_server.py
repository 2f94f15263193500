"""An MCP server for tests that behaves badly. Run: ``python hostile_server.py WAY``; it speaks JSON by hand."""

import json
import sys
import time
from typing import Any

WAY = sys.argv[1]
listed = 0  # times that the tools were listed
TOOL = {"name": "tell", "description": "Tells.", "inputSchema": {"type": "object"}}


def send(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def answer(request: dict[str, Any]) -> None:
    match request["method"]:
        case "initialize":
            if WAY == "hangs at once":
                time.sleep(600)
            version = "1999-01-01" if WAY == "unknown version" else "2025-06-18"
            info = {"name": "hostile", "version": "1"}
            result: Any = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
        case "tools/list":
            global listed
            listed += 1
            result = {"tools": tools()}
            if WAY == "always changes":
                send({"id": request["id"], "result": result})
                send({"method": "notifications/tools/list_changed"})
                return
        case "tools/call":
            result = called()
        case _:
            send({"id": request["id"], "error": {"code": -32601, "message": "no such method"}})
            return
    send({"id": request["id"], "result": result})


def tools() -> Any:
    match WAY:
        case "list is no list":
            return "tools"
        case "lies about its schema":
            return [{**TOOL, "inputSchema": {"type": "object", "properties": {"x": {"type": "nonsense"}}}}, TOOL]
        case "thousands of tools":
            return [{**TOOL, "name": f"tell{number}"} for number in range(5000)]
        case "same name twice":
            return [TOOL, {**TOOL, "description": "Another."}]
    return [TOOL]


def called() -> Any:
    match WAY:
        case "hangs in a call":
            time.sleep(600)
        case "answers nonsense":
            return {"content": "not a list"}
        case "floods":
            for number in range(20_000):
                send({"method": "notifications/message", "params": {"level": "info", "data": f"noise {number}"}})
        case "huge answer":
            return {"content": [{"type": "text", "text": "x" * 5_000_000}]}
        case "binary answer":
            return {"content": [{"type": "text", "text": "a\u0000b\ud800"}]}
        case "always changes":
            return {"content": [{"type": "text", "text": str(listed)}]}
        case "not json":
            sys.stdout.write("this is no json\n{\n\x00\n")
    return {"content": [{"type": "text", "text": "told"}]}


for line in sys.stdin:
    received = json.loads(line)
    if "id" in received and "method" in received:
        answer(received)
