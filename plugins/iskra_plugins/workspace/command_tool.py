"""The tool ``execute_command``."""

import asyncio
import base64
import contextlib
import errno
import hashlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from iskra_plugins.workspace.command_line import ShellNeededError, refuse_shell_program, split_command
from iskra_plugins.workspace.file_tools import digest
from iskra_plugins.workspace.settings import WorkspaceSettings
from iskra_plugins.workspace.visible_text import printable_path, quoted
from iskra_plugins.workspace.workspace_root import WorkspaceRoot, open_file
from iskra_sdk import ToolContext, ToolError, ToolResult
from iskra_sdk.message import clean_text

_SUPERVISOR = Path(__file__).with_name("command_supervisor.py")
_END_SECONDS = 10.0  # what the supervisor may need beyond the command's own time, to stop it and to answer
_CANCEL_SECONDS = 8.0
_OWN_VARIABLES = "ISKRA_"
_MOST_DIGESTS = 200


@dataclass(frozen=True, slots=True)
class Plan:
    """What a command comes to.

    Attributes:
        argv: The exact arguments.
        program: The file that is run; relative to the workspace if it has a slash and is not absolute.
        is_shell: Whether a shell interprets the command.
    """

    argv: Sequence[str]
    program: str
    is_shell: bool


class CommandTool:
    """Runs commands in the root.

    Args:
        root: The folder.
        settings: Limits.
        environment: The server's environment; commands see the allowed part of it.
    """

    def __init__(self, root: WorkspaceRoot, settings: WorkspaceSettings, environment: Mapping[str, str]) -> None:
        self._root = root
        self._settings = settings
        self._ending: set[asyncio.Task[None]] = set()
        self._environment = {
            name: value
            for name, value in environment.items()
            if not name.upper().startswith(_OWN_VARIABLES)
            and any(fnmatchcase(name, glob) for glob in settings.environment)
        }

    @property
    def timeout(self) -> float:
        """Seconds after which a call must have ended, its clean-up included."""
        return self._settings.command_seconds + 2 * _END_SECONDS

    async def execute_command(self, command: str, context: ToolContext) -> ToolResult:
        """Run a program in the workspace and return its output and exit status.

        There is no shell: one program with its arguments, quoted as in a POSIX shell; no pipes, redirections,
        variables, or file patterns. The program gets no input, and is stopped when it takes too long.

        Args:
            command: The program and its arguments, for example: python -m pytest -q "tests/test a.py"
        """
        plan = self._plan(command)
        home = await asyncio.to_thread(tempfile.mkdtemp, prefix="iskra-command-")
        try:
            outcome = await self._run(plan, home, context)
        finally:
            # In a thread, which goes on when this call is cancelled: a command may have left a large tree.
            removal = asyncio.get_running_loop().run_in_executor(None, lambda: shutil.rmtree(home, ignore_errors=True))
            await asyncio.shield(removal)
        return self._result(plan, outcome)

    async def aclose(self) -> None:
        """Wait until cancelled commands have ended; it takes seconds at most."""
        if self._ending:
            await asyncio.wait(self._ending)

    async def preview(self, arguments: Mapping[str, Any]) -> str:
        """Return the exact arguments, one on a line.

        Raises:
            ToolError: The command would be refused.
        """
        plan = await asyncio.to_thread(self._plan, arguments["command"])
        if plan.is_shell:
            return f"Runs in the workspace, in a shell ({plan.program}):\n{quoted(plan.argv[-1])}"
        lines = "\n".join(quoted(word) for word in plan.argv)
        return f"Runs in the workspace, without a shell:\n{lines}"

    async def fingerprint(self, arguments: Mapping[str, Any]) -> str:
        """Return a digest of the program and of all arguments that name files of the workspace.

        Raises:
            ToolError: The command would be refused.
        """
        return await asyncio.to_thread(self._fingerprint, arguments["command"])

    def _plan(self, command: str) -> Plan:
        try:
            argv = split_command(command)
            if not self._may_use_shell(command):
                refuse_shell_program(argv)
        except ShellNeededError:
            if not self._may_use_shell(command):
                raise
            shell = self._settings.shell_program
            return Plan([shell, "-c", command], shell, is_shell=True)
        return Plan(argv, self._program(argv[0]), is_shell=False)

    def _may_use_shell(self, command: str) -> bool:
        return self._settings.shell and any(fnmatchcase(command, glob) for glob in self._settings.shell_commands)

    def _program(self, name: str) -> str:
        """Find the program, in the folders of PATH only and never in the workspace by chance."""
        if "/" in name:
            return name
        folders = [folder for folder in self._environment.get("PATH", os.defpath).split(":") if folder.startswith("/")]
        found = shutil.which(name, path=":".join(folders))
        if not name or found is None:
            raise ToolError(f"There is no program {printable_path(name)} on the server's PATH.")
        return found

    def _fingerprint(self, command: str) -> str:
        plan = self._plan(command)
        hashed = hashlib.sha256()
        program = Path(plan.program)
        if program.is_absolute():
            with contextlib.suppress(OSError):
                status = program.stat()
                hashed.update(f"{program.resolve()}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
        words = plan.argv
        if plan.is_shell:
            # A shell's words cannot be told for sure; everything that looks like one is tried.
            words = plan.argv[-1].replace("'", " ").replace('"', " ").split()
        for word in list(words)[:_MOST_DIGESTS]:
            for path in (word, word.partition("=")[2]):
                if path:
                    hashed.update(f"{path}\0{self._digest(path)}\0".encode(errors="replace"))
        return hashed.hexdigest()

    def _digest(self, path: str) -> str:
        """Return a digest of a regular file of the workspace; empty for anything else."""
        try:
            with self._root.located(path) as place:
                if place.status is None or not stat.S_ISREG(place.status.st_mode):
                    return ""
                handle = open_file(place, path)
        except ToolError:
            return self._link_digest(path)
        try:
            return digest(handle)
        finally:
            os.close(handle)

    def _link_digest(self, path: str) -> str:
        """Return where a link out of the workspace leads, such as a virtual environment's ``python``."""
        try:
            with self._root.located(path, follow=False) as place:
                if place.status is None or not stat.S_ISLNK(place.status.st_mode):
                    return ""
                target = (self._root.path / place.path).resolve()
                status = target.stat()
        except (ToolError, OSError, RuntimeError):
            return ""
        return f"{target}:{status.st_size}:{status.st_mtime_ns}"

    async def _run(self, plan: Plan, home: str, context: ToolContext) -> dict[str, Any]:
        settings = self._settings
        order = {
            "program": plan.program,
            "argv": list(plan.argv),
            "environment": {
                "PATH": os.defpath,
                "LANG": "C.UTF-8",
                **self._environment,
                "HOME": self._environment.get("HOME", home),
                "TMPDIR": home,
                "PWD": str(self._root.path),
                "TERM": "dumb",
                "NO_COLOR": "1",
                "PAGER": "cat",
                "GIT_PAGER": "cat",
                "GIT_TERMINAL_PROMPT": "0",
            },
            "seconds": settings.command_seconds,
            "output_bytes": settings.command_output_bytes,
            "output_limit": settings.command_output_limit,
            "processes": settings.command_processes,
        }
        # The supervisor never sees the server's environment, so nothing of it can be read from there either.
        with self._root.opened() as folder:
            supervisor = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                str(_SUPERVISOR),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                cwd=f"/proc/self/fd/{folder}" if sys.platform == "linux" else str(self._root.path),
                env={"PATH": os.defpath},
                start_new_session=True,
                limit=4 * settings.command_output_bytes + 100_000,
            )
        try:
            async with asyncio.timeout(settings.command_seconds + _END_SECONDS):
                return await _talk(supervisor, to_json(order) + b"\n", context)
        except TimeoutError:
            return {"error": "its supervisor does not answer", "errno": 0}
        finally:
            # A task of its own, because the call may be cancelled again while it waits.
            ending = asyncio.create_task(_dismiss(supervisor))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
            await asyncio.shield(ending)

    def _result(self, plan: Plan, outcome: Mapping[str, Any]) -> ToolResult:
        if "error" in outcome:
            raise self._start_failure(plan, outcome)
        head = base64.b64decode(outcome["head"]).decode(errors="replace")
        tail = base64.b64decode(outcome["tail"]).decode(errors="replace")
        left_out = outcome["left_out"]
        output = clean_text(f"{head}\n[… {left_out} bytes left out …]\n{tail}" if left_out else head + tail)
        status, reason = outcome["status"], outcome["reason"]
        seconds = round(outcome["seconds"], 3)
        data = {
            "argv": list(plan.argv),
            "shell": plan.is_shell,
            "exit_status": status if status is not None and status >= 0 else None,
            "signal": -status if status is not None and status < 0 else None,
            "stopped": reason,
            "seconds": seconds,
            "output": output,
            "output_bytes": outcome["bytes"],
            "left_over_processes": outcome["left_over"] if not reason else 0,
        }
        how = self._how(data, outcome)
        text = output + ("" if not output or output.endswith("\n") else "\n") + f"[{how}]"
        return ToolResult(text, data=data, is_error=bool(reason), error_code=f"command_{reason}" if reason else "")

    def _how(self, data: Mapping[str, Any], outcome: Mapping[str, Any]) -> str:
        settings = self._settings
        reasons = {
            "timeout": f"Stopped after {settings.command_seconds:g} s.",
            "output": f"Stopped: it wrote more than {settings.command_output_limit} bytes.",
            "processes": f"Stopped: it had more than {settings.command_processes} processes.",
            "cancelled": "Cancelled.",
        }
        if outcome["reason"]:
            return reasons[outcome["reason"]]
        if data["signal"] is not None:
            how = f"Ended by signal {data['signal']} after {data['seconds']:.2f} s."
        else:
            how = f"Exit status {data['exit_status']} after {data['seconds']:.2f} s."
        if data["left_over_processes"]:
            how += f" {data['left_over_processes']} processes that it left running were stopped."
        return how

    def _start_failure(self, plan: Plan, outcome: Mapping[str, Any]) -> ToolError:
        name = printable_path(plan.argv[0])
        number = outcome["errno"]
        if number == errno.ENOENT:
            return ToolError(f"There is no program {name}, or the interpreter named in its first line is missing.")
        if number == errno.EACCES:
            return ToolError(f"{name} is not executable.", mend="Run it by its interpreter, e.g. python script.py.")
        if number == errno.ENOEXEC:
            return ToolError(f"{name} is no program: a script needs a first line like #!/usr/bin/env python3.")
        return ToolError(f"{name} could not be run: {outcome['error']}.")


async def _talk(supervisor: asyncio.subprocess.Process, order: bytes, context: ToolContext) -> dict[str, Any]:
    if supervisor.stdin is None or supervisor.stdout is None:
        raise ToolError("The command could not be started: there are no pipes.")
    with contextlib.suppress(ConnectionError):
        supervisor.stdin.write(order)
        await supervisor.stdin.drain()
    async for line in supervisor.stdout:
        answer: dict[str, Any] = from_json(line)
        if "progress" not in answer:
            return answer
        await context.progress(clean_text(answer["progress"]))
    return {"error": "its supervisor died", "errno": 0}


async def _dismiss(supervisor: asyncio.subprocess.Process) -> None:
    """Have the supervisor stop what still runs, and wait for it."""
    if supervisor.stdin is not None:
        supervisor.stdin.close()
    try:
        async with asyncio.timeout(_CANCEL_SECONDS):
            await supervisor.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            supervisor.kill()
