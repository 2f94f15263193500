"""Commands end, leave nothing behind and learn nothing."""

import asyncio
import contextlib
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from iskra_plugins.workspace import command_supervisor
from iskra_sdk import ToolContext, ToolError, ToolResult
from plugins.workspace.space import MakeSpace, Space, data_of

PYTHON = shlex.quote(sys.executable)

# Leaves a process that ignores SIGTERM, in a session of its own, whose parents are gone: a daemon.
DAEMON = """
import os, signal, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open("daemon.pid", "w").write(str(os.getpid()))
        time.sleep(600)
    os._exit(0)
os.wait()
while not os.path.exists("daemon.pid") or not open("daemon.pid").read():
    time.sleep(0.01)
"""
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open("stubborn.pid", "w").write(str(os.getpid()))
print("ready", flush=True)
time.sleep(600)
"""


async def run(space: Space, script: str, context: ToolContext | None = None) -> ToolResult:
    (space.root / "script.py").write_text(script)
    return await space.call_in(context or ToolContext(), "execute_command", command=f"{PYTHON} script.py")


def is_alive(process: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    return False


def processes_in(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cwd() == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


async def until(condition: Callable[[], object]) -> None:
    """Wait for another process; it cannot set an event here."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def pid_from(file: Path) -> int:
    await until(lambda: file.exists() and file.read_text())
    return int(await asyncio.to_thread(file.read_text))


async def test_a_command_tells_output_status_and_time(space: Space) -> None:
    result = await run(space, "import sys; print('out', flush=True); print('err', file=sys.stderr); sys.exit(3)")
    assert result.content.startswith("out\nerr\n[Exit status 3 after ")
    assert data_of(result) | {"seconds": 0, "argv": []} == {
        "argv": [],
        "shell": False,
        "exit_status": 3,
        "signal": None,
        "stopped": "",
        "seconds": 0,
        "output": "out\nerr\n",
        "output_bytes": 8,
        "left_over_processes": 0,
    }


async def test_a_signal_is_no_exit_status(space: Space) -> None:
    result = await run(space, "import os; os.kill(os.getpid(), 11)")
    assert data_of(result)["signal"] == signal.SIGSEGV
    assert data_of(result)["exit_status"] is None


async def test_both_outputs_keep_their_order(space: Space) -> None:
    script = "import os\nfor n in range(100): os.write(1 + n % 2, f'{n}\\n'.encode())"
    assert data_of(await run(space, script))["output"] == "".join(f"{n}\n" for n in range(100))


async def test_it_runs_in_the_workspace_without_input_or_handles(space: Space) -> None:
    script = "import os, sys; print(os.getcwd(), sorted(os.listdir('/proc/self/fd'))[:3], sys.stdin.read() == '')"
    script += "; print(len(os.listdir('/proc/self/fd')))"
    inherited = os.open(space.outside, os.O_RDONLY)
    os.set_inheritable(inherited, True)
    try:
        output = data_of(await run(space, script))["output"]
    finally:
        os.close(inherited)
    assert output == f"{space.root} ['0', '1', '2'] True\n4\n"  # the fourth is the listing's own


