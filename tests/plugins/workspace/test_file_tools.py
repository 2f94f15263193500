import os

import pytest

from iskra.turns.tool_plan import access_of
from iskra_sdk import Risk, ToolError
from plugins.workspace.space import MakeSpace, Space


def test_reading_needs_no_approval_and_the_rest_does(space: Space) -> None:
    risks = {name: tool.risk for name, tool in space.tools.items()}
    assert risks == {
        "read_file": Risk.READ,
        "list_files": Risk.READ,
        "search_in_code": Risk.READ,
        "write_file": Risk.WRITE,
        "execute_command": Risk.EXECUTE,
    }


def test_a_command_waits_for_everything_else(space: Space) -> None:
    command = access_of(space.tools["execute_command"], {"command": "make"})
    for name in ("read_file", "list_files", "search_in_code", "write_file"):
        assert command.excludes(access_of(space.tools[name], {"path": "a"}))


def test_a_write_excludes_whoever_looks_at_the_file_by_any_name(space: Space) -> None:
    (space.root / "docs").mkdir()
    (space.root / "docs" / "a.md").write_text("a")
    (space.root / "link").symlink_to("docs")
    write = access_of(space.tools["write_file"], {"path": "link/./a.md"})
    for name, path in (("read_file", "docs/a.md"), ("list_files", "docs"), ("search_in_code", ".")):
        assert write.excludes(access_of(space.tools[name], {"path": path}))
    assert not write.excludes(access_of(space.tools["read_file"], {"path": "docs/b.md"}))


async def test_a_file_is_read_in_windows(space: Space) -> None:
    (space.root / "a.txt").write_text("".join(f"line {number}\n" for number in range(1, 11)))
    whole = await space.call("read_file", path="a.txt")
    assert whole.content.splitlines()[-1] == "line 10"
    assert isinstance(whole.data, dict)
    assert whole.data["complete"] is True
    part = await space.call("read_file", path="a.txt", offset=4, limit=2)
    assert part.content == "line 4\nline 5\n[Lines 4 to 5 are shown; read on with offset=6.]"
    last = await space.call("read_file", path="a.txt", offset=10)
    assert last.content == "line 10\n"


@pytest.mark.parametrize(("text", "lines"), [("", 0), ("a", 1), ("a\n", 1), ("a\nb", 2)])
async def test_reading_behind_the_end_names_the_number_of_lines(space: Space, text: str, lines: int) -> None:
    (space.root / "a.txt").write_text(text)
    with pytest.raises(ToolError, match=f"has {lines} lines"):
        await space.call("read_file", path="a.txt", offset=lines + 1 if lines else 2)


async def test_an_empty_file_says_so(space: Space) -> None:
    (space.root / "a.txt").write_text("")
    assert (await space.call("read_file", path="a.txt")).content == "[The file is empty.]"


async def test_a_long_line_is_cut_between_characters(make_workspace: MakeSpace) -> None:
    space = make_workspace(read_bytes=1001)
    (space.root / "a.txt").write_text("я" * 5000)
    text = (await space.call("read_file", path="a.txt")).content
    assert text.startswith("я" * 500 + "\n[Line 1 is longer")
    assert "\N{REPLACEMENT CHARACTER}" not in text


async def test_a_window_ends_with_a_whole_line(make_workspace: MakeSpace) -> None:
    space = make_workspace(read_bytes=1000)
    (space.root / "a.txt").write_text("0123456789\n" * 500)
    text = (await space.call("read_file", path="a.txt")).content
    assert text == "0123456789\n" * 90 + "[Lines 1 to 90 are shown; read on with offset=91.]"


@pytest.mark.parametrize("content", [b"\x7fELF\0\0", "text".encode("utf-16")])
async def test_binary_files_are_named_as_such(space: Space, content: bytes) -> None:
    (space.root / "a.bin").write_bytes(content)
    assert "is a binary file" in (await space.call("read_file", path="a.bin")).content


async def test_bytes_that_are_no_utf_8_are_replaced(space: Space) -> None:
    (space.root / "a.txt").write_bytes(b"caf\xe9\n")
    assert (await space.call("read_file", path="a.txt")).content == (
        "caf\N{REPLACEMENT CHARACTER}\n[Bytes that are no UTF-8 are shown as \N{REPLACEMENT CHARACTER}.]"
    )


