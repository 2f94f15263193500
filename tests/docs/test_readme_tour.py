"""The README's tour is true: its commands, run against a real server, give what it shows."""

import json
import re
import time
import urllib.request
from collections.abc import Iterator

import pytest

from core.cli.running_iskra import RunningServer, running_iskra
from markdown_pages import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_iskra(tmp_path_factory.mktemp("tour")) as server:
        yield server


def ask(server: RunningServer, text: str) -> str:
    """Send one message as the README's shell function does."""
    body = json.dumps({"model": "iskra", "messages": [{"role": "user", "content": text}]}).encode()
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.url}/v1/chat/completions", data=body, headers=headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own loopback address
        said: str = json.load(answer)["choices"][0]["message"]["content"]
        return said


def shown(text: str) -> str:
    """Mask what differs from run to run."""
    text = re.sub(r"(approve|deny) [A-Z0-9]{4}\b", r"\1 CODE", text)
    text = re.sub(r"Python \d+\.\d+\.\d+", "Python VERSION", text)
    return re.sub(r"after [\d.]+ s", "after TIME", text)


def test_question_is_answered_from_the_docs(server: RunningServer) -> None:
    said = server.iskra("chat", "--url", server.url, "--once", "how do I connect a model?").stdout
    for line in said.splitlines()[:3]:
        assert line in README


def test_command_asks_and_runs_after_the_reply(server: RunningServer) -> None:
    asked = ask(server, "run python -V")
    assert shown(asked) in shown(README)
    code = re.search(r"approve ([A-Z0-9]{4})", asked)
    assert code is not None
    assert shown(ask(server, f"approve {code[1]}")) in shown(README)


def test_dropped_plugin_answers_and_survives_a_bad_edit(server: RunningServer) -> None:
    plugin = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert plugin is not None
    assert len(plugin[1].splitlines()) < 20
    file = server.data_dir / "plugins" / "echo.py"
    file.write_text(plugin[1])
    command = ("chat", "--url", server.url, "--model", "agent:echo", "--once", "hello")
    deadline = time.monotonic() + 20
    while "hello hello" not in server.iskra(*command).stdout:
        assert time.monotonic() < deadline, "the plugin did not come up"
    file.write_text("nonsense(")
    while "SyntaxError" not in (said := server.iskra("plugins", "show", "echo", "--url", server.url).stdout):
        assert time.monotonic() < deadline, said
    assert "hello hello" in server.iskra(*command).stdout
    assert server.iskra("plugins", "disable", "echo", "--url", server.url).returncode == 0
    assert "hello hello" not in server.iskra(*command).stdout


@pytest.mark.parametrize("kind", ["agents", "tools", "models"])
def test_table_names_what_is_there(server: RunningServer, kind: str) -> None:
    if kind == "models":
        said = server.iskra("models", "--url", server.url).stdout
        assert "agent:coder" in said
        return
    headers = {"Authorization": f"Bearer {server.token}"}
    request = urllib.request.Request(f"{server.url}/api/v1/{kind}", headers=headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own loopback address
        names = {one["name"] for one in json.load(answer)["data"]}
    row = re.search(rf"^\| {kind} \|.*$", README, re.MULTILINE)
    assert row is not None
    assert names - {"echo"} == set(re.findall(r"`(\w+)`", row[0])) - {"iskra"}
