"""What the built-in agents remember of a session, noted from the results of tool calls.

Only typed results are read (``ToolResult.data``), never the prose that a model or a person sees. Lists keep their
newest entries.
"""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from pydantic import BaseModel, Field
from pydantic_core import from_json

from iskra_sdk import ToolCall, ToolResult

KEPT = 50
"""Entries a list keeps."""

_TEST_RUNNERS = frozenset({"pytest", "tox", "nox", "unittest", "jest", "vitest", "ctest", "rspec", "phpunit"})
_BUILDERS = frozenset(
    {"make", "cmake", "ninja", "gcc", "g++", "clang", "rustc", "javac", "tsc", "mypy", "meson", "bazel"}
)
_TEST_WORDS = frozenset({"test", "tests", "check"})
_BUILD_WORDS = frozenset({"build", "compile", "compileall"})
_TOOLS_WITH_WORDS = frozenset(
    {"make", "npm", "pnpm", "yarn", "cargo", "go", "dotnet", "mvn", "gradle", "python", "python3"}
)
_LOGS = (".log", ".trace", ".out")
_DIAGRAMS = (".mmd", ".puml", ".plantuml", ".drawio", ".dot", ".svg")
_DOCUMENTS = (".md", ".rst", ".adoc", ".txt")
_DECISION_FOLDERS = frozenset({"adr", "adrs", "decisions"})


class SearchingContext(BaseModel):
    """What every agent that searches remembers of it."""

    search_history: list[dict[str, str]] = Field(default_factory=list)
    """Searches that succeeded: ``pattern``, ``path``, and how many ``results``."""

    def note(self, call: ToolCall, result: ToolResult) -> None:
        """Note a tool call."""
        search = search_of(call, result)
        if search is not None:
            remember(self.search_history, search)


class CoderContext(SearchingContext):
    """What the coder did."""

    files_modified: list[str] = Field(default_factory=list)
    files_created: list[str] = Field(default_factory=list)
    commands_executed: list[str] = Field(default_factory=list)
    last_compilation_status: str | None = None
    """``passed`` or ``failed``: of the last build or type check."""
    active_branch: str | None = None
    pending_tests: list[str] = Field(default_factory=list)
    """Test commands that failed and have not passed since."""

    def note(self, call: ToolCall, result: ToolResult) -> None:
        """Note a tool call."""
        super().note(call, result)
        if (written := written_file(call, result)) is not None:
            path, is_new = written
            remember(self.files_created if is_new else self.files_modified, path)
        if (command := finished_command(result)) is not None:
            argv, has_passed = command
            text = shlex.join(argv)
            remember(self.commands_executed, text)
            if is_build(argv):
                self.last_compilation_status = "passed" if has_passed else "failed"
            if is_test(argv):
                if has_passed and text in self.pending_tests:
                    self.pending_tests.remove(text)
                elif not has_passed:
                    remember(self.pending_tests, text)
            if has_passed and (branch := branch_of(argv)) is not None:
                self.active_branch = branch


class ArchitectContext(SearchingContext):
    """What the architect wrote."""

    documents_created: list[str] = Field(default_factory=list)
    diagrams_created: list[str] = Field(default_factory=list)
    design_decisions: list[dict[str, str]] = Field(default_factory=list)
    """Decision records: title and path."""
    architecture_patterns: list[str] = Field(default_factory=list)
    """For agents that name patterns themselves; tool results do not tell them."""

    def note(self, call: ToolCall, result: ToolResult) -> None:
        """Note a tool call."""
        super().note(call, result)
        written = written_file(call, result)
        if written is None:
            return
        path = PurePosixPath(written[0])
        if path.suffix.lower() in _DIAGRAMS:
            remember(self.diagrams_created, str(path))
        elif path.suffix.lower() in _DOCUMENTS:
            remember(self.documents_created, str(path))
            if _DECISION_FOLDERS & {part.lower() for part in path.parts[:-1]}:
                remember(self.design_decisions, {"title": path.stem.replace("-", " "), "path": str(path)})


