"""The tool ``search_in_code``."""

import asyncio
import contextlib
import os
import stat
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import re2  # type: ignore[import-untyped]  # has no type hints

from iskra_plugins.workspace.file_tools import Entry, FolderWalk
from iskra_plugins.workspace.settings import WorkspaceSettings
from iskra_plugins.workspace.visible_text import printable_path, visible
from iskra_plugins.workspace.workspace_root import Place, WorkspaceRoot, open_file
from iskra_sdk import ToolError, ToolResult
from iskra_sdk.message import clean_text

_LONGEST_QUERY = 1000
_LONGEST_LINE = 300  # characters shown of a line
_BLOCK = 1 << 17  # one call of the engine looks at no more than about this, so that the deadline is seen
_PATTERN_MEMORY = 8 << 20


@dataclass(frozen=True, slots=True)
class Hit:
    """A line that matches."""

    path: str
    line: int
    text: str


class CodeSearch:
    """Searches the files below a root, by one engine whose time grows only linearly with the text.

    Args:
        root: The folder.
        settings: Limits.
    """

    def __init__(self, root: WorkspaceRoot, settings: WorkspaceSettings) -> None:
        self._root = root
        self._settings = settings

    async def search_in_code(
        self, query: str, path: str = ".", regex: bool = False, glob: str = "*", ignore_case: bool = False
    ) -> ToolResult:
        """Search the text files of the workspace line by line.

        Each result reads path:line: text. Binary, private and very large files are left out, and folders of tools
        such as .git or node_modules.

        Args:
            query: What to look for.
            path: The folder or file to search, relative to the workspace.
            regex: Whether the query is a regular expression in RE2's syntax (no look-around, no back-references).
            glob: A glob that file names must match, or whole paths below the folder where it holds a slash.
            ignore_case: Whether case is ignored.
        """
        pattern = _compile(query, is_regex=regex, ignore_case=ignore_case)
        stopped = threading.Event()
        try:
            return await asyncio.to_thread(self._search, pattern, path, glob, stopped)
        finally:
            stopped.set()  # a cancelled call leaves its thread behind; this ends it

    def _search(self, pattern: Any, path: str, glob: str, stopped: threading.Event) -> ToolResult:
        settings = self._settings
        hits: list[Hit] = []
        notes: list[str] = []
        left_out = 0
        with self._root.located(path) as place:
            walk = FolderWalk(self._root, settings)
            with contextlib.closing(self._files(walk, place, path)) as entries:
                for entry in entries:
                    if stopped.is_set():
                        break
                    if not fnmatchcase(entry.path if "/" in glob else entry.name, glob):
                        continue
                    content = self._content(entry)
                    if content is None:
                        left_out += 1
                        continue
                    name = "/".join(entry.names)
                    hits.extend(_hits(pattern, content, name, walk, settings.search_results + 1 - len(hits)))
                    if len(hits) > settings.search_results:
                        hits.pop()
                        notes.append(f"There are more than {settings.search_results} results; narrow the search.")
                        break
        if walk.note:
            notes.append(walk.note)
        complete = not notes
        if left_out:
            notes.append(f"{left_out} binary, private, large or unreadable files were left out.")
        text = "\n".join(f"{visible(hit.path, keep='')}:{hit.line}: {hit.text}" for hit in hits) or "No results."
        return ToolResult(
            f"{text}\n[{' '.join(notes)}]" if notes else text,
            data={
                "results": [{"path": hit.path, "line": hit.line, "text": hit.text} for hit in hits],
                "complete": complete,
                "left_out": left_out,
            },
        )

    def _files(self, walk: FolderWalk, place: Place, path: str) -> Generator[Entry, None, None]:
        if place.status is None or not stat.S_ISDIR(place.status.st_mode):
            # A file was named: opening it refuses what is no regular file, with its name.
            handle = open_file(place, path)
            status = os.fstat(handle)
            os.close(handle)
            yield Entry(place.directory or -1, place.name, place.name, place.names, status)
            return
        with contextlib.closing(walk.entries(place, path)) as entries:
            for entry in entries:
                if stat.S_ISREG(entry.status.st_mode):
                    yield entry

    def _content(self, entry: Entry) -> bytes | None:
        """Return the bytes of a text file, ``None`` for anything else."""
        most = self._settings.search_file_bytes
        if entry.status.st_size > most or self._root.private.covers(entry.names):
            return None
        try:
            handle = open_file(Place(entry.directory, entry.name, entry.names, entry.status), entry.path)
        except ToolError:
            return None
        with os.fdopen(handle, "rb", buffering=0) as file:
            try:
                content = file.read(most + 1)
            except OSError:
                return None
        return None if len(content) > most or b"\0" in content[:8192] else content


def _compile(query: str, *, is_regex: bool, ignore_case: bool) -> Any:
    if not query or len(query) > _LONGEST_QUERY:
        raise ToolError(f"A query has 1 to {_LONGEST_QUERY} characters.")
    if "\n" in query:
        raise ToolError(
            "The search goes line by line, so a query has no line break.", mend="Search for one line of it."
        )
    options = re2.Options()
    options.max_mem = _PATTERN_MEMORY
    options.log_errors = False
    options.never_nl = True
    options.literal = not is_regex
    options.case_sensitive = not ignore_case
    try:
        # Not through re2.compile, whose cache would keep patterns of whoever asked. (?m): ^ and $ mean lines.
        return re2._Regexp((f"(?m){query}" if is_regex else query).encode(), options)
    except UnicodeEncodeError as exc:
        raise ToolError("The query holds half a character (a lone surrogate).") from exc
    except re2.error as exc:
        reason = exc.args[0].decode(errors="replace") if exc.args and isinstance(exc.args[0], bytes) else str(exc)
        raise ToolError(
            f"The regular expression {printable_path(query)} is not understood: {reason.replace('(?m)', '', 1)}.",
            mend="RE2's syntax has no look-around and no back-references; without regex=true the query is plain text.",
        ) from exc


def _hits(pattern: Any, content: bytes, path: str, walk: FolderWalk, most: int) -> Iterator[Hit]:
    """Yield each matching line once."""
    if b"\r\n" in content:
        content = content.replace(b"\r\n", b"\n")
    line, start, found = 1, 0, 0
    while start < len(content) and found < most and not walk.is_late:
        end = _block_end(content, start)
        block, start = content[start:end], end
        position = counted = 0
        while position < len(block) and found < most and not walk.is_late:
            match = pattern.search(block, position)
            if match is None or (match.start() >= len(block) and block.endswith(b"\n")):
                break
            line += block.count(b"\n", counted, match.start())
            counted = match.start()
            first = block.rfind(b"\n", 0, match.start()) + 1
            last = block.find(b"\n", match.start())
            last = len(block) if last < 0 else last
            text = block[first : min(last, first + 4 * _LONGEST_LINE)].decode(errors="replace")
            found += 1
            yield Hit(path, line, _shown_line(text, is_cut=last - first > 4 * _LONGEST_LINE))
            position = last + 1
        line += block.count(b"\n", counted)


def _block_end(content: bytes, start: int) -> int:
    """Return where a block that begins at ``start`` ends: after a line end."""
    if len(content) - start <= _BLOCK:
        return len(content)
    end = content.find(b"\n", start + _BLOCK)
    return len(content) if end < 0 else end + 1


def _shown_line(text: str, *, is_cut: bool) -> str:
    text = clean_text(visible(text.strip(), keep="\t"))
    return f"{text[:_LONGEST_LINE]}…" if is_cut or len(text) > _LONGEST_LINE else text
