"""No path, link or special file leads a tool out of the workspace."""

import os
import socket
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iskra_sdk import ToolError
from plugins.workspace.space import SECRET, Space, make_space

TOOLS: dict[str, dict[str, object]] = {
    "read_file": {},
    "write_file": {"content": "OVERWRITTEN"},
    "list_files": {"depth": 5},
    "search_in_code": {"query": "SECRET"},
}

# {out} is the folder outside by its absolute path, {root} the workspace. The links are made by `hostile`.
PATHS = [
    "../root-outside/secret.txt",
    "../root-outside",
    "..",
    "../",
    "./..",
    "../.",
    "sub/../..",
    "sub/../../root-outside/secret.txt",
    "sub/./.././../root-outside/secret.txt",
    "sub//..//..//root-outside/secret.txt",
    "../root/../root-outside/secret.txt",
    "../../../../../../../../etc/passwd",
    "../" * 60 + "etc/passwd",
    "../" * 500 + "etc/passwd",
    "{out}/secret.txt",
    "{out}",
    "{root}/../root-outside/secret.txt",
    "{root}-outside/secret.txt",
    "/{root}/../root-outside/secret.txt",
    "//{out}/secret.txt",
    "/etc/passwd",
    "//etc/passwd",
    "/",
    "/.",
    "/..",
    "/proc/self/environ",
    "/proc/self/cwd",
    "/proc/self/root/etc/passwd",
    "/dev/fd/0",
    "/dev/stdin",
    "file-link",
    "folder-link/secret.txt",
    "folder-link",
    "folder-link/",
    "folder-link/.",
    "folder-link/../root-outside/secret.txt",
    "absolute-link",
    "absolute-folder-link/secret.txt",
    "sub/deep-link/secret.txt",
    "chain-a/secret.txt",
    "loop",
    "loop/secret.txt",
    "root-link/../root-outside/secret.txt",
    "proc-link/environ",
    "proc-link/root/etc/passwd",
    "parent-link/root-outside/secret.txt",
    "~/secret.txt",
    "~root/.bashrc",
    "$HOME/secret.txt",
    "%2e%2e/root-outside/secret.txt",
    "..%2froot-outside%2fsecret.txt",
    "%2e%2e%2froot-outside/secret.txt",
    "..%c0%afroot-outside/secret.txt",
    "..\\root-outside\\secret.txt",
    "sub\\..\\..\\root-outside\\secret.txt",
    "C:\\Windows\\win.ini",
    "C:/Windows/win.ini",
    "\\\\server\\share\\secret.txt",
    "\\\\?\\C:\\secret.txt",
    "../root-outside/secret.txt\0",
    "../root-outside/secret.txt\0.md",
    "ok.txt\0/../../root-outside/secret.txt",
    "..\u2215root-outside\u2215secret.txt",
    "\uff0e\uff0e/root-outside/secret.txt",
    "\u2025/root-outside/secret.txt",
    ".../root-outside/secret.txt",
    ".. /root-outside/secret.txt",
    " ../root-outside/secret.txt",
    "..\t/root-outside/secret.txt",
    "..\n/root-outside/secret.txt",
    "../ROOT-OUTSIDE/secret.txt",
    "sub/..\u200b/../root-outside/secret.txt",
    "\ud800/../root-outside/secret.txt",
    "file:///etc/passwd",
    "file://{out}/secret.txt",
    "",
    "a" * 300,
    "a/" * 3000 + "secret.txt",
    "sub/" * 100 + "../" * 101 + "root-outside/secret.txt",
]


@pytest.fixture
def hostile(space: Space) -> Space:
    root, out = space.root, space.outside
    (root / "sub").mkdir()
    (root / "ok.txt").write_text("fine")
    for link, target in {
        "file-link": "../root-outside/secret.txt",
        "folder-link": "../root-outside",
        "absolute-link": str(out / "secret.txt"),
        "absolute-folder-link": str(out),
        "sub/deep-link": "../../root-outside",
        "chain-a": "chain-b",
        "chain-b": "sub/deep-link",
        "loop": "loop",
        "root-link": ".",
        "proc-link": "/proc/self",
        "parent-link": "..",
    }.items():
        (root / link).symlink_to(target)
    return space


def outside_state(space: Space) -> dict[str, bytes]:
    """Everything around the workspace, so that a write outside shows."""
    base = space.root.parent
    files = (Path(folder) / name for folder, _, names in os.walk(base) for name in names)
    return {str(file): file.read_bytes() for file in files if space.root not in file.parents}


