"""Whether what a probe returned is what the hypothesis allows: the tolerances of the Chaos Toolkit."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from iskra_chaos.experiments.errors import ActivityError, ExperimentError
from iskra_chaos.experiments.files.pattern_search import is_found

RunProbe = Callable[[Mapping[str, Any], object], Awaitable[object]]
"""Runs the probe of a tolerance with the value to judge and returns what it says."""

_FILTER_OF_ALL = re.compile(r"(?:\.\*|\[\*\])\[\?")
_SINGLE_EQUALS = re.compile(r"(?<![=!<>~])=(?![=~])")


def check_tolerance(tolerance: object) -> None:
    """Check that a tolerance can be judged, apart from the probe it may be.

    Raises:
        ExperimentError: It cannot.
    """
    if isinstance(tolerance, bool | int | float | str | list):
        return
    if not isinstance(tolerance, Mapping):
        raise ExperimentError(
            f"A tolerance is a value, a list or one of the kinds probe, regex, jsonpath and range, not {tolerance!r}."
        )
    kind = tolerance.get("type")
    if kind == "regex":
        _checked(tolerance.get("pattern"))
    elif kind == "jsonpath":
        path = tolerance.get("path")
        if not isinstance(path, str) or not path.strip():
            raise ExperimentError("A tolerance of the type jsonpath needs a `path`.")
        if "${" not in path:
            find(path, None)
    elif kind == "range":
        bounds = tolerance.get("range")
        if not isinstance(bounds, list) or len(bounds) != 2:
            raise ExperimentError("A tolerance of the type range needs a `range` of two numbers.")
    elif kind != "probe":
        raise ExperimentError(f"The tolerance type {kind!r} is unknown; there are probe, regex, jsonpath and range.")


async def is_within(tolerance: Any, value: Any, run_probe: RunProbe) -> bool:
    """Return whether a value is within a tolerance whose ``${names}`` are filled.

    A value that cannot be compared at all is outside.

    Raises:
        ExperimentError: A JSONPath cannot be read once its names are filled, or a pattern takes too long to search.
    """
    if isinstance(tolerance, Mapping):
        if tolerance.get("type") == "probe":
            try:
                return bool(await run_probe(tolerance, value))
            except ActivityError:
                return False
        return await _matches(tolerance, value)
    if isinstance(tolerance, bool | str):
        return bool(value == tolerance)
    if isinstance(value, Mapping) and "status" in value:
        status = value["status"]
        return bool(status in tolerance if isinstance(tolerance, list) else status == tolerance)
    if isinstance(tolerance, list):
        # A pair is a range, as in the Chaos Toolkit; other lengths list what is allowed.
        return _in_range(tolerance, value) if len(tolerance) == 2 else value in tolerance
    return bool(value == tolerance)


async def _matches(tolerance: Mapping[str, Any], value: Any) -> bool:
    target = tolerance.get("target")
    if target and isinstance(value, Mapping):
        value = value.get(target, value)
    kind = tolerance.get("type")
    if kind == "range":
        return _in_range(tolerance["range"], value)
    if kind == "regex":
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        return await is_found(_checked(tolerance.get("pattern")), text)
    if isinstance(value, str | bytes):
        try:
            value = json.loads(value)
        except ValueError:
            return False
    found = find(str(tolerance.get("path")), value)
    if "expect" in tolerance:
        expected = tolerance["expect"]
        return bool(found == (expected if isinstance(expected, list) else [expected]))
    if (count := tolerance.get("count")) is not None:
        return bool(len(found) == count)
    return len(found) > 0


def _in_range(bounds: list[Any], value: object) -> bool:
    try:
        low, number, high = (Decimal(str(item)) for item in (bounds[0], value, bounds[1]))
        return low <= number <= high
    except InvalidOperation:
        pass
    try:
        return bool(bounds[0] <= value <= bounds[1])
    except TypeError:
        return False


def _checked(pattern: object) -> str:
    if not isinstance(pattern, str):
        raise ExperimentError("A tolerance of the type regex needs a `pattern`.")
    try:
        re.compile(pattern)
    except re.error as exc:
        raise ExperimentError(f"The pattern {pattern!r} is no regular expression: {exc}.") from exc
    return pattern


def find(path: str, value: Any) -> list[Any]:
    """Return what a JSONPath selects; filters may be written with ``=`` as well as with ``==``.

    The Chaos Toolkit's own paths say ``$.list.*[?(@.key)]`` for what RFC 9535 writes as ``$.list[?@.key]``: its filters
    look at a value itself, not at what is in it. Such a path is read in that manner where it selects nothing otherwise.

    Raises:
        ExperimentError: The path cannot be read.
    """
    import jsonpath  # most tolerances are none

    try:
        compiled = jsonpath.compile(path)
    except jsonpath.JSONPathError as exc:
        try:
            compiled = jsonpath.compile(_SINGLE_EQUALS.sub("==", path))
        except jsonpath.JSONPathError:
            raise ExperimentError(f"{path!r} is no JSONPath: {exc}.") from exc
    if not isinstance(value, Mapping | list):
        return []
    found = compiled.findall(value)
    shorter = _FILTER_OF_ALL.sub("[?", path)
    return found if found or shorter == path else find(shorter, value)
