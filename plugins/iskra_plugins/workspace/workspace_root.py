"""Files below one folder, reached by open directories name by name, so that no path leads out.

A path is never checked as text and then opened: each name is looked up in the directory opened before it, without
following links, and ``..`` goes back to a directory that is already open. Whoever swaps a folder for a link in between
makes the call fail, not escape.
"""

import contextlib
import errno
import os
import re
import stat
import unicodedata
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from iskra_plugins.workspace.private_files import PrivateFiles
from iskra_plugins.workspace.visible_text import printable_path, quoted, visible
from iskra_sdk import ToolError

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO must not wait for a writer, in case one takes a file's place after the look at it.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_MOST_NAMES = 64  # each costs an open directory while the path is walked
_MOST_LINKS = 16
_LONGEST_PATH = 4096
_DRIVE = re.compile(r"^[A-Za-z]:(/|$)")

Missing = Literal["refuse", "accept", "create"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path leads.

    Attributes:
        directory: The open directory that holds the name; ``None`` where that directory does not exist.
        name: The last name; ``.`` for a folder that was reached by its own handle.
        names: The real location below the root, links resolved.
        status: What is there, a link itself included; ``None`` for nothing.
        missing: Folders between that do not exist.
    """

    directory: int | None
    name: str
    names: tuple[str, ...]
    status: os.stat_result | None
    missing: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """The real location, relative to the root."""
        return "/".join(self.names) or "."


class WorkspaceRoot:
    """The folder that the tools may touch.

    Args:
        path: The folder, absolute; the way to it is trusted.
        private: Files below it that are refused all the same.
        forbidden: Folders that are refused wherever they are met, e.g. the server's data directory.
    """

    def __init__(self, path: Path, *, private: PrivateFiles, forbidden: Sequence[Path] = ()) -> None:
        self.path = path
        self.private = private
        self._forbidden = forbidden

    @contextlib.contextmanager
    def opened(self) -> Iterator[int]:
        """Hold the root open."""
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as exc:
            raise ToolError(
                f"The workspace folder cannot be opened: {exc.strerror}.",
                mend="The server's admin sets it with --workspace.",
            ) from exc
        try:
            yield handle
        finally:
            os.close(handle)

    @contextlib.contextmanager
    def located(self, path: str, *, follow: bool = True, missing: Missing = "refuse") -> Iterator[Place]:
        """Find where a path leads, and hold the directory open meanwhile.

        Args:
            path: Relative to the root, or absolute below it.
            follow: Whether a link at the end is followed, inside the root; links on the way always are.
            missing: What to do about folders on the way that do not exist.

        Raises:
            ToolError: The path is malformed, leads out of the root, or is private.
        """
        names = self.split(path)
        with contextlib.ExitStack() as stack:
            root = stack.enter_context(self.opened())
            try:
                place = _Walk(self, root, stack, path).to(names, follow=follow, missing=missing)
            except OSError as exc:
                raise failure(exc, path) from exc
            if self.private.covers(place.names) or self._is_forbidden_folder(place.status):
                raise private_refusal(path)
            yield place

    def split(self, path: str) -> list[str]:
        """Return the names of a path.

        Raises:
            ToolError: It is no path that could lie below the root.
        """
        shown = printable_path(path)
        if not path:
            raise ToolError("The path is empty.", mend='Use "." for the workspace itself.')
        if len(path) > _LONGEST_PATH:
            raise ToolError(f"The path {shown} is longer than {_LONGEST_PATH} characters.")
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in path):
            raise ToolError(f"The path {shown} holds a control character or half a character.")
        if "\\" in path or _DRIVE.match(path):
            raise ToolError(
                f"The path {shown} is in Windows form.", mend="Separate names by / and leave out the drive."
            )
        if path.startswith("~"):
            raise ToolError(f"The path {shown} begins with ~, which has no meaning here.", mend="Use a relative path.")
        names = path.split("/")
        if path.startswith("/"):
            own = self.path.as_posix().split("/")
            if path.startswith("//") or names[: len(own)] != own:
                raise ToolError(f"The path {shown} is outside the workspace.", mend="Use a path relative to it.")
            names = names[len(own) :]
        # An empty last name is a trailing slash: only a folder may be meant.
        names = [name for name in names[:-1] if name] + ([names[-1] or "."] if names else [])
        if len(names) > _MOST_NAMES:
            raise ToolError(f"The path {shown} has more than {_MOST_NAMES} names.")
        return names

    def _is_forbidden_folder(self, status: os.stat_result | None) -> bool:
        return status is not None and stat.S_ISDIR(status.st_mode) and self.is_forbidden(status)

    def is_forbidden(self, status: os.stat_result) -> bool:
        """Return whether a folder is one that nobody may enter, whatever it is called here."""
        for folder in self._forbidden:
            with contextlib.suppress(OSError):
                if os.path.samestat(folder.stat(), status):
                    return True
        return False


class _Walk:
    """Follows one path, holding each directory on the way open in ``stack``."""

    def __init__(self, root: WorkspaceRoot, handle: int, stack: contextlib.ExitStack, path: str) -> None:
        self._root = root
        self._handles = [handle]
        self._names: list[str] = []
        self._stack = stack
        self._path = path
        self._links = 0

    def to(self, names: Sequence[str], *, follow: bool, missing: Missing) -> Place:
        pending = deque(names)
        while pending:
            name = pending.popleft()
            if name in ("", "."):
                continue
            if name == "..":
                self._go_back()
                continue
            status = _status(name, self._handles[-1])
            is_last = not pending
            if status is not None and stat.S_ISLNK(status.st_mode) and (follow or not is_last):
                pending.extendleft(reversed(self._target(name)))
            elif is_last:
                return Place(self._handles[-1], name, (*self._names, name), status)
            elif status is not None:
                self._enter(name)
            elif missing == "create":
                if self._root.private.covers((*self._names, name, *pending)):
                    raise private_refusal(self._path)
                os.mkdir(name, dir_fd=self._handles[-1])
                self._enter(name)
            else:
                return self._missing(name, pending, missing)
        return Place(self._handles[-1], ".", tuple(self._names), os.fstat(self._handles[-1]))

    def _enter(self, name: str) -> None:
        if len(self._names) >= _MOST_NAMES:
            raise ToolError(f"The path {printable_path(self._path)} leads through more than {_MOST_NAMES} folders.")
        handle = os.open(name, _DIRECTORY, dir_fd=self._handles[-1])
        self._stack.callback(os.close, handle)
        if self._root.is_forbidden(os.fstat(handle)):
            raise private_refusal(self._path)
        self._handles.append(handle)
        self._names.append(name)

    def _go_back(self) -> None:
        if not self._names:
            raise _escape(self._path)
        # The handle stays open until the whole walk ends; the stack owns it.
        self._handles.pop()
        self._names.pop()

    def _target(self, name: str) -> list[str]:
        self._links += 1
        if self._links > _MOST_LINKS:
            raise ToolError(f"The path {printable_path(self._path)} leads through more than {_MOST_LINKS} links.")
        target = os.readlink(name, dir_fd=self._handles[-1])
        if target.startswith("/"):
            raise _escape(self._path)
        return target.split("/")

    def _missing(self, name: str, pending: Sequence[str], missing: Missing) -> Place:
        rest = [part for part in pending if part not in ("", ".")]
        if missing == "refuse" or ".." in rest or not rest:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        names = (*self._names, name, *rest)
        folders = tuple("/".join(names[:length]) for length in range(len(self._names) + 1, len(names)))
        return Place(None, names[-1], names, None, folders)


def open_file(place: Place, path: str) -> int:
    """Open a regular file for reading; never waits, never follows a link. The caller closes the handle.

    Raises:
        ToolError: There is no regular file, or it cannot be read.
    """
    if place.status is None or place.directory is None:
        raise failure(FileNotFoundError(errno.ENOENT, ""), path)
    refuse_special(place.status, path)  # before opening: opening a device may already have an effect
    try:
        handle = os.open(place.name, _FILE, dir_fd=place.directory)
    except OSError as exc:
        raise failure(exc, path) from exc
    try:
        refuse_special(os.fstat(handle), path)
    except ToolError:
        os.close(handle)
        raise
    return handle


def open_folder(place: Place, path: str) -> int:
    """Open a folder for listing. The caller closes the handle.

    Raises:
        ToolError: There is no folder, or it cannot be read.
    """
    try:
        return os.open(place.name, _DIRECTORY, dir_fd=place.directory)
    except OSError as exc:
        raise failure(exc, path) from exc


def refuse_special(status: os.stat_result, path: str) -> None:
    """Refuse everything but regular files.

    Raises:
        ToolError: It says what is there instead.
    """
    if stat.S_ISREG(status.st_mode):
        return
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFLNK: "a link",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    kind = kinds.get(stat.S_IFMT(status.st_mode), "a special file")
    raise ToolError(f"{printable_path(path)} is {kind}, no regular file.")


def failure(exc: OSError, path: str) -> ToolError:
    """Say what an operating system error about a path means."""
    shown = printable_path(path)
    reasons = {
        errno.ENOENT: f"There is no {shown} in the workspace.",
        errno.ENOTDIR: f"The path {shown} goes through something that is no folder.",
        errno.ELOOP: f"{shown} was replaced by a link meanwhile, or is one that cannot be followed.",
        errno.EACCES: f"The server may not touch {shown}.",
        errno.EPERM: f"The server may not touch {shown}.",
        errno.ENAMETOOLONG: f"The path {shown} has a name that is too long.",
        errno.EISDIR: f"{shown} is a folder.",
        errno.EEXIST: f"{shown} appeared meanwhile; try again.",
        errno.ENOSPC: f"{shown} was not written: there is no space left.",
        errno.EDQUOT: f"{shown} was not written: the disk quota is used up.",
        errno.EFBIG: f"{shown} was not written: the file would be too large.",
        errno.EROFS: f"{shown} was not written: the file system is read-only.",
        errno.ENXIO: f"{shown} is a special file, no regular file.",
    }
    reason = reasons.get(exc.errno or 0, f"{shown}: {exc.strerror or type(exc).__name__}.")
    return ToolError(reason, facts={"errno": errno.errorcode.get(exc.errno or 0, "")})


def private_refusal(path: str) -> ToolError:
    """Say that a file is private."""
    return ToolError(
        f"{printable_path(path)} is private: files that usually hold secrets are neither read nor written.",
        mend="An admin can change the setting `private` of the plugin workspace.",
    )


def shown_target(name: str, directory: int) -> str:
    """Return where a link points, for listings."""
    try:
        return visible(os.readlink(name, dir_fd=directory), keep="")
    except OSError:
        return "?"


def _status(name: str, directory: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _escape(path: str) -> ToolError:
    return ToolError(f"The path {quoted(path[:200])} leads out of the workspace.", mend="Use a path inside it.")
