"""The tools ``read_file``, ``write_file`` and ``list_files``."""

import asyncio
import contextlib
import difflib
import errno
import hashlib
import os
import secrets
import stat
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from iskra_plugins.workspace.settings import WorkspaceSettings
from iskra_plugins.workspace.visible_text import printable_path, visible
from iskra_plugins.workspace.workspace_root import (
    Place,
    WorkspaceRoot,
    failure,
    open_file,
    open_folder,
    refuse_special,
    shown_target,
)
from iskra_sdk import ToolError, ToolResult
from iskra_sdk.message import clean_text

_BLOCK = 1 << 16
_LOOKED_AT = 64 << 20  # how far into a file a line is looked for, in bytes
_DIGESTED = 64 << 20  # larger files are told apart by size and time only
_MARK = b"\xef\xbb\xbf"
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")
_DEEPEST = 32
_LONGEST_FOLDER = 50_000  # names read of one folder


class FileTools:
    """Reads, writes and lists files below a root.

    Args:
        root: The folder.
        settings: Limits.
    """

    def __init__(self, root: WorkspaceRoot, settings: WorkspaceSettings) -> None:
        self._root = root
        self._settings = settings

    def read_file(self, path: str, offset: int = 1, limit: int = 0) -> ToolResult:
        """Read a text file of the workspace, or a part of it.

        The result is the text itself. A note in square brackets at the end says when there is more.

        Args:
            path: The file, relative to the workspace.
            offset: The first line to read, counted from 1.
            limit: How many lines to read; 0 for as many as one call may return.
        """
        if offset < 1 or limit < 0:
            raise ToolError("offset counts from 1, and limit is not negative.")
        lines = min(limit or self._settings.read_lines, self._settings.read_lines)
        with self._root.located(path) as place:
            handle = open_file(place, path)
        with os.fdopen(handle, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            try:
                window = _read_window(file.fileno(), offset, lines, self._settings.read_bytes)
            except OSError as exc:
                raise failure(exc, path) from exc
        return _window_result(place.path, path, size, offset, window)

    def write_file(self, path: str, content: str, create_folders: bool = True) -> ToolResult:
        """Write a text file of the workspace: a new one, or all of an existing one.

        The file is replaced as a whole or stays as it was. Line endings are written as given.

        Args:
            path: The file, relative to the workspace.
            content: Its whole new text.
            create_folders: Whether missing folders on the way are created.
        """
        encoded = self._encoded(path, content)
        with self._root.located(path, follow=False, missing="create" if create_folders else "refuse") as place:
            self._check_target(place, path)
            before = _read_all(place, path, self._settings.write_bytes)
            encoded = _with_mark(before, encoded)
            try:
                _replace(place, encoded)
            except OSError as exc:
                raise failure(exc, path) from exc
        verb = "Created" if before is None else "Replaced"
        return ToolResult(
            f"{verb} {place.path}: {len(encoded)} bytes, {_line_count(content)} lines.",
            data={"path": place.path, "created": before is None, "bytes": len(encoded)},
        )

    async def write_preview(self, arguments: Mapping[str, Any]) -> str:
        """Return what a write would change, as a diff.

        Raises:
            ToolError: The write would be refused.
        """
        return await asyncio.to_thread(self._preview, arguments)

    async def write_fingerprint(self, arguments: Mapping[str, Any]) -> str:
        """Return a digest of the file that a write would replace, or ``absent``.

        Raises:
            ToolError: The write would be refused.
        """
        return await asyncio.to_thread(self.fingerprint, arguments["path"])

    def fingerprint(self, path: str) -> str:
        """Return a digest of a file and its mode, or ``absent``."""
        with self._root.located(path, follow=False, missing="accept") as place:
            self._check_target(place, path)
            if place.status is None:
                return "absent"
            handle = open_file(place, path)
            try:
                return f"{stat.S_IMODE(os.fstat(handle).st_mode):o}:{digest(handle)}"
            finally:
                os.close(handle)

    def list_files(self, path: str = ".", pattern: str = "*", depth: int = 1) -> ToolResult:
        """List files and folders of the workspace.

        Folders end with a slash. Folders of tools, such as .git or node_modules, are named but not entered.

        Args:
            path: The folder to list, relative to the workspace.
            pattern: A glob that the name must match, or the whole path below the folder where it holds a slash.
            depth: How many levels to go down; 1 lists the folder only.
        """
        if not 1 <= depth <= _DEEPEST:
            raise ToolError(f"depth is between 1 and {_DEEPEST}.")
        most = self._settings.list_entries
        entries: list[dict[str, object]] = []
        note = ""
        with self._root.located(path) as place:
            walk = FolderWalk(self._root, self._settings, depth=depth)
            with contextlib.closing(walk.entries(place, path)) as found:
                for entry in found:
                    if not fnmatchcase(entry.path if "/" in pattern else entry.name, pattern):
                        continue
                    if len(entries) == most:
                        note = f"There are more than {most} entries; narrow the path, the pattern or the depth."
                        break
                    entries.append(entry.data)
            note = note or walk.note
        text = "\n".join(_entry_line(entry) for entry in entries) or "Nothing matches."
        return ToolResult(
            f"{text}\n[{note}]" if note else text,
            data={"path": place.path, "entries": entries, "complete": not note},
        )

    def _preview(self, arguments: Mapping[str, Any]) -> str:
        path, content = arguments["path"], arguments["content"]
        encoded = self._encoded(path, content)
        with self._root.located(path, follow=False, missing="accept") as place:
            if place.missing and not arguments.get("create_folders", True):
                raise failure(FileNotFoundError(errno.ENOENT, ""), path)
            self._check_target(place, path)
            before = _read_all(place, path, self._settings.write_bytes)
        return _diff(place, before, _with_mark(before, encoded), self._settings.preview_lines)

    def _encoded(self, path: str, content: str) -> bytes:
        try:
            encoded = content.encode()
        except UnicodeEncodeError as exc:
            raise ToolError("The content holds half a character (a lone surrogate).") from exc
        if len(encoded) > self._settings.write_bytes:
            raise ToolError(
                f"{printable_path(path)} was not written: {len(encoded)} bytes are more than the limit of "
                f"{self._settings.write_bytes}.",
                mend="Write smaller files, or have an admin raise the setting `write_bytes`.",
            )
        return encoded

    def _check_target(self, place: Place, path: str) -> None:
        if place.name == ".":
            raise ToolError(f"{printable_path(path)} is a folder.")
        if place.status is None:
            return
        if stat.S_ISLNK(place.status.st_mode):
            raise ToolError(f"{printable_path(path)} is a link.", mend="Write to the file that it points to.")
        refuse_special(place.status, path)


@dataclass(frozen=True, slots=True)
class Entry:
    """One name found by a walk: ``directory`` is open until the walk goes on."""

    directory: int
    name: str
    path: str
    names: tuple[str, ...]
    status: os.stat_result

    @property
    def data(self) -> dict[str, object]:
        """The entry for programs."""
        mode = self.status.st_mode
        kinds = {stat.S_IFDIR: "folder", stat.S_IFREG: "file", stat.S_IFLNK: "link"}
        kind = kinds.get(stat.S_IFMT(mode), "special")
        data: dict[str, object] = {"path": clean_text(os.fsencode(self.path).decode(errors="replace")), "kind": kind}
        if kind == "file":
            data["bytes"] = self.status.st_size
        if kind == "link":
            data["target"] = shown_target(self.name, self.directory)
        return data


class FolderWalk:
    """Goes through a folder in order of names, by handles and without following links.

    Args:
        root: The root, which knows what may not be entered.
        settings: Limits.
        depth: Levels to go down.
    """

    def __init__(self, root: WorkspaceRoot, settings: WorkspaceSettings, *, depth: int = _DEEPEST) -> None:
        self._root = root
        self._skipped = frozenset(settings.skipped_folders)
        self._depth = depth
        self.deadline = time.monotonic() + settings.search_seconds
        self._seconds = settings.search_seconds
        self.note = ""

    @property
    def is_late(self) -> bool:
        """Whether the time is up; the note then says so."""
        if time.monotonic() < self.deadline:
            return False
        self.note = f"Stopped after {self._seconds:g} s; narrow the path."
        return True

    def entries(self, place: Place, path: str) -> Generator[Entry, None, None]:
        """Yield what is below a folder.

        Raises:
            ToolError: It is no folder, or cannot be read.
        """
        handle = open_folder(place, path)
        try:
            yield from self._below(handle, "", place.names, 1)
        finally:
            os.close(handle)

    def _below(self, directory: int, prefix: str, names: tuple[str, ...], level: int) -> Generator[Entry, None, None]:
        for name, status in self._listing(directory):
            if self.is_late:
                return
            entry = Entry(directory, name, prefix + name, (*names, name), status)
            is_folder = stat.S_ISDIR(status.st_mode)
            yield entry
            if not is_folder or name in self._skipped or self._root.private.covers(entry.names):
                continue
            if level >= self._depth:
                continue
            try:
                handle = open_folder(Place(directory, name, entry.names, status), entry.path)
            except ToolError:
                continue  # gone, replaced or unreadable: named in the listing, but not entered
            try:
                if not self._root.is_forbidden(os.fstat(handle)):
                    yield from self._below(handle, f"{entry.path}/", entry.names, level + 1)
            finally:
                os.close(handle)

    def _listing(self, directory: int) -> list[tuple[str, os.stat_result]]:
        found: list[tuple[str, os.stat_result]] = []
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    if len(found) >= _LONGEST_FOLDER or self.is_late:
                        self.note = (
                            self.note or f"A folder has more than {_LONGEST_FOLDER} names; the rest is left out."
                        )
                        break
                    with contextlib.suppress(OSError):
                        found.append((entry.name, entry.stat(follow_symlinks=False)))
        except OSError:
            self.note = "A folder could not be read."
        return sorted(found, key=lambda pair: pair[0])


@dataclass(frozen=True, slots=True)
class _Window:
    text: bytes
    first_line: int
    is_cut_line: bool
    has_more: bool
    is_binary: bool = False
    is_too_far: bool = False
    lines_seen: int = 0


def _read_window(handle: int, offset: int, lines: int, most: int) -> _Window:
    """Read ``lines`` lines from line ``offset`` on, and look at no more of the file than that takes."""
    start = os.pread(handle, 8192, 0)
    if b"\0" in start or start.startswith(_WIDE_MARKS):
        return _Window(start[:2], 1, False, False, is_binary=True)
    position, line = 0, 1
    while line < offset:
        block = os.pread(handle, _BLOCK, position)
        if not block:
            return _Window(b"", line, False, False, lines_seen=line - (0 if _unfinished(handle, position) else 1))
        count = block.count(b"\n")
        if line + count >= offset:
            end = -1
            for _ in range(offset - line):
                end = block.index(b"\n", end + 1)
            position, line = position + end + 1, offset
            break
        position, line = position + len(block), line + count
        if position >= _LOOKED_AT:
            return _Window(b"", line, False, False, is_too_far=True)
    window = os.pread(handle, most + 1, position)
    if not window and line > 1:
        return _Window(b"", line, False, False, lines_seen=line - 1)
    kept = window[:most]
    end = -1
    for _ in range(lines):
        found = kept.find(b"\n", end + 1)
        if found < 0:
            end = len(kept) - 1
            break
        end = found
    text = kept[: end + 1]
    if b"\0" in text:
        return _Window(text[:2], line, False, False, is_binary=True)
    has_more = len(window) > len(text)
    is_cut_line = has_more and not text.endswith(b"\n")
    if is_cut_line and b"\n" in text:
        text, is_cut_line = text[: text.rindex(b"\n") + 1], False
    return _Window(_whole_characters(text) if is_cut_line else text, line, is_cut_line, has_more)


def _whole_characters(text: bytes) -> bytes:
    """Leave out a character that was cut in its middle."""
    for length in range(1, min(4, len(text)) + 1):
        if text[-length] & 0xC0 != 0x80:
            return text[:-length] if text[-length] >= 0xC0 else text
    return text


def _unfinished(handle: int, size: int) -> bool:
    return size > 0 and os.pread(handle, 1, size - 1) != b"\n"


def _window_result(path: str, asked: str, size: int, offset: int, window: _Window) -> ToolResult:
    shown = printable_path(asked)
    data: dict[str, object] = {"path": path, "bytes": size, "binary": window.is_binary}
    if window.is_binary:
        hint = " (or UTF-16 text)" if window.text.startswith(_WIDE_MARKS) else ""
        return ToolResult(f"[{shown} is a binary file{hint} of {size} bytes; its content is not shown.]", data=data)
    if window.is_too_far:
        raise ToolError(
            f"Line {offset} of {shown} begins after the first {_LOOKED_AT >> 20} MiB; it is not looked for."
        )
    if not window.text and offset > 1:
        raise ToolError(f"{shown} has {window.lines_seen} lines; there is no line {offset}.")
    has_mark = offset == 1 and window.text.startswith(_MARK)
    raw = window.text.removeprefix(_MARK) if has_mark else window.text
    text = clean_text(raw.decode(errors="replace"))
    last = window.first_line + max(_line_count(text) - 1, 0)
    notes = []
    if not window.text:
        notes.append("The file is empty.")
    if has_mark:
        notes.append("The file begins with a byte order mark, which is left out here.")
    if "\N{REPLACEMENT CHARACTER}" in text and "\N{REPLACEMENT CHARACTER}".encode() not in raw:
        notes.append("Bytes that are no UTF-8 are shown as \N{REPLACEMENT CHARACTER}.")
    if window.is_cut_line:
        notes.append(f"Line {last} is longer than one call may return and is cut.")
    if window.has_more:
        notes.append(f"Lines {window.first_line} to {last} are shown; read on with offset={last + 1}.")
    data |= {
        "first_line": window.first_line,
        "last_line": last,
        "complete": not window.has_more and window.first_line == 1,
        "crlf": b"\r\n" in raw,
        "byte_order_mark": has_mark,
    }
    if notes:
        text += ("" if not text or text.endswith("\n") else "\n") + f"[{' '.join(notes)}]"
    return ToolResult(text, data=data)


def _line_count(text: str) -> int:
    return text.count("\n") + (1 if text and not text.endswith("\n") else 0)


def _entry_line(entry: Mapping[str, object]) -> str:
    path = visible(str(entry["path"]), keep="")
    if entry["kind"] == "folder":
        return f"{path}/"
    if entry["kind"] == "link":
        return f"{path} -> {entry['target']}"
    return f"{path} ({entry['bytes']} bytes)" if entry["kind"] == "file" else f"{path} (special file)"


def digest(handle: int) -> str:
    """Return the SHA-256 of an open file; of a very large one a digest of its identity, size and time."""
    status = os.fstat(handle)
    if status.st_size > _DIGESTED:
        identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        return "large:" + ":".join(map(str, identity))
    hashed = hashlib.sha256()
    position = 0
    while position <= _DIGESTED and (block := os.pread(handle, 1 << 20, position)):
        hashed.update(block)
        position += len(block)
    return hashed.hexdigest()


def _read_all(place: Place, path: str, most: int) -> bytes | None:
    """Return what is in the file now, cut after ``most`` bytes; ``None`` where there is none."""
    if place.status is None:
        return None
    handle = open_file(place, path)
    with os.fdopen(handle, "rb") as file:
        try:
            return file.read(most + 1)
        except OSError as exc:
            raise failure(exc, path) from exc


def _with_mark(before: bytes | None, after: bytes) -> bytes:
    """Keep the byte order mark of the file that is replaced: readers do not see it, so they cannot keep it."""
    has_mark = before is not None and before.startswith(_MARK)
    return _MARK + after if has_mark and not after.startswith(_MARK) else after


def _replace(place: Place, content: bytes) -> None:
    """Write a new file beside the old one and put it in its place."""
    directory = place.directory
    temporary = f".iskra-{secrets.token_hex(8)}.tmp"
    handle = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=directory
    )
    try:
        try:
            if place.status is not None:
                with contextlib.suppress(PermissionError):
                    os.fchown(handle, place.status.st_uid, place.status.st_gid)
                os.fchmod(handle, stat.S_IMODE(place.status.st_mode) & 0o777)
            view = memoryview(content)
            while view:
                view = view[os.write(handle, view) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(temporary, place.name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=directory)
        raise
    if directory is not None:
        os.fsync(directory)


def _diff(place: Place, before: bytes | None, after: bytes, most: int) -> str:
    path = visible(place.path, keep="")
    head = [f"Creates the folder {visible(folder, keep='')}/" for folder in place.missing]
    if before is None:
        head.append(f"Creates {path} ({len(after)} bytes)")
        before = b""
    elif b"\0" in before:
        return "\n".join([*head, f"Replaces the binary file {path} by {len(after)} bytes of text"])
    elif place.status is not None and place.status.st_size > len(before):
        head.append(f"Replaces {path} ({place.status.st_size} bytes, too many to compare)")
        before = b""
    else:
        head.append(f"Changes {path}")
    old, new = before.decode(errors="replace"), after.decode(errors="replace")
    if old == new:
        return "\n".join([*head, "Nothing changes."])
    if ("\r\n" in old) is not ("\r\n" in new) and old:
        head.append("Line endings change.")
    lines = _diff_lines(old, new, path)
    shown = [visible(line, keep="\t") for line in lines[:most]]
    if any(one != other for one, other in zip(shown, lines, strict=False)):
        head.append("Characters that cannot be seen are written as \\x… or \\u…")
    if len(lines) > most:
        shown.append(f"… {len(lines) - most} more lines are not shown")
    return "\n".join([*head, *shown])


def _diff_lines(old: str, new: str, path: str) -> list[str]:
    before, after = old.split("\n"), new.split("\n")
    # Comparing takes quadratic time in the worst case; beyond this size the whole new text is shown instead.
    if len(before) * len(after) > 4_000_000:
        return [f"+{line}" for line in after]
    lines = difflib.unified_diff(before, after, f"{path} (now)", f"{path} (then)", lineterm="")
    return [line if len(line) <= 500 else f"{line[:500]}… (cut)" for line in lines]