def open_handles() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_there_are_at_least_44_spellings() -> None:
    assert len(set(PATHS)) >= 44


@pytest.mark.parametrize("path", PATHS, ids=lambda path: ascii(path)[1:40])
@pytest.mark.parametrize("tool", TOOLS)
async def test_no_spelling_reaches_outside(hostile: Space, tool: str, path: str) -> None:
    path = path.replace("{out}", str(hostile.outside)).replace("{root}", str(hostile.root))
    before = outside_state(hostile)
    started = time.monotonic()
    said = ""
    for attempt in (hostile.call, hostile.preview if tool == "write_file" else hostile.call):
        try:
            result = await attempt(tool, path=path, **TOOLS[tool])
        except ToolError as error:
            said += str(error)
        else:
            said += result if isinstance(result, str) else f"{result.content} {result.data}"
    assert time.monotonic() - started < 30
    assert SECRET not in said
    assert "root:x:0" not in said
    assert "secret.txt (" not in said
    assert outside_state(hostile) == before


names = st.sampled_from(
    ["..", ".", "", "sub", "folder-link", "parent-link", "root-link", "file-link", "secret.txt", "~"]
)
paths = st.one_of(
    st.text(max_size=40),
    st.lists(names, max_size=12).map("/".join),
    st.lists(st.one_of(names, st.text(max_size=4)), max_size=8).map("/".join),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=paths, tool=st.sampled_from(["read_file", "write_file", "list_files", "search_in_code"]))
async def test_no_path_whatever_opens_anything_outside(hostile: Space, path: str, tool: str) -> None:
    before = outside_state(hostile)
    try:
        result = await hostile.call(tool, path=path, **TOOLS[tool])
    except ToolError:
        pass
    else:
        assert SECRET not in f"{result.content} {result.data}"
    assert outside_state(hostile) == before


async def test_links_inside_the_workspace_are_followed(hostile: Space) -> None:
    (hostile.root / "sub" / "to-ok").symlink_to("../ok.txt")
    assert (await hostile.call("read_file", path="sub/to-ok")).content == "fine"
    assert (await hostile.call("read_file", path="root-link/sub/../ok.txt")).content == "fine"


async def test_an_absolute_path_inside_is_understood(hostile: Space) -> None:
    assert (await hostile.call("read_file", path=f"{hostile.root}/ok.txt")).content == "fine"


async def test_writing_to_a_link_is_refused(hostile: Space) -> None:
    (hostile.root / "to-ok").symlink_to("ok.txt")
    with pytest.raises(ToolError, match="is a link"):
        await hostile.call("write_file", path="to-ok", content="x")
    assert (hostile.root / "ok.txt").read_text() == "fine"


async def test_replacing_a_hard_link_leaves_its_other_name_alone(space: Space) -> None:
    os.link(space.outside / "secret.txt", space.root / "hard")
    await space.call("write_file", path="hard", content="new")
    assert (space.root / "hard").read_text() == "new"
    assert (space.outside / "secret.txt").read_text() == SECRET


