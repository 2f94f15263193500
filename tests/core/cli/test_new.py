import subprocess
import sys
from pathlib import Path

import pytest

from core.cli.conftest import Program

KINDS = {
    "agent": "agents: sunny_day",
    "tool": "tools: sunny_day",
    "voice": "voices: sunny_day",
    "plugin": "agents: sunny_day, tools: sunny_day_greet",
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_can_be_loaded_as_it_is(iskra: Program, data_dir: Path, kind: str) -> None:
    made = iskra("new", kind, "sunny_day")
    assert made.status == 0, made.err
    checked = iskra("check", "sunny_day")
    assert checked.status == 0, checked.text
    assert KINDS[kind] in checked.out.replace("; ", ", ")
    assert "hint" not in checked.out
    assert not list((data_dir / "plugins").glob(".*"))


def test_a_new_agent_has_less_than_20_lines(iskra: Program, data_dir: Path) -> None:
    iskra("new", "agent", "weather")
    assert len((data_dir / "plugins" / "weather.py").read_text().splitlines()) < 20


@pytest.mark.parametrize(("first", "second"), [("agent", "agent"), ("agent", "plugin"), ("plugin", "voice")])
def test_nothing_is_overwritten(iskra: Program, data_dir: Path, first: str, second: str) -> None:
    iskra("new", first, "weather")
    before = {path: path.read_bytes() for path in data_dir.rglob("*") if path.is_file()}
    done = iskra("new", second, "weather")
    assert done.status == 1
    assert "nothing is overwritten" in done.err
    assert {path: path.read_bytes() for path in data_dir.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["Weather", "json", "iskra", "../weather", "my-agent", "погода", "1st", "a" * 65, ""])
def test_names_that_are_not_allowed_are_told(iskra: Program, data_dir: Path, name: str) -> None:
    done = iskra("new", "agent", name)
    assert done.status == 1
    assert "the name is" in done.err
    assert not data_dir.exists()


def test_another_folder_can_be_named(iskra: Program, tmp_path: Path) -> None:
    done = iskra("new", "tool", "words", "--dir", str(tmp_path / "mine"))
    assert done.status == 0
    assert (tmp_path / "mine" / "words.py").is_file()
    checked = iskra("check", str(tmp_path / "mine" / "words.py"))
    assert "iskra plugins install" in checked.out


def test_a_folder_that_cannot_be_written_is_told(iskra: Program, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = iskra("new", "agent", "weather", "--dir", str(tmp_path / "file"))
    assert done.status == 1
    assert "cannot be written" in done.err


def test_the_test_of_a_new_plugin_passes(iskra: Program, tmp_path: Path) -> None:
    iskra("new", "plugin", "weather", "--dir", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / "weather")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
