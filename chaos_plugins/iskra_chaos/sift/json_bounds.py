"""How large a piece of JSON may be, told before anything is made of it."""

import math

MAX_BYTES = 1_000_000
"""Bytes of a whole block as JSON."""

MAX_ITEMS = 1_000
"""Items of a list, and members of an object."""

MAX_CHARACTERS = 20_000
"""Characters of a string."""

MAX_VALUES = 50_000
"""Values of any kind in all: many small ones cost more to read than few large ones."""

MAX_DEPTH = 32
"""Levels that lists and objects may lie in one another."""


class OutOfBoundsError(ValueError):
    """A piece of JSON is over a bound.

    Attributes:
        path: JSON Pointer to the piece; empty for the whole.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path or '/'}: {reason}")
        self.path = path


def check_bounds(value: object) -> None:
    """Check sizes, depth and spelling of a parsed JSON value; stops at the first megabyte.

    Raises:
        OutOfBoundsError: A list, a string or the whole is too large or too deep, or holds what JSON cannot say.
    """
    waiting: list[tuple[object, str, int]] = [(value, "", 0)]
    size = values = 0
    while waiting:
        item, path, depth = waiting.pop()
        size += _own_size(item, path)
        if size > MAX_BYTES:
            raise OutOfBoundsError("", f"the whole is larger than {MAX_BYTES:,} bytes")
        if not isinstance(item, (dict, list, tuple)):
            continue
        if depth >= MAX_DEPTH:
            raise OutOfBoundsError(path, f"nested deeper than {MAX_DEPTH} levels")
        if len(item) > MAX_ITEMS:
            raise OutOfBoundsError(path, f"more than {MAX_ITEMS:,} items")
        values += len(item)
        if values > MAX_VALUES:
            raise OutOfBoundsError("", f"more than {MAX_VALUES:,} values in all")
        if isinstance(item, dict):
            for name, member in item.items():
                step = f"{path}/{escaped(str(name))}"
                size += _own_size(name, step)
                waiting.append((member, step, depth + 1))
        else:
            waiting.extend((member, f"{path}/{index}", depth + 1) for index, member in enumerate(item))


def escaped(name: str) -> str:
    """Return a name as one step of a JSON Pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def _own_size(item: object, path: str) -> int:
    if isinstance(item, str):
        if len(item) > MAX_CHARACTERS:
            raise OutOfBoundsError(path[:200], f"longer than {MAX_CHARACTERS:,} characters")
        try:
            return len(item.encode()) + 2
        except UnicodeEncodeError:
            raise OutOfBoundsError(path.encode(errors="replace").decode(), "half of a surrogate pair") from None
    if isinstance(item, float) and not math.isfinite(item):
        raise OutOfBoundsError(path, f"{item} is no JSON number")
    return 2