async def test_line_endings_and_the_byte_order_mark_are_kept(space: Space) -> None:
    (space.root / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n")
    result = await space.call("read_file", path="a.txt")
    assert result.content.startswith("one\r\ntwo\r\n[The file begins with a byte order mark")
    await space.call("write_file", path="a.txt", content="one\r\nthree\r\n")
    assert (space.root / "a.txt").read_bytes() == b"\xef\xbb\xbfone\r\nthree\r\n"


async def test_writing_creates_folders_and_says_so_before(space: Space) -> None:
    preview = await space.preview("write_file", path="a/b/c.txt", content="x\n")
    assert preview.splitlines()[:3] == [
        "Creates the folder a/",
        "Creates the folder a/b/",
        "Creates a/b/c.txt (2 bytes)",
    ]
    assert await space.fingerprint("write_file", path="a/b/c.txt", content="x\n") == "absent"
    assert list(space.root.iterdir()) == []
    await space.call("write_file", path="a/b/c.txt", content="x\n")
    assert (space.root / "a/b/c.txt").read_text() == "x\n"


async def test_missing_folders_are_an_error_when_not_wanted(space: Space) -> None:
    for attempt in (space.call, space.preview):
        with pytest.raises(ToolError, match="There is no"):
            await attempt("write_file", path="a/b.txt", content="x", create_folders=False)
    assert list(space.root.iterdir()) == []


async def test_a_replaced_file_keeps_its_mode(space: Space) -> None:
    (space.root / "run.sh").write_text("old")
    (space.root / "run.sh").chmod(0o750)
    await space.call("write_file", path="run.sh", content="new")
    assert (space.root / "run.sh").stat().st_mode & 0o7777 == 0o750
    assert [file.name for file in space.root.iterdir()] == ["run.sh"]


async def test_the_preview_is_a_diff_in_which_nothing_hides(space: Space) -> None:
    (space.root / "a.py").write_text("one\ntwo\n")
    preview = await space.preview("write_file", path="a.py", content="one\nt\x1b[8mwo\u202e\n")
    assert "-two" in preview
    assert r"+t\x1b[8mwo\u202e" in preview
    assert "\x1b" not in preview
    assert "\u202e" not in preview
    assert "cannot be seen" in preview


async def test_a_long_preview_is_cut_with_a_note(make_workspace: MakeSpace) -> None:
    space = make_workspace(preview_lines=10)
    preview = await space.preview("write_file", path="a.txt", content="x\n" * 100)
    assert len(preview.splitlines()) == 12
    assert "more lines are not shown" in preview


async def test_the_fingerprint_follows_content_and_mode(space: Space) -> None:
    file = space.root / "a.txt"
    file.write_text("one")
    first = await space.fingerprint("write_file", path="a.txt", content="x")
    assert first == await space.fingerprint("write_file", path="./a.txt", content="y")
    file.write_text("two")
    assert first != await space.fingerprint("write_file", path="a.txt", content="x")
    file.write_text("one")
    file.chmod(0o755)
    assert first != await space.fingerprint("write_file", path="a.txt", content="x")


async def test_a_write_over_the_limit_is_refused(make_workspace: MakeSpace) -> None:
    space = make_workspace(write_bytes=10)
    with pytest.raises(ToolError, match="more than the limit of 10"):
        await space.call("write_file", path="a.txt", content="x" * 11)
    with pytest.raises(ToolError, match="lone surrogate"):
        await space.call("write_file", path="a.txt", content="\ud800")
    assert list(space.root.iterdir()) == []


async def test_a_full_disk_leaves_the_old_file_and_says_so(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    (space.root / "a.txt").write_text("old")

    def full(handle: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(ToolError, match="there is no space left"):
        await space.call("write_file", path="a.txt", content="new")
    monkeypatch.undo()
    assert (space.root / "a.txt").read_text() == "old"
    assert [file.name for file in space.root.iterdir()] == ["a.txt"]


async def test_a_listing_shows_kinds_and_stays_out_of_folders_of_tools(space: Space) -> None:
    for folder in ("src/deep", "node_modules/left-pad", ".git"):
        (space.root / folder).mkdir(parents=True)
    (space.root / "src/deep/a.py").write_text("12345")
    (space.root / "node_modules/left-pad/index.js").write_text("")
    (space.root / "link").symlink_to("src")
    text = (await space.call("list_files", depth=4)).content
    assert text.splitlines() == [
        ".git/",
        "link -> src",
        "node_modules/",
        "src/",
        "src/deep/",
        "src/deep/a.py (5 bytes)",
    ]
    assert (await space.call("list_files", depth=4, pattern="*.py")).content == "src/deep/a.py (5 bytes)"
    assert (await space.call("list_files", path="node_modules", depth=2)).content.startswith("left-pad/")


async def test_a_long_listing_is_cut_with_a_note(make_workspace: MakeSpace) -> None:
    space = make_workspace(list_entries=5)
    for number in range(7):
        (space.root / f"{number}.txt").write_text("")
    result = await space.call("list_files")
    assert len(result.content.splitlines()) == 6
    assert "more than 5 entries" in result.content


async def test_names_that_are_no_text_are_listed(space: Space) -> None:
    (space.root / os.fsdecode(b"caf\xe9\x1b.txt")).write_text("")
    text = (await space.call("list_files")).content
    assert text == "caf\N{REPLACEMENT CHARACTER}\\x1b.txt (0 bytes)"


async def test_a_file_too_large_to_compare_is_replaced_with_a_note(make_workspace: MakeSpace) -> None:
    space = make_workspace(write_bytes=100)
    (space.root / "a.txt").write_text("x\n" * 100)
    preview = await space.preview("write_file", path="a.txt", content="new\n")
    assert preview.splitlines()[0] == "Replaces a.txt (200 bytes, too many to compare)"
    assert preview.splitlines()[-2] == "+new"
