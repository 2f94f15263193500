"""Derives a tool's argument model from a function's type hints and docstring."""

import inspect
import re
from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, PydanticSchemaGenerationError, PydanticUserError, create_model

_ARGS_SECTION = re.compile(r"^\s*(?:Args|Arguments|Parameters|Аргументы|Параметры):\s*$")
_OTHER_SECTION = re.compile(
    r"^\s*(?:Returns|Raises|Yields|Example|Examples|Note|Notes|Возвращает|Исключения):{1,2}\s*$"
)
_ARGUMENT = re.compile(r"^\s*\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)$")


def description_of(function: Callable[..., Any]) -> str:
    """Return the docstring up to its first section."""
    lines: list[str] = []
    for line in (inspect.getdoc(function) or "").splitlines():
        if _ARGS_SECTION.match(line) or _OTHER_SECTION.match(line):
            break
        lines.append(line)
    return "\n".join(lines).strip()


def parameter_descriptions(function: Callable[..., Any]) -> dict[str, str]:
    """Return what the docstring's ``Args:`` section says of each parameter."""
    descriptions: dict[str, str] = {}
    in_section = False
    current = ""
    indent = 0
    for line in (inspect.getdoc(function) or "").splitlines():
        if _ARGS_SECTION.match(line):
            in_section = True
            continue
        if not in_section or not line.strip():
            continue
        depth = len(line) - len(line.lstrip())
        if depth == 0 or _OTHER_SECTION.match(line):
            break
        found = _ARGUMENT.match(line)
        if found and (not current or depth <= indent):
            current, indent = found[1], depth
            descriptions[current] = found[2].strip()
        elif current:
            descriptions[current] += " " + line.strip()
    return descriptions


def arguments_model(
    function: Callable[..., Any], name: str, *, context_type: type
) -> tuple[type[BaseModel], str | None]:
    """Return a model of the function's arguments and the name of its context parameter, if it has one.

    Raises:
        TypeError: A parameter has no type hint, a hint without a JSON form, or is variadic.
    """
    hints = get_type_hints(function, include_extras=True)
    described = parameter_descriptions(function)
    fields: dict[str, Any] = {}
    context_parameter: str | None = None
    for parameter in inspect.signature(function).parameters.values():
        hint = hints.get(parameter.name)
        if hint is context_type:
            context_parameter = parameter.name
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise TypeError(f"tool {name!r}: parameter {parameter.name!r} must be an ordinary named parameter")
        if hint is None:
            raise TypeError(f"tool {name!r}: parameter {parameter.name!r} needs a type hint")
        default = ... if parameter.default is parameter.empty else parameter.default
        text = described.get(parameter.name)
        fields[parameter.name] = (Annotated[hint, Field(description=text)] if text else hint, default)
    try:
        model = create_model(name, __config__=ConfigDict(extra="forbid", title=name), **fields)
        model.model_json_schema()
    except (PydanticSchemaGenerationError, PydanticUserError) as exc:
        raise TypeError(f"tool {name!r}: its parameters have no JSON form: {exc}") from exc
    return model, context_parameter