@pytest.mark.parametrize("tool", TOOLS)
async def test_special_files_are_refused_at_once(space: Space, tool: str) -> None:
    os.mkfifo(space.root / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        # A socket's path may have 108 bytes only.
        folder = os.open(space.root, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{folder}/socket")
        os.close(folder)
    if os.getuid() == 0:
        os.mknod(space.root / "device", 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero: endless when read
    started = time.monotonic()
    for name in ("fifo", "socket", "device"):
        if (space.root / name).exists():
            with pytest.raises(ToolError, match=r"named pipe|socket|device|no folder"):
                await space.call(tool, path=name, **TOOLS[tool])
    assert time.monotonic() - started < 30


async def test_special_files_do_not_stop_a_listing_or_search(space: Space) -> None:
    os.mkfifo(space.root / "fifo")
    (space.root / "a.txt").write_text("needle")
    assert "fifo (special file)" in (await space.call("list_files")).content
    assert "a.txt:1: needle" in (await space.call("search_in_code", query="needle")).content


async def test_a_sparse_file_of_4_gb_costs_a_window_only(space: Space) -> None:
    with (space.root / "huge.txt").open("wb") as file:
        file.write(b"first line\n" * 2000)
        file.truncate(4 << 30)
    started = time.monotonic()
    assert (await space.call("read_file", path="huge.txt", limit=2)).content.startswith("first line\nfirst line\n[")
    with pytest.raises(ToolError, match="begins after the first 64 MiB"):
        await space.call("read_file", path="huge.txt", offset=1_000_000)
    assert "1 binary, private, large" in (await space.call("search_in_code", query="zzz")).content
    assert "4294967296 bytes" in (await space.call("list_files")).content
    assert await space.fingerprint("write_file", path="huge.txt", content="x")
    assert "Replaces the binary file" in await space.preview("write_file", path="huge.txt", content="x")
    await space.call("write_file", path="huge.txt", content="x")
    assert time.monotonic() - started < 30


async def test_a_folder_swapped_for_a_link_never_leads_out(space: Space) -> None:
    """One thread swaps `door` between a folder and a link to the outside while the tools go through it."""
    (space.root / "inside").mkdir()
    (space.root / "inside" / "secret.txt").write_text("harmless")
    (space.root / "out").symlink_to("../root-outside")
    (space.root / "in").symlink_to("inside")
    stop = threading.Event()
    swaps = 0

    def swap() -> None:
        nonlocal swaps
        while not stop.is_set():
            for target in ("out", "in"):
                (space.root / "next").symlink_to((space.root / target).readlink())
                (space.root / "next").rename(space.root / "door")
            (space.root / "door").unlink()
            (space.root / "inside").rename(space.root / "door")
            (space.root / "door").rename(space.root / "inside")
            swaps += 1

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        ends = time.monotonic() + 2
        rounds = reads = 0
        while time.monotonic() < ends:
            rounds += 1
            for tool, path in (("read_file", "door/secret.txt"), ("list_files", "door"), ("search_in_code", "door")):
                try:
                    result = await space.call(tool, path=path, **TOOLS[tool])
                except ToolError:
                    continue
                reads += 1
                assert SECRET not in result.content
            try:
                await space.call("write_file", path="door/new.txt", content="x", create_folders=False)
            except ToolError:
                continue
    finally:
        stop.set()
        thread.join()
    assert swaps > 10
    assert reads > 0
    assert [file.name for file in space.outside.iterdir()] == ["secret.txt"]


async def test_no_handle_stays_open(hostile: Space) -> None:
    before = open_handles()
    for path in (*PATHS, "ok.txt", "sub", "root-link/sub/../ok.txt"):
        for tool, arguments in TOOLS.items():
            try:
                await hostile.call(tool, path=path.replace("{out}", "/x").replace("{root}", "/y"), **arguments)
            except ToolError:
                continue
    assert open_handles() <= before


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        "sub/.ENV",
        ".env.local",
        "keys/server.PEM",
        ".ssh/config",
        ".ssh",
        "id_rsa",
        ".git/config",
        "sub/.aws/a/b",
    ],
)
async def test_private_files_are_neither_read_nor_written(space: Space, path: str) -> None:
    with pytest.raises(ToolError, match="is private"):
        await space.call("write_file", path=path, content="x")
    assert list(space.root.iterdir()) == []
    (space.root / path).parent.mkdir(parents=True, exist_ok=True)
    (space.root / path).write_text(SECRET)
    for tool, arguments in TOOLS.items():
        with pytest.raises(ToolError, match="is private"):
            await space.call(tool, path=path, **arguments)


async def test_private_files_are_not_found_through_links_or_searches(space: Space) -> None:
    (space.root / ".env").write_text(f"KEY={SECRET}")
    (space.root / "notes.txt").symlink_to(".env")
    with pytest.raises(ToolError, match="is private"):
        await space.call("read_file", path="notes.txt")
    assert SECRET not in (await space.call("search_in_code", query="SECRET")).content


@pytest.mark.parametrize("path", [".env.example", "id_ed25519.pub", "environment.py", "keys.py"])
async def test_harmless_names_are_not_private(space: Space, path: str) -> None:
    (space.root / path).write_text("fine")
    assert (await space.call("read_file", path=path)).content == "fine"


async def test_the_data_directory_inside_the_workspace_is_out_of_reach(tmp_path: Path) -> None:
    data = tmp_path / "root" / "server"
    space = make_space(tmp_path, {}, data_dir=data / "plugin-data" / "workspace")
    (data / "token").write_text(SECRET)
    (space.root / "other-name").symlink_to("server")
    for folder in ("server", "other-name"):
        for tool, arguments in TOOLS.items():
            with pytest.raises(ToolError, match="is private"):
                await space.call(tool, path=f"{folder}/token", **arguments)
    assert SECRET not in (await space.call("search_in_code", query="SECRET")).content
