import asyncio
import logging
import os
import re
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from iskra_plugins.caches.tool_identity import ToolIdentities
from iskra_sdk import Risk, Tool, tool

SCRIPT = """
import sys
from pathlib import Path
from iskra_plugins.caches.tool_identity import ToolIdentities
from iskra_plugins.workspace.file_tools import FileTools
from iskra_plugins.workspace.private_files import PrivateFiles
from iskra_plugins.workspace.settings import WorkspaceSettings
from iskra_plugins.workspace.workspace_root import WorkspaceRoot
from iskra_sdk import tool

root = WorkspaceRoot(Path("/somewhere"), private=PrivateFiles([".env", "secrets/*"]))
files = FileTools(root, WorkspaceSettings(read_lines=int(sys.argv[1])))
print(ToolIdentities().of(tool(risk="read", reads=("file:{path}",))(files.read_file)))
sys.path.insert(0, sys.argv[2])
import weather
print(ToolIdentities().of(weather.forecast))
"""
WEATHER = """
from iskra_sdk import tool

CITIES = {"London", "Paris", "Omsk"}

@tool(risk="read", reads=("file:{city}",))
def forecast(city: str) -> str:
    return shown(city) if city in {"London", "Omsk"} else str(CITIES)

def shown(city: str) -> str:
    return "rain"
"""


def in_another_process(folder: Path, *, lines: int = 100, seed: str = "0") -> list[str]:
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", SCRIPT, str(lines), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.split()


def test_a_tool_is_the_same_in_every_process_with_the_same_settings_and_code(tmp_path: Path) -> None:
    weather = tmp_path / "weather.py"
    weather.write_text(WEATHER)
    files, forecast = in_another_process(tmp_path)
    assert {len(files), len(forecast)} == {64}
    for seed in ("1", "2"):  # the second process finds compiled code
        assert in_another_process(tmp_path, seed=seed) == [files, forecast]
    assert in_another_process(tmp_path, lines=101)[0] != files
    for old, new in (('"rain"', '"snow, much of it"'), ("Paris", "Parma, too"), ("city in", "city not in")):
        weather.write_text(WEATHER.replace(old, new))
        assert in_another_process(tmp_path)[1] != forecast


class Options(BaseModel):
    key: SecretStr
    risk: Risk = Risk.READ


class Slotted:
    __slots__ = ("other", "value")

    def __init__(self, value: object) -> None:
        self.value = value
        self.other = self


def holding(value: object) -> Tool:
    @tool(risk="read")
    def hold() -> str:
        return str(value)

    return hold


def identity(value: object) -> str | None:
    return ToolIdentities().of(holding(value))


VALUES: list[Callable[[str], Any]] = [
    lambda text: text,
    lambda text: [1, (text, None), {"a": {text: b"x"}}, frozenset({text, "b"})],
    lambda text: Options(key=SecretStr(text)),
    lambda text: Slotted([Slotted(text)]),
    lambda text: partial(int, base=len(text)),
    lambda text: re.compile(text),
    lambda text: Path(text),
    lambda text: lambda: text,
    lambda text: lambda given=text: given,
    lambda text: holding(text).function,
]


@pytest.mark.parametrize("make", VALUES)
def test_what_a_tool_was_made_with_counts_by_its_value(make: Callable[[str], Any]) -> None:
    assert identity(make("one")) == identity(make("one")) is not None
    assert identity(make("one")) != identity(make("three"))


@pytest.mark.parametrize(
    "value",
    [object(), threading.Lock(), asyncio.Lock(), deque([1]), iter([]), logging.getLogger("x"), sys.stdout],
    ids=lambda value: type(value).__name__,
)
def test_a_tool_that_holds_what_has_no_value_has_no_equal(value: object) -> None:
    assert identity(value) is None
    assert identity([{"deep": Slotted(value)}]) is None


def test_identities_are_forgotten_with_their_tools() -> None:
    identities = ToolIdentities()
    assert identities.of(holding(1)) == identities.of(holding(1)) != identities.of(holding(2))
