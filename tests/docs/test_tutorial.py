"""Does what the tutorial says, in its order, with a real server, and compares what comes out."""

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from iskra_sdk.client import IskraClient, PluginInfo
from markdown_pages import ROOT, CodeBlock, code_blocks
from running_iskra import RunningServer, running_iskra, terminal

PAGE = ROOT / "docs" / "tutorial" / "first-agent.md"
HOME = "/home/ada"
BLOCKS = list(code_blocks(PAGE))
PATIENCE = 20.0  # seconds; a deadline for what the page promises within one

# What differs from run to run: how the page writes it, and what may stand there.
VARYING = {"K7Q2": "[0-9A-Z]{4}", "…": "[^\0]*?"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with running_iskra(tmp_path) as running:
        # The page's reader has everything in the default places.
        (tmp_path / ".iskra").symlink_to(running.data_dir)
        environment = {
            **running.environment,
            "HOME": str(tmp_path),
            "ISKRA_DATA_DIR": str(tmp_path / ".iskra"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            # The test of the reader is not part of this project and its settings.
            "PYTEST_ADDOPTS": "-p no:cacheprovider",
        }
        yield RunningServer(running.process, running.url, running.data_dir, running.workspace, environment)


def pattern_of(expected: str, home: str) -> re.Pattern[str]:
    escaped = re.escape(expected.rstrip("\n").replace(HOME, home))
    for written, varying in VARYING.items():
        escaped = escaped.replace(re.escape(written), varying)
    return re.compile(escaped + r"\s*\Z")


def run_commands(block: CodeBlock, server: RunningServer, folder: Path) -> None:
    """Run the one command of a block and compare its output."""
    first, _, expected = block.text.partition("\n")
    command = shlex.split(first.removeprefix("$ "))
    if "you> " in expected:
        converse(command, expected, server, folder)
        return
    done = subprocess.run(
        command,
        env=dict(server.environment),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    pattern = pattern_of(expected, server.environment["HOME"])
    assert pattern.match(done.stdout), (
        f"line {block.first_line}: {first} printed\n{done.stdout}\ninstead of\n{expected}"
    )


def converse(command: list[str], expected: str, server: RunningServer, folder: Path) -> None:
    """Type what the page shows behind a prompt, and expect everything else in its order."""
    with terminal(command, server.environment, folder) as opened:
        for line in expected.splitlines():
            prompt = re.match(r"(you> |Approve\? .*: )(.+)", line)
            if prompt:
                opened.expect(prompt[1])
                opened.send(prompt[2] + "\r")
            elif line and line != "…" and "K7Q2" not in line:
                opened.expect(line)
        assert opened.end() == 0


def wait_for_plugin(server: RunningServer, holds: Callable[[PluginInfo], bool]) -> None:
    """Wait until the server has noticed what was saved."""
    deadline = time.monotonic() + PATIENCE
    with IskraClient(server.url, server.token) as client:
        while not any(holds(plugin) for plugin in client.plugins.list() if plugin.name == "weather"):
            assert time.monotonic() < deadline, "the server did not notice what was saved"


def saver(server: RunningServer) -> Callable[[str], None]:
    """Return what saves the plugin and waits until the server has taken or refused it."""
    file = server.data_dir / "plugins" / "weather.py"

    def save(source: str) -> None:
        with IskraClient(server.url, server.token) as client:
            before = next(plugin for plugin in client.plugins.list() if plugin.name == "weather")
        draft = file.with_name(".weather.draft")
        draft.write_text(source, encoding="utf-8")
        draft.replace(file)
        wait_for_plugin(
            server, lambda now: now.generation != before.generation or (now.error is None) != (before.error is None)
        )

    return save


def with_tools_replaced(source: str, replacement: str) -> str:
    return source[: source.rindex("@hookimpl\ndef register_tools")] + replacement


def test_the_tutorial_does_what_it_says(server: RunningServer, tmp_path: Path) -> None:
    sources = iter([block.text for block in BLOCKS if block.info == "python no-run"])
    consoles = iter([block for block in BLOCKS if block.info == "console"])
    save = saver(server)

    def run(count: int) -> None:
        for _ in range(count):
            block = next(consoles)
            if "pip install" not in block.text:  # pytest is installed where this runs
                run_commands(block, server, tmp_path)

    run(2)  # the models, a new agent
    wait_for_plugin(server, lambda plugin: plugin.state == "running")
    run(1)  # hello
    plugin = next(sources)
    save(plugin)
    run(1)  # the forecast
    complete = with_tools_replaced(plugin, next(sources))
    save(complete)
    run(1)  # the approval
    assert (server.data_dir / "plugins" / "weather.py").read_text() == complete
    broken = next(sources)
    assert complete.count(broken.replace("[Weather(]", "[Weather()]")) == 1
    save(complete.replace("[Weather()]", "[Weather(]"))
    run(2)  # the check, and the code that worked
    save(complete)
    run(1)  # the check
    (tmp_path / "test_weather.py").write_text(next(sources), encoding="utf-8")
    run(2)  # the installation and the test
    assert next(sources, None) is None
    assert next(consoles, None) is None


def test_the_new_agent_is_as_short_as_the_tutorial_says(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "iskra", "new", "agent", "weather", "--dir", str(tmp_path)],
        check=True,
        capture_output=True,
    )
    assert len((tmp_path / "weather.py").read_text().splitlines()) < 20
