"""Which tool calls may run side by side."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iskra.turns.tool_plan import Access, access_of
from iskra_sdk.tool import Tool, tool


def make(risk: str, reads: Any = (), writes: Any = ()) -> Tool:
    async def act(path: str = "", other: str = "") -> None:
        """Do something."""

    return tool(risk=risk, reads=reads, writes=writes)(act)


def access(risk: str, path: str, **keys: Any) -> Access:
    return access_of(make(risk, **keys), {"path": path})


def read(path: str) -> Access:
    return access("read", path, reads=("file:{path}",))


def write(path: str) -> Access:
    return access("write", path, writes=("file:{path}",))


@pytest.mark.parametrize(
    ("one", "other", "excluded"),
    [
        (read("a"), read("a"), False),
        (read("a"), write("a"), True),
        (write("a"), write("a"), True),
        (write("a"), write("b"), False),
        (write("docs"), write("docs/a"), True),
        (write("docs"), write("docs2/a"), False),
        (write("./docs//x/../a"), read("docs/a"), True),
        (write("docs\\a"), read("docs/a"), True),
        (write("../a"), read("a"), True),
        (read("."), write("docs/a"), True),
        (access("read", "x"), read("a"), False),
        (access("read", "x"), write("a"), True),
        (access("execute", "x"), read("a"), True),
        (access("execute", "x"), access("execute", "x"), True),
        (access("write", "x", writes=("mail:",)), write("a"), False),
        (access("read", "a", reads=("file:{path}",), writes=("file:{path}",)), read("a"), False),
    ],
)
def test_what_excludes_what(one: Access, other: Access, excluded: bool) -> None:
    assert one.excludes(other) is excluded
    assert other.excludes(one) is excluded


def test_keys_may_be_worked_out_by_a_function() -> None:
    swap = make("write", writes=lambda arguments: (f"file:{arguments['path']}", f"file:{arguments['other']}"))
    assert access_of(swap, {"path": "a", "other": "b"}).excludes(read("b"))
    assert not access_of(swap, {"path": "a", "other": "b"}).excludes(read("c"))


def test_a_tool_that_cannot_tell_what_it_writes_runs_alone() -> None:
    broken = make("write", writes=("file:{missing}",))
    assert access_of(broken, {"path": "a"}).excludes(read("b"))


PATHS = st.lists(st.sampled_from(["a", "b", "..", "."]), max_size=4).map("/".join)


@given(PATHS, PATHS)
def test_a_write_excludes_all_that_lies_below_it(path: str, below: str) -> None:
    inside = "/".join(part for part in below.split("/") if part not in ("..", "."))
    assert write(path).excludes(read(f"{path}/{inside}"))
