import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.cli.conftest import Program
from iskra import __version__

HEAVY = ("aiohttp", "alembic", "fastapi", "httpx", "iskra_sdk", "openai", "pydantic", "rich.console", "sqlalchemy")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "iskra", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_help_imports_nothing_heavy() -> None:
    code = (
        f"import sys; from iskra.cli import main; main(['--help']); print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_module_is_the_program() -> None:
    done = run("version")
    assert (done.returncode, done.stdout.decode().strip()) == (0, __version__)
    assert run("--version").stdout == done.stdout


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["serve", "--nonsense"], ["serve", "--port", "x"], ["check"], ["new"]]
)
def test_wrong_usage_is_status_2(iskra: Program, arguments: list[str]) -> None:
    assert iskra(*arguments).status == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["models"],
        ["plugins", "list"],
        ["plugins", "reload", "x"],
        ["approvals", "list"],
        ["approvals", "approve", "K7Q2"],
        ["chat", "--once", "hi"],
        ["login"],
    ],
)
def test_without_a_server_the_message_says_how_to_start_one(iskra: Program, arguments: list[str]) -> None:
    done = iskra(*arguments)
    assert done.status == 1
    assert "No Iskra server answers at http://127.0.0.1:1" in done.err
    assert "iskra serve" in done.err
    assert "Traceback" not in done.text


def test_settings_that_are_not_valid_name_the_key(iskra: Program, data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "iskra.toml").write_text("prot = 1\n")
    done = iskra("models")
    assert done.status == 1
    assert "prot" in done.err
    assert "Mend:" in done.err


def test_a_settings_file_that_is_missing_is_told(iskra: Program, tmp_path: Path) -> None:
    pytest.importorskip("iskra.server")
    done = iskra("serve", "--config", str(tmp_path / "missing.toml"))
    assert done.status == 1
    assert "missing.toml cannot be read" in done.err


def test_output_into_a_pipe_is_plain_utf8_whatever_the_locale(tmp_path: Path) -> None:
    environment = {"ISKRA_DATA_DIR": str(tmp_path), "ISKRA_PORT": "1", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "hello.py").write_text("raise ValueError('ой, сломалось')\n", encoding="utf-8")
    done = run("check", "hello", **environment)
    assert done.returncode == 1
    assert "ой, сломалось" in done.stdout.decode()
    doctor = run("doctor", FORCE_COLOR="", **environment)
    assert b"\x1b" not in doctor.stdout


def test_the_token_is_shown(iskra: Program, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = iskra("token", "show")
    assert missing.status == 1
    assert "The first `iskra serve` makes it" in missing.err
    data_dir.mkdir()
    (data_dir / "token").write_text("s3cret\n")
    assert iskra("token", "show").out == "s3cret\n"
    monkeypatch.setenv("ISKRA_TOKEN", "from-environment")
    assert iskra("token", "show").out == "from-environment\n"


def test_the_database_is_made_and_told(iskra: Program, data_dir: Path) -> None:
    assert iskra("db", "current").status == 1
    assert iskra("db", "upgrade").out == "The database was brought up to date.\n"
    assert iskra("db", "upgrade").out == "The database is up to date.\n"
    done = iskra("db", "current")
    assert done.status == 0
    assert len({line.split()[-1] for line in done.out.splitlines()}) == 1


def test_a_damaged_database_is_told(iskra: Program, data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "iskra.db").write_bytes(b"this is no database" * 100)
    done = iskra("db", "current")
    assert done.status == 1
    assert "cannot be read" in done.err


COMMANDS = """
from iskra_sdk import Command, hookimpl


def greet(arguments):
    print("hello", *arguments)
    return len(arguments)


@hookimpl
def register_commands(context):
    assert context.data_dir.name == context.name
    return [Command("greet", "Say hello.", greet), Command("version", "Not the kernel's.", greet)]
"""


def test_a_plugins_command_gets_everything_after_its_name(iskra: Program, data_dir: Path) -> None:
    (data_dir / "plugins").mkdir(parents=True)
    (data_dir / "plugins" / "greeter.py").write_text(COMMANDS)
    (data_dir / "plugins" / "broken.py").write_text("raise OSError('no')  # register_commands\n")
    done = iskra("greet", "--loudly", "мир", "-x")
    assert (done.status, done.out) == (3, "hello --loudly мир -x\n")
    assert iskra("greet").status == 0
    assert iskra("version").out == f"{__version__}\n"
    listed = iskra("plugins", "commands")
    assert "greeter" in listed.out
    assert "Say hello." in listed.out
    assert "broken" in listed.err


def test_disabled_plugins_add_no_commands(iskra: Program, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (data_dir / "plugins").mkdir(parents=True)
    (data_dir / "plugins" / "greeter.py").write_text(COMMANDS)
    monkeypatch.setenv("ISKRA_PLUGINS__DISABLED", '["greeter"]')
    assert iskra("greet").status == 2