class DebugContext(SearchingContext):
    """What the debugger looked at."""

    errors_investigated: list[dict[str, str]] = Field(default_factory=list)
    """Failed commands and tool calls: what, and how it failed."""
    logs_analyzed: list[str] = Field(default_factory=list)
    root_causes_found: list[str] = Field(default_factory=list)
    """For agents that name causes themselves; tool results do not tell them."""
    suggested_fixes: list[dict[str, str]] = Field(default_factory=list)

    def note(self, call: ToolCall, result: ToolResult) -> None:
        """Note a tool call."""
        super().note(call, result)
        error = error_of(call, result)
        if error is not None:
            remember(self.errors_investigated, error)
        path = _data(result).get("path")
        if call.name == "read_file" and isinstance(path, str) and path.lower().endswith(_LOGS):
            remember(self.logs_analyzed, path)


def remember(entries: list[Any], entry: object) -> None:
    """Put an entry at the end of a list, once, and forget the oldest ones."""
    if entry in entries:
        entries.remove(entry)
    entries.append(entry)
    del entries[:-KEPT]


def written_file(call: ToolCall, result: ToolResult) -> tuple[str, bool] | None:
    """Return the path of the file that a call wrote, and whether it is new."""
    data = _data(result)
    path, is_new = data.get("path"), data.get("created")
    if result.is_error or not isinstance(path, str) or not isinstance(is_new, bool):
        return None
    return path, is_new


def search_of(call: ToolCall, result: ToolResult) -> dict[str, str] | None:
    """Return what a call searched for, where, and how much it found."""
    found = _data(result).get("results")
    arguments = _arguments(call)
    pattern = arguments.get("query") or arguments.get("pattern")
    if result.is_error or not isinstance(found, list) or not isinstance(pattern, str):
        return None
    return {"pattern": pattern[:200], "path": str(arguments.get("path") or ".")[:200], "results": str(len(found))}


def finished_command(result: ToolResult) -> tuple[Sequence[str], bool] | None:
    """Return the words of the command that a call ran, and whether it succeeded."""
    data = _data(result)
    argv = data.get("argv")
    if not isinstance(argv, list) or not argv or "exit_status" not in data:
        return None
    return [str(word) for word in argv], data["exit_status"] == 0


def error_of(call: ToolCall, result: ToolResult) -> dict[str, str] | None:
    """Return what went wrong with a call, ``None`` if nothing did."""
    command = finished_command(result)
    if command is not None:
        argv, has_passed = command
        status = _data(result).get("exit_status")
        how = f"exit status {status}" if status is not None else "it did not end by itself"
        return None if has_passed else {"what": shlex.join(argv)[:500], "how": how}
    if result.is_error and result.error_code not in ("tool_denied", "tool_arguments"):
        return {
            "what": f"{call.name} {_shown_arguments(call)}".strip()[:500],
            "how": result.error_code or "tool_failed",
        }
    return None


def is_test(argv: Sequence[str]) -> bool:
    """Return whether a command runs tests."""
    names = _names(argv)
    return bool(_TEST_RUNNERS & names) or bool(_TOOLS_WITH_WORDS & names and _TEST_WORDS & set(argv[1:]))


def is_build(argv: Sequence[str]) -> bool:
    """Return whether a command builds or type-checks."""
    names = _names(argv)
    if is_test(argv):
        return False
    return bool(_BUILDERS & names) or bool(_TOOLS_WITH_WORDS & names and _BUILD_WORDS & set(argv[1:]))


def branch_of(argv: Sequence[str]) -> str | None:
    """Return the branch that a git command switches to."""
    if len(argv) < 3 or PurePosixPath(argv[0]).name != "git" or argv[1] not in ("switch", "checkout"):
        return None
    names = [word for word in argv[2:] if not word.startswith("-")]
    return None if "--" in argv or len(names) != 1 else names[0]


def _names(argv: Sequence[str]) -> set[str]:
    """Return the program's name, and that of a module that Python runs."""
    names = {PurePosixPath(argv[0]).name}
    if len(argv) > 2 and argv[1] == "-m":
        names.add(argv[2])
    return names


def _data(result: ToolResult) -> Mapping[str, Any]:
    return result.data if isinstance(result.data, Mapping) else {}


def _shown_arguments(call: ToolCall) -> str:
    return str(_arguments(call).get("path", ""))


def _arguments(call: ToolCall) -> Mapping[str, Any]:
    try:
        arguments = from_json(call.arguments or "{}")
    except ValueError:
        return {}
    return arguments if isinstance(arguments, Mapping) else {}
