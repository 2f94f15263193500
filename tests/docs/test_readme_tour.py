"""Walks the README's tour: its commands, typed into a shell beside a fresh server, give what it shows."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from markdown_pages import ROOT, CodeBlock, code_blocks

README = ROOT / "README.md"
BLOCKS = list(code_blocks(README))
PATIENCE = 60.0  # seconds; a deadline for what the page promises within one

PORT, HOME = "8700", "/home/ada"  # as the page has them

# What differs from run to run, and what stands for it when page and output are compared.
MASKS = {
    r"\b(approve|deny) [0-9A-Z]{4}\b": r"\1 CODE",
    r"chatcmpl-[0-9a-f]+": "chatcmpl-ID",
    r'"created":\d+': '"created":TIME',
    r"login\?code=[\w-]+": "login?code=CODE",
    r"isk-[\w-]+": "isk-TOKEN",
    r"Python \d+\.\d+\.\d+": "Python VERSION",
    r"after [\d.]+ s\b": "after TIME s",
    r"\n {20,}": " ",  # where a table breaks a cell depends on the length of the path in it
}


@dataclass(frozen=True)
class Tour:
    """A fresh server of somebody whose home holds nothing else."""

    home: Path
    port: str
    printed: str
    """What the server printed when it started."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def plugin_file(self) -> Path:
        return self.home / ".iskra" / "plugins" / "miles.py"

    @property
    def environment(self) -> dict[str, str]:
        return {**_environment(self.home), "ISKRA_URL": self.url}

    def fetch(self, path: str) -> list[dict[str, object]]:
        token = (self.home / ".iskra" / "token").read_text().strip()
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {token}"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310 - our own loopback address
            data: list[dict[str, object]] = json.load(answer)["data"]
            return data

    def wait_until_the_plugin_is_seen(self, before: object) -> None:
        """Wait until the server has taken or refused what was saved."""
        deadline = time.monotonic() + PATIENCE
        while self.plugin_status() == before:
            assert time.monotonic() < deadline, "the server did not notice what was saved"

    def plugin_status(self) -> object:
        plugins = self.fetch("/api/v1/admin/plugins")
        return next(((one["generation"], one["error"]) for one in plugins if one["name"] == "miles"), None)


def _environment(home: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ISKRA_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{inherited['PATH']}"
    return {**inherited, "HOME": str(home), "PATH": path, "TERM": "dumb", "PYTHONUNBUFFERED": "1"}


@contextmanager
def fresh_server(home: Path) -> Iterator[Tour]:
    """Run what ``make run`` runs, on a free port, until the block is left."""
    log = home / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "iskra", "serve", "--port", "0"],
            cwd=ROOT,
            env=_environment(home),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(r"listens on http://127\.0\.0\.1:(\d+)\n.*? chat\b", log.read_text(), re.DOTALL)):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
        yield Tour(home, found[1], log.read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0, log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def commands_of(block: CodeBlock) -> Iterator[tuple[str, str]]:
    """Yield each command of a block with the output that the page shows for it."""
    for entry in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        lines = entry.splitlines(keepends=True)
        count = next(count for count in range(1, len(lines) + 1) if _is_complete("".join(lines[:count])))
        yield "".join(lines[:count]), "".join(lines[count:])


def _is_complete(command: str) -> bool:
    checked = subprocess.run(["bash", "-n"], input=command, capture_output=True, text=True, check=False)
    return checked.returncode == 0 and not checked.stderr and not command.endswith("\\\n")


def masked(text: str) -> str:
    for pattern, mask in MASKS.items():
        text = re.sub(pattern, mask, text)
    return text.strip()


def assert_shown(expected: str, output: str, tour: Tour) -> None:
    """Compare; ``…`` on the page stands for anything."""
    output = output.replace(str(tour.home), HOME).replace(f"127.0.0.1:{tour.port}", f"127.0.0.1:{PORT}")
    pattern = re.escape(masked(expected)).replace(re.escape("…"), "[^\0]*?")
    assert re.fullmatch(pattern, masked(output)), f"the page shows\n{expected}\nbut this came:\n{output}"


class Shell:
    """One bash for the whole tour, as functions and variables are used across commands."""

    def __init__(self, tour: Tour) -> None:
        self._tour = tour
        self._history: list[str] = []

    def run(self, command: str) -> str:
        """Run a command after the assignments and definitions of earlier ones, and return what it prints."""
        lines = command.replace(f"127.0.0.1:{PORT}", f"127.0.0.1:{self._tour.port}")
        if re.match(r"\w+(\(\)|=)", lines):
            self._history.append(lines)
        done = subprocess.run(
            ["bash", "-c", "".join(self._history) + lines],
            cwd=ROOT,
            env=self._tour.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
        )
        return done.stdout


def test_the_tour_is_true_to_the_letter(tmp_path: Path) -> None:
    with fresh_server(tmp_path) as tour:
        shell = Shell(tour)
        code = ""
        for block in BLOCKS:
            if block.info == "text":
                assert_shown(block.text, tour.printed[tour.printed.index("  Iskra listens") :], tour)
            elif block.info == "python":
                before = tour.plugin_status()
                tour.plugin_file.write_text(block.text, encoding="utf-8")
                tour.wait_until_the_plugin_is_seen(before)
            elif block.info == "console":
                for command, expected in commands_of(block):
                    if command.startswith(". "):
                        continue  # this environment's programs are on the path already
                    before = tour.plugin_status()
                    saves = command.endswith("; sleep 1\n")
                    typed = re.sub(r"approve [0-9A-Z]{4}", f"approve {code}", command).replace("; sleep 1", "")
                    output = shell.run(typed)
                    if saves:
                        tour.wait_until_the_plugin_is_seen(before)
                    found = re.search(r"Reply `approve ([0-9A-Z]{4})`", output)
                    code = found[1] if found else code
                    assert_shown(expected, output, tour)
        assert code, "the tour approved nothing"
        assert tour.plugin_status() is not None, "the tour added no plugin"


def test_the_plugin_is_as_short_as_the_readme_says() -> None:
    (plugin,) = [block.text for block in BLOCKS if block.info == "python"]
    assert len(plugin.splitlines()) < 20


@pytest.mark.parametrize("kind", ["agents", "tools"])
def test_the_table_names_what_is_there(tmp_path: Path, kind: str) -> None:
    row = re.search(rf"^\| {kind} \|.*$", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert row is not None
    with fresh_server(tmp_path) as tour:
        names = {one["name"] for one in tour.fetch(f"/api/v1/{kind}")}
    assert names == set(re.findall(r"`(\w+)`", row[0])) - {"iskra"}
