"""Versions of the resources that tools read: counted up by writes, and compared with what lies on disk."""

import os
from pathlib import Path

_MOST_FILES = 2000
"""Files below a folder that are looked at; what reads a larger one is not cached."""
_FILE = "file:"


class Resources:
    """Knows when a resource has changed.

    A key such as ``file:docs`` covers ``file:docs/a.md``. Keys that begin with ``file:`` are paths in the workspace.

    Args:
        workspace: Where files lie.
    """

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self._epoch = 0
        self._writes: dict[str, int] = {}

    def wrote(self, keys: frozenset[str]) -> None:
        """Count a write; one without keys may have changed everything."""
        self._epoch += 1
        if not keys or len(self._writes) > 10_000:
            self._writes = {"": self._epoch}
            return
        for key in keys:
            self._writes[key] = self._epoch

    def version(self, keys: frozenset[str]) -> tuple[object, ...] | None:
        """Return the present version of resources; ``None`` if it cannot be told in reasonable time."""
        newest = max(
            (at for written, at in self._writes.items() if any(_overlap(written, key) for key in keys)), default=0
        )
        seen: list[object] = [newest]
        for key in sorted(keys):
            if key.startswith(_FILE):
                state = self._on_disk(key.removeprefix(_FILE))
                if state is None:
                    return None
                seen.append(state)
        return tuple(seen)

    def _on_disk(self, path: str) -> tuple[object, ...] | None:
        root = self._workspace / path
        try:
            top = os.lstat(root)
        except (OSError, ValueError):
            return ("absent",)
        if not root.is_dir():
            return _state(top)
        states: list[object] = []
        waiting = [str(root)]
        while waiting:
            try:
                with os.scandir(waiting.pop()) as entries:
                    for entry in entries:
                        states.append((entry.path, *_state(entry.stat(follow_symlinks=False))))
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(entry.path)
                        if len(states) > _MOST_FILES:
                            return None
            except OSError:
                return None
        return tuple(sorted(map(str, states)))


def _state(status: os.stat_result) -> tuple[object, ...]:
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)


def _overlap(one: str, other: str) -> bool:
    return not one or one == other or _covers(one, other) or _covers(other, one)


def _covers(outer: str, inner: str) -> bool:
    return (outer in ("file:.", "file:") and inner.startswith(_FILE)) or inner.startswith(f"{outer.rstrip('/')}/")