async def test_no_secret_of_the_server_is_in_its_environment(
    make_workspace: MakeSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ISKRA_TOKEN", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "DATABASE_URL", "LD_PRELOAD_X", "HOME"):
        monkeypatch.setenv(name, f"secret-{name}")
    monkeypatch.setenv("LC_TIME", "C")
    space = make_workspace(environment=["PATH", "LC_*", "ISKRA_*"])
    script = "import os\nfor p in ('self', str(os.getppid())): print(open(f'/proc/{p}/environ').read())"
    output = data_of(await run(space, script))["output"]
    assert "secret-" not in output
    assert "LC_TIME=C" in output
    assert "TERM=dumb" in output


async def test_its_home_is_its_own_and_goes_with_it(space: Space) -> None:
    output = data_of(await run(space, "import os; open(os.path.expanduser('~/x'), 'w'); print(os.environ['HOME'])"))[
        "output"
    ]
    assert output.strip()
    assert not await asyncio.to_thread(Path(output.strip()).exists)


async def test_a_command_that_takes_too_long_is_stopped(make_workspace: MakeSpace) -> None:
    space = make_workspace(command_seconds=0.5)
    started = time.monotonic()
    result = await run(space, "import time; print('begun', flush=True); time.sleep(600)")
    assert time.monotonic() - started < 30
    assert result.is_error
    assert result.error_code == "command_timeout"
    assert "begun" in result.content
    assert "Stopped after 0.5 s." in result.content


async def test_a_command_that_ignores_sigterm_is_killed(make_workspace: MakeSpace) -> None:
    space = make_workspace(command_seconds=1)
    started = time.monotonic()
    result = await run(space, STUBBORN)
    assert 2.9 < time.monotonic() - started < 30
    assert data_of(result)["stopped"] == "timeout"
    assert not is_alive(int((space.root / "stubborn.pid").read_text()))


async def test_a_daemon_does_not_outlive_its_command(space: Space) -> None:
    result = await run(space, DAEMON)
    assert data_of(result)["exit_status"] == 0
    assert data_of(result)["left_over_processes"] == 1
    assert "1 processes that it left running were stopped" in result.content
    assert not is_alive(int((space.root / "daemon.pid").read_text()))


async def test_a_background_child_that_holds_the_output_does_not_hold_the_call(space: Space) -> None:
    started = time.monotonic()
    result = await run(space, "import subprocess; subprocess.Popen(['sleep', '600']); print('done')")
    assert time.monotonic() - started < 30
    assert data_of(result)["output"] == "done\n"


async def test_many_children_are_stopped(make_workspace: MakeSpace) -> None:
    space = make_workspace(command_processes=20)
    script = "import os, time\nfor n in range(60):\n  if os.fork() == 0: time.sleep(600)\ntime.sleep(600)"
    started = time.monotonic()
    result = await run(space, script)
    assert time.monotonic() - started < 30
    assert data_of(result)["stopped"] == "processes"
    assert processes_in(space.root) == []


async def test_children_that_keep_forking_are_all_ended(make_workspace: MakeSpace) -> None:
    space = make_workspace(command_processes=10)
    # Each process forks another and ends, so that there is always one that was not there at the last look.
    script = "import os, time\nwhile True:\n  if os.fork(): time.sleep(0.002); os._exit(0)\n  os.setsid()"
    result = await run(space, script)
    assert data_of(result)["left_over_processes"] >= 0
    assert processes_in(space.root) == []


async def test_endless_output_is_stopped_and_costs_no_memory(make_workspace: MakeSpace) -> None:
    space = make_workspace(command_output_bytes=10_000, command_output_limit=30_000_000)
    before = psutil.Process().memory_info().rss
    result = await space.call("execute_command", command="yes abcdefghi")
    assert data_of(result)["stopped"] == "output"
    assert len(result.content) < 11_000
    assert "bytes left out …]" in result.content
    assert psutil.Process().memory_info().rss - before < 20_000_000


async def test_long_output_keeps_its_beginning_and_end(make_workspace: MakeSpace) -> None:
    space = make_workspace(command_output_bytes=1000)
    result = await run(space, "print('BEGIN'); print('x' * 500_000); print('END')")
    assert result.content.startswith("BEGIN\nxxx")
    assert "xxx\nEND\n[Exit status 0" in result.content
    assert f"[… {500_011 - 1000} bytes left out …]" in result.content


async def test_output_that_is_no_text_is_cleaned(space: Space) -> None:
    result = await run(space, "import os; os.write(1, b'a\\0b\\xff\\xed\\xa0\\x80c')")
    assert "\0" not in result.content
    result.content.encode()


async def test_a_cancelled_call_stops_the_command(space: Space) -> None:
    call = asyncio.create_task(run(space, STUBBORN))
    process = await pid_from(space.root / "stubborn.pid")
    started = time.monotonic()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert time.monotonic() - started < 30
    assert not is_alive(process)


async def test_a_call_cancelled_twice_still_stops_the_command(space: Space) -> None:
    call = asyncio.create_task(run(space, STUBBORN))
    process = await pid_from(space.root / "stubborn.pid")
    for _ in range(3):
        call.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await call
    await space.aclose()
    assert not is_alive(process)


async def test_a_command_does_not_outlive_the_server(space: Space) -> None:
    """The server's place is taken by a process that is killed without a chance to clean up."""
    order = {
        "program": sys.executable,
        "argv": ["python", "-c", STUBBORN],
        "environment": {},
        "seconds": 600,
        "output_bytes": 1000,
        "output_limit": 10_000,
        "processes": 10,
    }
    server = f"""
import json, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-I", "-S", {command_supervisor.__file__!r}], stdin=subprocess.PIPE)
child.stdin.write(json.dumps({order!r}).encode() + b"\\n")
child.stdin.flush()
time.sleep(600)
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", server, cwd=space.root, stdout=asyncio.subprocess.PIPE
    )
    stubborn = await pid_from(space.root / "stubborn.pid")
    process.kill()
    await process.wait()
    await until(lambda: not is_alive(stubborn))


async def test_long_commands_tell_how_they_go(space: Space) -> None:
    told: list[str] = []

    async def progress(text: str) -> None:
        told.append(text)

    script = "import time\nfor n in range(13): print('step', n, flush=True); time.sleep(0.1)"
    await run(space, script, ToolContext(progress=progress))
    assert told
    assert all(text.startswith("step ") for text in told)


async def test_a_running_command_does_not_block_the_loop(space: Space) -> None:
    worst = 0.0
    call = asyncio.create_task(space.call("execute_command", command="yes"))
    while not call.done():
        before = time.monotonic()
        await asyncio.sleep(0.005)
        worst = max(worst, time.monotonic() - before)
    assert worst < 0.5


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("no-such-program-here", "no program"),
        ("./missing", "no program"),
        ("./plain.txt", "is not executable"),
        ("./broken", "is no program"),
        ("./sub", "is not executable"),
        ("''", "no program"),
    ],
)
async def test_a_program_that_cannot_run_says_why(space: Space, command: str, message: str) -> None:
    (space.root / "plain.txt").write_text("text")
    (space.root / "broken").write_text("no first line")
    (space.root / "broken").chmod(0o755)
    (space.root / "sub").mkdir()
    with pytest.raises(ToolError, match=message):
        await space.call("execute_command", command=command)


async def test_a_program_in_the_workspace_is_not_found_by_its_bare_name(
    make_workspace: MakeSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f".::{os.environ['PATH']}")
    space = make_workspace()
    (space.root / "mytool").write_text("#!/bin/sh\necho hijacked\n")
    (space.root / "mytool").chmod(0o755)
    with pytest.raises(ToolError, match="no program"):
        await space.call("execute_command", command="mytool")
    assert (await space.call("execute_command", command="./mytool")).content.startswith("hijacked")


def test_the_tail_keeps_both_ends() -> None:
    tail = command_supervisor.Tail(10)
    for number in range(100):
        tail.add(b"%03d" % number)
    assert tail.parts == (b"00000", b"98099")
    assert tail.left_out == 290
    short = command_supervisor.Tail(10)
    short.add(b"one\n\n")
    assert (short.parts, short.left_out, short.last_line) == ((b"one\n\n", b""), 0, b"one")
