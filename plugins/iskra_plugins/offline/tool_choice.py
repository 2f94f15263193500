"""Finds, among the tools a request offers, the one that does what is wanted, and writes its arguments."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic_core import from_json, to_json

from iskra_plugins.offline.intents import Intent
from iskra_sdk import ToolSpec

_NAME_PART = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_PAIR = re.compile(r'(?P<name>[A-Za-z_]\w*)\s*=\s*(?P<value>"(?:[^"\\]|\\.)*"|[^\s,;]+)\s*(?:[,;]|(?:and|и)\s)?\s*')
_TRUE, _FALSE = ("true", "yes", "1", "да"), ("false", "no", "0", "нет")


@dataclass(frozen=True, slots=True)
class OfferedTool:
    """A tool as the request describes it."""

    name: str
    description: str
    properties: Mapping[str, Mapping[str, Any]]
    required: frozenset[str]

    @property
    def words(self) -> frozenset[str]:
        """The words its name is made of."""
        return frozenset(part.lower() for part in _NAME_PART.findall(self.name))


def offered_tools(tools: Iterable[ToolSpec | Mapping[str, object]]) -> Sequence[OfferedTool]:
    """Read the tools of a request; those that are no functions are left out."""
    found: list[OfferedTool] = []
    for tool in tools:
        wire = tool.wire if isinstance(tool, ToolSpec) else tool
        function = wire.get("function")
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            continue
        schema = cast("Mapping[str, Any]", function.get("parameters") or {})
        properties = schema.get("properties") or {}
        found.append(
            OfferedTool(
                name=function["name"],
                description=str(function.get("description") or ""),
                properties={str(name): value for name, value in properties.items() if isinstance(value, Mapping)},
                required=frozenset(map(str, schema.get("required") or ())),
            )
        )
    return found


def choose_tool(
    intent: Intent, slots: Mapping[str, str], tools: Sequence[OfferedTool]
) -> tuple[OfferedTool, dict[str, object]] | None:
    """Return the best tool for an intent and its arguments; ``None`` if none takes what was said."""
    for words in intent.tool_words:
        for tool in sorted(tools, key=lambda tool: (len(tool.words), tool.name)):
            if words <= tool.words and (arguments := _arguments(intent, slots, tool)) is not None:
                return tool, arguments
    return None


def has_tool(intent: Intent, tools: Sequence[OfferedTool]) -> bool:
    """Return whether a tool's name fits an intent, whatever its parameters are."""
    return any(words <= tool.words for words in intent.tool_words for tool in tools)


def read_arguments(tool: OfferedTool, text: str) -> dict[str, object] | None:
    """Read arguments written out: one JSON object, ``name=value`` pairs, or the value of the only required parameter.

    Returns:
        ``None`` where the text is none of these, or names a parameter that the tool does not have.
    """
    text = text.strip()
    if text.startswith("{"):
        try:
            value = from_json(text)
        except ValueError:
            return None
        return {str(name): argument for name, argument in value.items()} if isinstance(value, dict) else None
    pairs = _PAIR.findall(text)
    if pairs and not _PAIR.sub("", text).strip():
        if not {name for name, _ in pairs} <= tool.properties.keys():
            return None
        return {name: _convert(_unquoted(value), tool.properties[name]) for name, value in pairs}
    if not text:
        return {} if not tool.required else None
    if len(tool.required) == 1:
        (name,) = tool.required
        return {name: _convert(text, tool.properties.get(name, {}))}
    return None


def _unquoted(value: str) -> str:
    return str(from_json(value)) if value.startswith('"') and value.endswith('"') and len(value) > 1 else value


def encode_arguments(arguments: Mapping[str, object]) -> str:
    """Return arguments as the JSON text of a tool call."""
    return to_json(arguments).decode()


def _arguments(intent: Intent, slots: Mapping[str, str], tool: OfferedTool) -> dict[str, object] | None:
    arguments: dict[str, object] = {}
    for slot, value in slots.items():
        names = [name for name in intent.roles.get(slot, ()) if name in tool.properties and name not in arguments]
        if not names:
            return None
        converted = _convert(value, tool.properties[names[0]])
        if converted is None:
            return None
        arguments[names[0]] = converted
    return arguments if tool.required <= arguments.keys() else None


def _convert(value: str, schema: Mapping[str, Any]) -> object:
    kinds = _types(schema)
    try:
        if "string" in kinds or not kinds:
            return value
        if "integer" in kinds:
            return int(value)
        if "number" in kinds:
            return float(value)
        if "array" in kinds:
            return shlex.split(value)
    except ValueError:
        return value  # the tool's own check says best what is wrong with it
    if "boolean" in kinds and value.lower() in (*_TRUE, *_FALSE):
        return value.lower() in _TRUE
    return value


def _types(schema: Mapping[str, Any]) -> frozenset[str]:
    """Return the JSON types a parameter may have; empty where the schema does not say."""
    kinds: set[str] = set()
    for option in (schema, *(schema.get("anyOf") or ()), *(schema.get("oneOf") or ())):
        if isinstance(option, Mapping):
            kind = option.get("type")
            kinds.update([kind] if isinstance(kind, str) else kind if isinstance(kind, list) else [])
    return frozenset(kinds - {"null"})
