"""Versions of the resources that tools read: counted up by writes, and compared with what lies on disk."""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from iskra_sdk.clock import Clock

_MOST_FILES = 2000
"""Files below a folder that are looked at; what reads a larger one is not cached."""
_SETTLED = 2.0
"""Seconds after which a file's times tell every later change; before, a change may leave them as they are, because
file systems count time in steps. Git calls such files racy."""
_TICK, _COARSE_TICK = 0.02, 2.0
"""Seconds within which two changes may get one time: a tick of the kernel, or, where times are whole seconds, a step of
the file system."""
_FILE = "file:"

State = tuple[object, ...]


class _Untellable(Exception):  # noqa: N818 - never leaves this module
    """What is there cannot be told in reasonable time."""


@dataclass(frozen=True, slots=True)
class Version:
    """The state of some resources at one time.

    Attributes:
        writes: Number of the last write of this process to any of them; 0 for none.
        states: What lies on disk.
        is_certain: A later change gives other ``states``; one in the same tick of the clock might not.
        is_settled: The disk alone tells every later change, so that another process may rely on ``states``.
    """

    writes: int
    states: State
    is_certain: bool = field(compare=False)
    is_settled: bool = field(compare=False)


class Resources:
    """Knows when a resource has changed.

    A key such as ``file:docs`` covers ``file:docs/a.md``. Keys that begin with ``file:`` are paths in the workspace.

    Args:
        workspace: Where files lie.
        clock: Tells how long ago a file was changed.
    """

    def __init__(self, workspace: Path, clock: Clock) -> None:
        self.workspace = workspace
        self._clock = clock
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

    def version(self, keys: frozenset[str]) -> Version | None:
        """Return the present version of resources; ``None`` if it cannot be told in reasonable time."""
        newest = max(
            (at for written, at in self._writes.items() if any(_overlap(written, key) for key in keys)), default=0
        )
        began = self._clock.now().timestamp()
        look = _Look(began)
        try:
            states = tuple(
                look.at(self.workspace / key.removeprefix(_FILE)) for key in sorted(keys) if key.startswith(_FILE)
            )
        except _Untellable:
            return None
        is_on_disk = all(key.startswith(_FILE) for key in keys)
        return Version(
            newest,
            states,
            is_certain=look.is_certain,
            is_settled=is_on_disk and look.newest + _SETTLED < began,
        )


class _Look:
    """One look at the disk.

    Attributes:
        newest: When anything that was looked at last changed, in seconds since 1970.
        is_certain: Nothing changed in the present tick of the clock.
    """

    def __init__(self, now: float) -> None:
        self.newest = 0.0
        self.is_certain = True
        self._now = now
        self._files = 0

    def at(self, path: Path) -> State:
        """Return the state of a file, or of a folder and everything below it."""
        try:
            is_folder = path.is_dir()
            states = [self._entry(str(path))]
        except (OSError, ValueError):
            return ("absent", *self._nearest(path))
        if is_folder:
            states += sorted(self._below(str(path)))
        return tuple(states)

    def _below(self, root: str) -> list[State]:
        states: list[State] = []
        waiting = [root]
        while waiting:
            try:
                with os.scandir(waiting.pop()) as entries:
                    for entry in entries:
                        states.append(self._entry(entry.path))
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(entry.path)
                        elif entry.is_dir():
                            raise _Untellable  # a tool may follow the link, and links may lead round and round
            except OSError as exc:
                raise _Untellable from exc
        return states

    def _entry(self, path: str) -> State:
        self._files += 1
        if self._files > _MOST_FILES:
            raise _Untellable
        status = os.lstat(path)
        if not stat.S_ISLNK(status.st_mode):
            return (path, *self._state(status))
        try:
            target = self._state(Path(path).stat())
        except OSError:
            target = ("absent", *self._nearest(Path(os.path.realpath(path))))
        return (path, *self._state(status), *target)

    def _nearest(self, path: Path) -> State:
        """Return the state of the nearest folder above that exists: it changes when the path appears."""
        for folder in path.parents:
            try:
                return self._state(folder.stat())
            except (OSError, ValueError):
                continue
        return ()

    def _state(self, status: os.stat_result) -> State:
        self.newest = max(self.newest, status.st_mtime, status.st_ctime)
        for changed in (status.st_mtime_ns, status.st_ctime_ns):
            tick = _TICK if changed % 1_000_000_000 else _COARSE_TICK
            if changed <= self._now * 1e9 < changed + tick * 1e9:
                self.is_certain = False
        return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)


def _overlap(one: str, other: str) -> bool:
    return not one or one == other or _covers(one, other) or _covers(other, one)


def _covers(outer: str, inner: str) -> bool:
    return (outer in ("file:.", "file:") and inner.startswith(_FILE)) or inner.startswith(f"{outer.rstrip('/')}/")
