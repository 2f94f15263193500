"""What the built-in agents remember of a session."""

import pytest

from iskra_agents.contexts import (
    KEPT,
    ArchitectContext,
    CoderContext,
    DebugContext,
    branch_of,
    is_build,
    is_test,
)
from iskra_sdk import ToolCall, ToolResult


def wrote(path: str, *, created: bool) -> tuple[ToolCall, ToolResult]:
    return ToolCall("1", "write_file"), ToolResult("ok", data={"path": path, "created": created, "bytes": 3})


def ran(*argv: str, status: int | None = 0) -> tuple[ToolCall, ToolResult]:
    return ToolCall("1", "execute_command"), ToolResult("…", data={"argv": list(argv), "exit_status": status})


def test_the_coder_remembers_files_commands_builds_branches_and_failing_tests() -> None:
    context = CoderContext()
    for call, result in (
        wrote("a.py", created=True),
        wrote("b.py", created=False),
        wrote("b.py", created=False),
        ran("make", "build", status=2),
        ran("pytest", "-q", status=1),
        ran("python", "-m", "pytest", "tests/test_a.py", status=1),
        ran("git", "switch", "-c", "feature"),
        ran("pytest", "-q"),
    ):
        context.note(call, result)
    assert context.files_created == ["a.py"]
    assert context.files_modified == ["b.py"]
    assert context.last_compilation_status == "failed"
    assert context.pending_tests == ["python -m pytest tests/test_a.py"]
    assert context.active_branch == "feature"
    assert context.commands_executed[-1] == "pytest -q"


@pytest.mark.parametrize("context", [CoderContext(), ArchitectContext(), DebugContext()])
def test_searches_are_remembered_with_what_they_found(context: CoderContext | ArchitectContext | DebugContext) -> None:
    def searched(arguments: str, **data: object) -> None:
        context.note(ToolCall("1", "search_in_code", arguments), ToolResult("a.py:1: x", data=data or None))

    searched('{"query": "x", "path": "src"}', results=[{"path": "a.py", "line": 1, "text": "x"}])
    searched('{"query": "нигде"}', results=[])
    searched('{"query": "prose"}')
    searched("{broken", results=[])
    assert context.search_history == [
        {"pattern": "x", "path": "src", "results": "1"},
        {"pattern": "нигде", "path": ".", "results": "0"},
    ]


def test_prose_and_failed_writes_are_not_read() -> None:
    context = CoderContext()
    context.note(ToolCall("1", "write_file"), ToolResult("Created evil.py: 3 bytes", data=None))
    call, result = wrote("c.py", created=True)
    context.note(call, ToolResult(result.content, data=result.data, is_error=True))
    assert context == CoderContext()


def test_the_architect_remembers_documents_diagrams_and_decisions() -> None:
    context = ArchitectContext()
    for path in ("docs/plan.md", "docs/adr/0001-use-sqlite.md", "docs/flow.mmd", "src/a.py"):
        context.note(*wrote(path, created=True))
    assert context.documents_created == ["docs/plan.md", "docs/adr/0001-use-sqlite.md"]
    assert context.diagrams_created == ["docs/flow.mmd"]
    assert context.design_decisions == [{"title": "0001 use sqlite", "path": "docs/adr/0001-use-sqlite.md"}]


def test_the_debugger_remembers_failures_and_logs() -> None:
    context = DebugContext()
    context.note(*ran("pytest", status=1))
    context.note(*ran("sleep", "99", status=None))
    failed = ToolResult("gone", is_error=True, error_code="tool_failed")
    context.note(ToolCall("1", "read_file", '{"path": "x.py"}'), failed)
    context.note(ToolCall("1", "read_file"), ToolResult("…", data={"path": "logs/server.log"}))
    denied = ToolResult("no", is_error=True, error_code="tool_denied")
    context.note(ToolCall("1", "write_file"), denied)
    assert context.errors_investigated == [
        {"what": "pytest", "how": "exit status 1"},
        {"what": "sleep 99", "how": "it did not end by itself"},
        {"what": "read_file x.py", "how": "tool_failed"},
    ]
    assert context.logs_analyzed == ["logs/server.log"]


def test_lists_are_bounded_and_keep_the_newest() -> None:
    context = CoderContext()
    for number in range(KEPT + 10):
        context.note(*wrote(f"{number}.py", created=True))
    assert len(context.files_created) == KEPT
    assert context.files_created[-1] == f"{KEPT + 9}.py"


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("pytest", "test"),
        ("python -m unittest", "test"),
        ("npm test", "test"),
        ("make check", "test"),
        ("cargo build", "build"),
        ("make", "build"),
        ("python -m mypy core", "build"),
        ("tsc", "build"),
        ("ls test", ""),
        ("git log", ""),
    ],
)
def test_commands_are_told_apart(command: str, kind: str) -> None:
    argv = command.split()
    assert (is_test(argv), is_build(argv)) == (kind == "test", kind == "build")


@pytest.mark.parametrize(
    ("command", "branch"),
    [
        ("git switch main", "main"),
        ("git checkout -b topic", "topic"),
        ("git checkout -- a.py", None),
        ("git checkout main a.py", None),
        ("git log main", None),
        ("git", None),
    ],
)
def test_the_branch_is_read_from_the_command(command: str, branch: str | None) -> None:
    assert branch_of(command.split()) == branch
