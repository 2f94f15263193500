"""Says which tool calls of one model answer may run side by side.

Calls that only read the same resource, or use different ones, may; a call that changes a resource excludes all others
that use it. Resource keys are paths: ``file:docs`` covers ``file:docs/a.md``, and the empty key covers everything.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from iskra_sdk.tool import Risk, Tool

Key = tuple[str, ...]
EVERYTHING: Key = ()


@dataclass(frozen=True, slots=True)
class Access:
    """The resources one call uses.

    Attributes:
        reads: What it looks at.
        writes: What it changes.
    """

    reads: frozenset[Key] = frozenset()
    writes: frozenset[Key] = frozenset()

    def excludes(self, other: "Access") -> bool:
        """Return whether two calls must not run at the same time."""
        return (
            _overlap(self.writes, other.writes)
            or _overlap(self.writes, other.reads)
            or _overlap(self.reads, other.writes)
        )


BARRIER = Access(writes=frozenset({EVERYTHING}))
"""A call that may change anything: it runs alone."""


def access_of(tool: Tool, arguments: Mapping[str, object]) -> Access:
    """Return what a call uses.

    A tool that declares nothing is taken for one that reads everything, and if it may have an effect, for one that
    changes everything. What a ``read`` tool declares as written is not believed: it has no effect.
    """
    try:
        reads, writes = tool.resource_keys(arguments)
    except Exception:  # a plugin's code: when it cannot tell, anything may be meant
        reads, writes = frozenset(), frozenset()
    if tool.risk is Risk.READ:
        return Access(reads=_keys(reads) or frozenset({EVERYTHING}))
    return Access(_keys(reads), _keys(writes) or frozenset({EVERYTHING}))


def _keys(texts: Iterable[str]) -> frozenset[Key]:
    return frozenset(_key(text) for text in texts)


def _key(text: str) -> Key:
    """Return a key's parts, with the path in it made plain: ``file:./docs//a.md`` is ``file:docs/a.md``."""
    kind, separator, path = text.partition(":")
    parts: list[str] = [kind] if separator else []
    for part in (path if separator else kind).replace("\\", "/").split("/"):
        if part == ".." and len(parts) > bool(separator):
            parts.pop()
        elif part not in ("", ".", ".."):
            parts.append(part)
    return tuple(parts)


def _overlap(some: frozenset[Key], others: frozenset[Key]) -> bool:
    return any(one[: len(other)] == other[: len(one)] for one in some for other in others)
