import asyncio
import contextlib
import time

import pytest

from iskra_sdk import ToolError
from plugins.workspace.space import MakeSpace, Space, data_of


async def test_plain_text_is_the_default(space: Space) -> None:
    (space.root / "a.py").write_text("f(x)\nfx\nf(x) f(x)\n")
    result = await space.call("search_in_code", query="f(x)")
    assert result.content == "a.py:1: f(x)\na.py:3: f(x) f(x)"


async def test_regular_expressions_work_line_by_line(space: Space) -> None:
    (space.root / "a.py").write_bytes(b"class A:\r\n    pass\r\nclass B:\r\n")
    result = await space.call("search_in_code", query=r"^class (\w):$", regex=True)
    assert result.content == "a.py:1: class A:\na.py:3: class B:"
    assert (await space.call("search_in_code", query=r"A:\s+pass", regex=True)).content == "No results."


async def test_a_pattern_that_matches_nothing_at_all_finds_each_line_once(space: Space) -> None:
    (space.root / "a.txt").write_text("one\ntwo\n\nthree")
    result = await space.call("search_in_code", query="x*", regex=True)
    assert [line.split(":")[1] for line in result.content.splitlines()] == ["1", "2", "3", "4"]


async def test_line_numbers_hold_across_blocks_of_a_large_file(space: Space) -> None:
    lines = ["x" * 50] * 15_000
    for number in (1, 5_000, 12_345, 15_000):
        lines[number - 1] = "needle"
    (space.root / "a.txt").write_text("\n".join(lines))
    result = await space.call("search_in_code", query="needle")
    assert [line.split(":")[1] for line in result.content.splitlines()] == ["1", "5000", "12345", "15000"]


async def test_case_glob_and_path_narrow_the_search(space: Space) -> None:
    (space.root / "src").mkdir()
    (space.root / "src" / "a.py").write_text("Привет\n")
    (space.root / "b.md").write_text("привет\n")
    assert (await space.call("search_in_code", query="ПРИВЕТ", ignore_case=True)).content.count("\n") == 1
    assert (await space.call("search_in_code", query="ривет", glob="*.py")).content == "src/a.py:1: Привет"
    assert (await space.call("search_in_code", query="ривет", glob="src/*")).content == "src/a.py:1: Привет"
    assert (await space.call("search_in_code", query="ривет", path="b.md")).content == "b.md:1: привет"


async def test_results_are_bounded_with_a_note(make_workspace: MakeSpace) -> None:
    space = make_workspace(search_results=3)
    (space.root / "a.txt").write_text("x\n" * 10)
    result = await space.call("search_in_code", query="x")
    assert result.content.splitlines()[3:] == ["[There are more than 3 results; narrow the search.]"]
    assert data_of(result)["complete"] is False


async def test_long_lines_and_escapes_are_shown_safely(space: Space) -> None:
    (space.root / "a.txt").write_text("\x1b[31m" + "needle" + "y" * 5000 + "\n")
    text = (await space.call("search_in_code", query="needle")).content
    assert text.startswith(r"a.txt:1: \x1b[31mneedle")
    assert len(text) < 400


@pytest.mark.parametrize("query", ["(a", "a{2000}", r"(?=a)", r"(a)\1", "[", "(?P<x>a"])
async def test_patterns_that_are_not_understood_say_why(space: Space, query: str) -> None:
    with pytest.raises(ToolError, match="is not understood"):
        await space.call("search_in_code", query=query, regex=True)


@pytest.mark.parametrize("query", ["", "x" * 1001, "a\nb", "\ud800"])
async def test_queries_that_cannot_be_searched_are_refused(space: Space, query: str) -> None:
    with pytest.raises(ToolError):
        await space.call("search_in_code", query=query)


@pytest.mark.parametrize(
    "query",
    [
        r"(a+)+$",
        r"(a|aa)+$",
        r"(a|a?)+$",
        r"(.*a){20}",
        r"^(([a-z])+.)+[A-Z]([a-z])+$",
        r"(x+x+)+y",
        r"([a-zA-Z]+)*b",
        r"a*a*a*a*a*a*a*a*b",
        r"(.+)+\d",
        r"((a{0,30}){0,30})b",
    ],
)
async def test_hostile_patterns_end_in_time_and_leave_the_loop_alone(space: Space, query: str) -> None:
    (space.root / "long.txt").write_text("a" * 900_000 + "!")
    (space.root / "lines.txt").write_text(("a" * 90 + "!\n") * 9_000)
    worst = 0.0

    async def watch() -> None:
        nonlocal worst
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            worst = max(worst, time.monotonic() - before)

    async with asyncio.TaskGroup() as tasks:
        watcher = tasks.create_task(watch())
        started = time.monotonic()
        with contextlib.suppress(ToolError):  # the engine may refuse a pattern that would take too much memory
            await space.call("search_in_code", query=query, regex=True)
        assert time.monotonic() - started < 30
        watcher.cancel()
    assert worst < 1


async def test_the_time_limit_keeps_what_was_found(make_workspace: MakeSpace) -> None:
    space = make_workspace(search_seconds=0.05)
    for number in range(3000):
        (space.root / f"{number:05}.txt").write_text("needle\n" * 20)
    result = await space.call("search_in_code", query=r"(.*e){8}", regex=True)
    assert "Stopped after 0.05 s" in result.content or "more than 200 results" in result.content
    assert data_of(result)["complete"] is False
