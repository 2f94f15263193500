import json
from pathlib import Path

import pytest

from core.cli.conftest import Program

GOOD = """
from iskra_sdk import Agent, hookimpl

class Weather(Agent):
    name = "weather"

@hookimpl
def register_agents():
    return [Weather()]
"""

BAD: dict[str, tuple[str, str, str]] = {
    "syntax": ("def (\n", "sample.py, line 1: SyntaxError", "Mend the syntax"),
    "raises": ("x = 1\n1 / 0\n", "sample.py, line 2: ZeroDivisionError", "Mend the code"),
    "missing module": (
        "import not_there_at_all\n",
        "line 1: ModuleNotFoundError",
        "Install what provides 'not_there_at_all'",
    ),
    "exits": ("import sys\nsys.exit(3)\n", "line 2: SystemExit: 3", "must not end the process"),
    "dies": ("import os\nos._exit(7)\n", "ended the process with status 7", "Do not call"),
    "crashes": ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", "crashed the process (SIGSEGV)", "native"),
    "no hooks": ("x = 1\n", "implements no hook", "hookimpl"),
    "unknown hook": (
        "from iskra_sdk import hookimpl\n@hookimpl\ndef register_nothing():\n    return []\n",
        "register_nothing",
        "lists them all",
    ),
    "unknown argument": (
        "from iskra_sdk import hookimpl\n@hookimpl\ndef register_tools(kernel):\n    return []\n",
        "kernel",
        "lists them all",
    ),
    "class instead of object": (
        GOOD.replace("[Weather()]", "[Weather]"),
        "sample.py, line 7: `register_agents` returned the class Weather itself",
        "`Weather()`",
    ),
    "no tool": (
        "from iskra_sdk import hookimpl\ndef add(): ...\n@hookimpl\ndef register_tools():\n    return [add]\n",
        "line 3: `register_tools` returned",
        "@iskra_sdk.tool",
    ),
    "wrong name": (
        GOOD.replace('"weather"', '"The Weather"'),
        "has the name 'The Weather'",
        "Names of this kind match",
    ),
    "hook raises": (
        GOOD.replace("return [Weather()]", "return [Weather().nonsense]"),
        "sample.py, line 9: AttributeError",
        "Mend the code",
    ),
    "untyped tool": (
        "from iskra_sdk import tool\n@tool\ndef add(a, b):\n    return a\n",
        "line 2: TypeError: tool 'add': parameter 'a' needs a type hint",
        "Mend the code",
    ),
    "permission": (
        "# /// iskra-plugin\n# permissions = ['everything']\n# ///\n" + GOOD,
        "permissions.0",
        "permissions are",
    ),
    "api": ("# /// iskra-plugin\n# api = '99'\n# ///\n" + GOOD, "written for plugin API 99", "upgrade the server"),
    "manifest": ("# /// iskra-plugin\n# name = \n# ///\n" + GOOD, "no valid TOML", ""),
    "requires": (
        "# /// iskra-plugin\n# requires = ['nobody']\n# ///\n" + GOOD,
        "requires the plugin 'nobody'",
        "Install",
    ),
    "extras": (
        "# /// iskra-plugin\n# extras = { not_there_at_all = 'iskra[more]' }\n# ///\n" + GOOD,
        "needs the module 'not_there_at_all'",
        "pip install 'iskra[more]'",
    ),
    "settings": (
        "# /// iskra-plugin\n# defaults = { size = 'big' }\n# ///\n"
        "from pydantic import BaseModel\nfrom iskra_sdk import hookimpl\n"
        "class S(BaseModel):\n    size: int = 1\n@hookimpl\ndef settings_schema():\n    return S\n",
        "size: Input should be a valid integer",
        "settings are: size",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_stops_a_plugin_is_told_with_place_and_mend(iskra: Program, tmp_path: Path, case: str) -> None:
    source, problem, mend = BAD[case]
    file = tmp_path / "sample.py"
    file.write_text(source)
    done = iskra("check", str(file))
    assert done.status == 1
    assert problem in done.out
    assert mend in done.out
    assert "Traceback" not in done.text


def test_a_plugin_that_never_ends_is_told(iskra: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISKRA_PLUGINS__START_TIMEOUT", "0.2")
    monkeypatch.setattr("iskra.cli.plugin_check._STARTING", 1.5)
    (tmp_path / "endless.py").write_text("while True: pass\n")
    done = iskra("check", str(tmp_path / "endless.py"))
    assert done.status == 1
    assert "did not end within 0.2 s" in done.out


def test_what_a_plugin_prints_or_leaves_running_does_no_harm(iskra: Program, tmp_path: Path) -> None:
    (tmp_path / "noisy.py").write_text(
        "import threading, time\nprint('{\"problems\": 1}')\n"
        "threading.Thread(target=time.sleep, args=(600,)).start()\n" + GOOD
    )
    done = iskra("check", str(tmp_path / "noisy.py"))
    assert done.status == 0
    assert done.out.startswith("noisy: fine. It offers agents: weather.")


def test_a_fine_plugin_leaves_no_trace(iskra: Program, tmp_path: Path) -> None:
    (tmp_path / "fine").mkdir()
    (tmp_path / "fine" / "__init__.py").write_text(GOOD)
    (tmp_path / "fine" / "iskra-plugin.toml").write_text('name = "fine"\n')
    assert iskra("check", str(tmp_path / "fine")).status == 0
    assert sorted(path.name for path in (tmp_path / "fine").iterdir()) == ["__init__.py", "iskra-plugin.toml"]


def test_tools_an_agent_wants_from_others_are_a_hint(iskra: Program, tmp_path: Path) -> None:
    (tmp_path / "weather.py").write_text(GOOD.replace('name = "weather"', 'name = "weather"; tools = ("sky_*",)'))
    done = iskra("check", str(tmp_path / "weather.py"))
    assert done.status == 0
    assert "hint: the agent 'weather' wants tools that another plugin has to offer: 'sky_*'." in done.out


def test_a_name_that_is_taken_is_a_problem(iskra: Program, tmp_path: Path) -> None:
    (tmp_path / "offline.py").write_text(GOOD)
    done = iskra("check", str(tmp_path / "offline.py"))
    assert done.status == 1
    assert "another plugin of this name" in done.out


def test_installed_plugins_are_found_by_name(iskra: Program) -> None:
    done = iskra("check", "agents", "--json")
    assert done.status == 0
    assert "coder" in json.loads(done.out)["offers"]["agents"]


def test_what_is_no_plugin_is_told(iskra: Program, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("")
    assert "is no plugin" in iskra("check", str(tmp_path / "text.txt")).err
    assert "There is no plugin 'nobody'" in iskra("check", "nobody").err
