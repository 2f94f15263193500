"""Makes tools of ours from the tools of an MCP server."""

import base64
import binascii
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, cast

import jsonschema
from jsonschema.protocols import Validator
from mcp_types import CallToolResult, EmbeddedResource, ImageContent, ResourceLink, TextContent
from mcp_types import Tool as RemoteTool
from referencing import Registry
from referencing.exceptions import Unresolvable

from iskra_plugins.mcp.pins import ToolCard
from iskra_plugins.mcp.settings import RemoteServer
from iskra_sdk import Risk, Tool, ToolContext, ToolResult
from iskra_sdk.tool import tool_from_schema

_LONGEST_NAME = 64
_LONGEST_DESCRIPTION = 4000  # characters
_LARGEST_SCHEMA = 64 * 1024  # characters of its text
_NO_NAME_CHARACTER = re.compile(r"[^A-Za-z0-9_-]+")

Call = Callable[[str, dict[str, Any], ToolContext], Awaitable[CallToolResult]]
"""Calls a remote tool."""

# A pattern of a foreign schema could take for ever; the server checks its own patterns.
_Checker = cast(
    "type[Validator]",
    jsonschema.validators.extend(  # type: ignore[no-untyped-call]
        jsonschema.Draft202012Validator,
        {"pattern": lambda *_: (), "patternProperties": lambda *_: ()},
    ),
)


def card_of(remote: RemoteTool) -> ToolCard:
    """Return what a server says of a tool."""
    hints = remote.annotations.model_dump(mode="json", exclude_none=True) if remote.annotations is not None else {}
    return ToolCard(remote.name, remote.description or "", remote.input_schema, hints)


def is_usable(card: ToolCard) -> bool:
    """Return whether a tool can be offered: its schema is one of an object, and not huge."""
    if len(str(card.schema)) > _LARGEST_SCHEMA or card.schema.get("type", "object") != "object":
        return False
    try:
        _Checker.check_schema(cast("Any", card.schema))
    except (jsonschema.SchemaError, RecursionError):
        return False
    return True


def tool_name(server: str, remote: str, taken: Sequence[str] = ()) -> str:
    """Return our name for a remote tool: letters, digits, ``_`` and ``-``, at most 64, not yet taken."""
    name = f"{server}_{_NO_NAME_CHARACTER.sub('_', remote)}"
    if len(name) > _LONGEST_NAME or name in taken:
        digest = hashlib.sha256(remote.encode()).hexdigest()[:6]
        name = f"{name[: _LONGEST_NAME - 7]}_{digest}"
    return name


def risk_of(card: ToolCard, settings: RemoteServer) -> Risk:
    """Return a tool's risk: what the admin says, or ``external``; less only from a server that the admin trusts."""
    for glob, risk in settings.risks.items():
        if fnmatchcase(card.name, glob):
            return risk
    if not settings.trusts_annotations:
        return Risk.EXTERNAL
    if card.hints.get("read_only_hint"):
        return Risk.READ
    is_closed = card.hints.get("open_world_hint") is False
    return Risk.WRITE if is_closed and card.hints.get("destructive_hint") is False else Risk.EXTERNAL


def make_tool(server: str, card: ToolCard, settings: RemoteServer, call: Call, *, name: str) -> Tool:
    """Return a tool of ours that calls a remote one."""

    async def run(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        return as_result(await call(card.name, arguments, context))

    validator = _Checker(cast("Any", card.schema), registry=Registry())

    def check(arguments: dict[str, Any]) -> None:
        try:
            error = next(iter(validator.iter_errors(arguments)), None)
        except (Unresolvable, RecursionError):
            return  # the server has to check it
        if error is not None:
            raise ValueError(f"{'.'.join(map(str, error.absolute_path)) or 'arguments'}: {error.message[:500]}")

    is_idempotent = bool(settings.trusts_annotations and card.hints.get("idempotent_hint"))
    said = card.description[:_LONGEST_DESCRIPTION]
    return tool_from_schema(
        run,
        name=name,
        description=f"{said}\n\n(The tool {card.name} of the MCP server {server}.)".strip(),
        parameters={"type": "object", **card.schema},
        check=check,
        risk=risk_of(card, settings),
        is_idempotent=is_idempotent,
        timeout=settings.timeout + 5,
    )


def as_result(answer: CallToolResult) -> ToolResult:
    """Return a remote tool's answer as a result of ours; what is no text is described."""
    text = "\n".join(_shown(block) for block in answer.content)
    if not text and answer.structured_content is not None:
        text = str(answer.structured_content)
    return ToolResult(
        text or "done",
        data=answer.structured_content,
        is_error=answer.is_error,
        error_code="tool_failed" if answer.is_error else "",
    )


def _shown(block: object) -> str:
    match block:
        case TextContent(text=text):
            return text
        case EmbeddedResource(resource=resource):
            inside = getattr(resource, "text", None)
            return f"[{resource.uri}]\n{inside}" if isinstance(inside, str) else f"[a file: {resource.uri}]"
        case ResourceLink(uri=uri, name=name):
            return f"[a link: {name} <{uri}>]"
        case ImageContent(mime_type=mime_type, data=data):
            return f"[an image: {mime_type}, {_size(data)} bytes]"
        case _:
            return f"[{getattr(block, 'type', 'something')} that cannot be shown as text]"


def _size(data: str) -> int:
    try:
        return len(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError):
        return len(data)


def offered(cards: Mapping[str, ToolCard], settings: RemoteServer) -> list[ToolCard]:
    """Return the tools that the settings let through and that can be offered."""
    return [
        card
        for card in cards.values()
        if any(fnmatchcase(card.name, glob) for glob in settings.tools) and is_usable(card)
    ]
