"""Two tools that disagree: a result that contradicts what an earlier call said of the same thing.

Each result looks right by itself. Only who holds both against each other can tell that one of them is wrong.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from iskra_chaos.faults import lies
from iskra_chaos.faults.attribution import current_invocation
from iskra_chaos.faults.fault import Fault, Shot
from iskra_chaos.faults.parameters import AlteredFields
from iskra_sdk.approval import canonical_arguments
from iskra_sdk.message import ToolResult
from iskra_sdk.tool import ToolInvocation

_MOST_KEPT = 256
"""Things whose first result one fault remembers; of later ones nothing is contradicted."""
_NUMBER = re.compile(r"\d+")
_LONGEST_NAME = 200
"""Characters of an argument that can name a thing; a longer one is a text."""


def disagree(shot: Shot, result: ToolResult) -> ToolResult:
    """Return a result that says something else of a thing than the first one did, in up to ``fields`` values.

    What the first call said nothing of is left alone, and so is what says whom the result is about. The first result
    itself is never altered.
    """
    fields = shot.parameters(AlteredFields).fields
    for thing in things():
        first = shot.fault.memory.get(thing)
        if isinstance(first, ToolResult):
            return _contradicting(first, result, fields, shot.draw)
    return result


def remember(fault: Fault, payload: Any, result: Any) -> None:
    """Keep the first result that says something of a thing."""
    if not isinstance(result, ToolResult) or result.is_error:
        return
    for thing in things():
        if len(fault.memory) < _MOST_KEPT:
            fault.memory.setdefault(thing, result)


def things() -> list[tuple[str, str]]:
    """Return what the call under way reads, each with its session.

    The resource keys that its tool declares, and the arguments that identify something; where there is neither, all
    arguments together stand for one thing.
    """
    invocation = current_invocation()
    if invocation is None:
        return []
    named = sorted(_resources(invocation) | _named(invocation.arguments))
    session = invocation.context.session_id
    return [
        (session, name) for name in named or [f"{invocation.tool.name} {canonical_arguments(invocation.arguments)}"]
    ]


def _resources(invocation: ToolInvocation) -> set[str]:
    try:
        reads, _ = invocation.tool.resource_keys(invocation.arguments)
    except Exception:  # a plugin's code; the plan of the tool's calls has told of it already
        return set()
    return {f"resource {key}" for key in reads}


def _named(arguments: Mapping[str, object]) -> set[str]:
    return {
        f"name {str(value).casefold()}"
        for name, value in arguments.items()
        if lies.says_whom((name,)) and isinstance(value, str | int) and 0 < len(str(value)) <= _LONGEST_NAME
    }


def _contradicting(first: ToolResult, result: ToolResult, fields: int, draw: lies.Draw) -> ToolResult:
    known = lies.values_of(first)
    if not lies.has_fields(result):
        return replace(result, content=_contrary_text(first.content, result.content, draw("text")))
    return lies.change_values(
        result,
        fields,
        draw,
        _contrary,
        is_wanted=lambda path, value: not lies.says_whom(path) and (path[-1:], value) in known,
    )


def _contrary_text(first: str, text: str, drawn: float) -> str:
    """Change a number that both texts have; in a text that is the same as the first, a word if it has no number."""
    told = set(_NUMBER.findall(first))
    shared = [number for number in _NUMBER.finditer(text) if number[0] in told]
    if shared:
        number = shared[int(drawn * len(shared))]
        return f"{text[: number.start()]}{_contrary(number[0], drawn)}{text[number.end() :]}"
    return lies.with_another_word(text, drawn) if text == first else text


def _contrary(value: object, drawn: float) -> object:
    """Return a value that cannot be true as well, and looks as likely."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        other = lies.with_digits_transposed(value, drawn)
        return other if other != value else value + 1
    if not isinstance(value, str):
        return value
    try:
        return (date.fromisoformat(value) + timedelta(days=1 + int(drawn * 28))).isoformat()
    except (ValueError, OverflowError):
        other = lies.with_digits_transposed(value, drawn)
        return other if other != value else lies.with_another_word(value, drawn)
