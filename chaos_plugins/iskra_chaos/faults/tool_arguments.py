"""Arguments of tool calls as a model that is having a bad day writes them."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import from_json, to_json

from iskra_chaos.faults.fault import Shot
from iskra_chaos.faults.parameters import FieldDrift, Truncated

Rewrite = Callable[[Shot, str, int], str]
"""Gets the shot, the arguments as JSON text, and which call of the answer it is; returns other arguments."""


def cut(shot: Shot, arguments: str, position: int) -> str:
    """Leave the first part only, at least one character short; what is left of an object is never JSON."""
    return arguments[: int(len(arguments) * shot.parameters(Truncated).keep)]


def rename_field(shot: Shot, arguments: str, position: int) -> str:
    """Give a field a name in the other convention, or with a suffix where that is the same."""

    def renamed(fields: dict[str, Any], name: str) -> dict[str, Any]:
        return {other_name(key) if key == name else key: value for key, value in fields.items()}

    return _with_field(shot, arguments, position, renamed)


def drop_field(shot: Shot, arguments: str, position: int) -> str:
    """Leave a field out."""
    return _with_field(
        shot, arguments, position, lambda fields, name: {key: fields[key] for key in fields if key != name}
    )


def retype_field(shot: Shot, arguments: str, position: int) -> str:
    """Give a field a value of another type."""
    return _with_field(shot, arguments, position, lambda fields, name: {**fields, name: other_type(fields[name])})


def other_name(name: str) -> str:
    """Return how another version of an interface might name a field: ``file_path`` ↔ ``filePath``."""
    first, *others = name.split("_")
    camel = first + "".join(part[:1].upper() + part[1:] for part in others)
    if camel != name:
        return camel
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
    return snake if snake != name else f"{name}_value"


def other_type(value: object) -> object:
    """Return a value that says much the same and has another JSON type."""
    match value:
        case bool() | int() | float():
            return {"value": value}
        case None:
            return []
        case list():
            return {str(index): item for index, item in enumerate(value)}
        case dict():
            return list(value.values())
        case _:
            return [value]


def _with_field(
    shot: Shot, arguments: str, position: int, change: Callable[[dict[str, Any], str], Mapping[str, object]]
) -> str:
    """Change one field, the named one or one that is drawn; arguments without it are returned as they are."""
    try:
        fields = from_json(arguments)
    except ValueError:
        return arguments
    if not isinstance(fields, dict) or not fields:
        return arguments
    name = shot.parameters(FieldDrift).field or sorted(fields)[int(shot.draw("field", position) * len(fields))]
    return to_json(change(fields, name)).decode() if name in fields else arguments


REWRITES: Mapping[str, Rewrite] = {
    "malformed_tool_json": cut,
    "renamed_field": rename_field,
    "missing_field": drop_field,
    "wrong_type": retype_field,
}
