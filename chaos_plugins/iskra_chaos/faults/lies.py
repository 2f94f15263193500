"""Results of tools that look right and are wrong.

A result is altered where it is structured: in ``data``, or in a content that is JSON. Plain text counts as one value.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from pydantic_core import from_json, to_json

from iskra_sdk.message import ToolResult

Draw = Callable[..., float]
"""Returns a number in [0, 1) for what it is called with."""
Path = tuple[str | int, ...]

_IDENTITY = re.compile(r"(^|_)(id|name|title|path|file|url|user|owner|author|email|city|key)s?$", re.IGNORECASE)
"""Names of fields that say what a result is about."""
_DIGITS = re.compile(r"\d{2,}")
_WORD = re.compile(r"\w+")
_MOST_LEAVES = 1000
"""Values of one result that are looked at; a long list is altered near its beginning."""


def transpose_digits(result: ToolResult, fields: int, draw: Draw) -> ToolResult:
    """Let two neighbouring, different digits change places in up to ``fields`` values."""
    return _with_leaves(result, fields, draw, lambda value, label: with_digits_transposed(value, draw(label)))


def swap_fields(result: ToolResult, fields: int, draw: Draw) -> ToolResult:
    """Let two different values of the same type in one object change places, ``fields`` times."""
    document = _document(result)
    if document is None:
        return replace(result, content=_with_numbers_swapped(result.content))
    for turn in range(fields):
        pairs = list(_pairs(document))
        if not pairs:
            break
        owner, first, second = pairs[int(draw("pair", turn) * len(pairs))]
        owner[first], owner[second] = owner[second], owner[first]
    return _with_document(result, document)


def name_another(result: ToolResult, fields: int, draw: Draw) -> ToolResult:
    """Change up to ``fields`` values that say what a result is about."""

    def other(value: object, label: str) -> object:
        if isinstance(value, str):
            return with_another_word(value, draw(label))
        return value + 1 if isinstance(value, int) and not isinstance(value, bool) else value

    return _with_leaves(result, fields, draw, other, is_wanted=lambda path, _value: says_whom(path))


def hide_instructions(result: ToolResult, text: str) -> ToolResult:
    """Put a text behind a result, and into the first string of its data."""
    document = _document(result) if result.data is not None else None
    path = next((path for path, value in _leaves(document) if isinstance(value, str)), ()) if document else ()
    if not path:
        return replace(result, content=f"{result.content}\n\n{text}" if result.content else text)
    _put(document, path, f"{_get(document, path)} {text}")
    return _with_document(result, document)


def has_fields(result: ToolResult) -> bool:
    """Return whether a result is structured; others are text."""
    return _document(result) is not None


def values_of(result: ToolResult) -> set[tuple[Path, object]]:
    """Return the values of a structured result, each with the last part of its place."""
    return {(path[-1:], value) for path, value in _leaves(_document(result))}


def change_values(
    result: ToolResult,
    fields: int,
    draw: Draw,
    change: Callable[[object, float], object],
    *,
    is_wanted: Callable[[Path, object], bool],
) -> ToolResult:
    """Change up to ``fields`` of the values that are wanted; ``change`` gets a value and a number in [0, 1)."""
    return _with_leaves(result, fields, draw, lambda value, label: change(value, draw(label)), is_wanted=is_wanted)


def _with_leaves(
    result: ToolResult,
    fields: int,
    draw: Draw,
    change: Callable[[object, str], object],
    *,
    is_wanted: Callable[[Path, object], bool] = lambda _path, _value: True,
) -> ToolResult:
    document = _document(result)
    if document is None:
        return replace(result, content=str(change(result.content, "text")))
    changes = [
        (path, other)
        for path, value in _leaves(document)
        if is_wanted(path, value) and (other := change(value, repr(path))) != value
    ]
    changes.sort(key=lambda found: draw("which", repr(found[0])))
    for path, other in changes[:fields]:
        _put(document, path, other)
    return _with_document(result, document)


def _document(result: ToolResult) -> Any:
    """Return a copy of a result's structure, or ``None`` where it has none."""
    try:
        document = from_json(to_json(result.data) if result.data is not None else result.content)
    except ValueError:
        return None
    return document if isinstance(document, dict | list) else None


def _with_document(result: ToolResult, document: object) -> ToolResult:
    content = to_json(document).decode()
    return replace(result, content=content, data=document if result.data is not None else None)


def _leaves(document: Any, path: Path = ()) -> Iterator[tuple[Path, object]]:
    found = 0
    todo: list[tuple[Path, Any]] = [(path, document)]
    while todo and found < _MOST_LEAVES:
        path, value = todo.pop(0)
        if isinstance(value, dict):
            todo.extend(((*path, key), item) for key, item in value.items())
        elif isinstance(value, list):
            todo.extend(((*path, index), item) for index, item in enumerate(value[:_MOST_LEAVES]))
        else:
            found += 1
            yield path, value


def _pairs(document: Any) -> Iterator[tuple[dict[str, Any], str, str]]:
    owners: dict[Path, dict[str, object]] = {}
    for path, value in _leaves(document):
        if isinstance(path[-1], str):
            owners.setdefault(path[:-1], {})[path[-1]] = value
    for path, values in owners.items():
        names = list(values)
        for position, first in enumerate(names):
            for second in names[position + 1 :]:
                if type(values[first]) is type(values[second]) and values[first] != values[second]:
                    yield _get(document, path), first, second


def _get(document: Any, path: Path) -> Any:
    for part in path:
        document = document[part]
    return document


def _put(document: Any, path: Path, value: object) -> None:
    _get(document, path[:-1])[path[-1]] = value


def says_whom(path: Path) -> bool:
    """Return whether a value at a place, by its name, says what a result is about."""
    names = [part for part in path if isinstance(part, str)]
    return bool(names) and _IDENTITY.search(names[-1]) is not None


def with_digits_transposed(value: object, drawn: float) -> object:
    """Return a value with two neighbouring, different digits transposed, or as it is where there are none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    text = value if isinstance(value, str) else repr(value)
    places: Sequence[int] = [
        index
        for run in _DIGITS.finditer(text)
        for index in range(run.start(), run.end() - 1)
        if text[index] != text[index + 1] and not (text[index + 1] == "0" and index == run.start())
    ]
    if not places or (isinstance(value, float) and "e" in text):
        return value
    place = places[int(drawn * len(places))]
    other = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    return other if isinstance(value, str) else type(value)(other)


def _with_numbers_swapped(text: str) -> str:
    numbers = list(re.finditer(r"\d+", text))
    for first, second in pairwise(numbers):
        if first[0] != second[0]:
            return (
                text[: first.start()] + second[0] + text[first.end() : second.start()] + first[0] + text[second.end() :]
            )
    return text


def with_another_word(text: str, drawn: float) -> str:
    """Change one word of a text into a neighbour of it: the next number, or the word with a suffix."""
    words = list(_WORD.finditer(text))
    if not words:
        return text
    word = words[int(drawn * len(words))]
    other = str(int(word[0]) + 1) if word[0].isdecimal() and len(word[0]) < 20 else f"{word[0]}2"
    return text[: word.start()] + other + text[word.end() :]
