"""A server in a test environment with two providers, and the operator who runs shipped experiments against it."""

import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chaos.resilience.scripted_model import ScriptedModel
from fake_upstream import Upstream, fake_upstream
from running_iskra import RunningServer, running_iskra

SETTINGS = """
[plugins.settings.chaos]
environment = "test"
faults = true

[plugins.settings.openai_compatible.endpoints.primary]
base_url = "{primary}"

[plugins.settings.openai_compatible.endpoints.backup]
base_url = "{backup}"

[llm]
breaker_rest = {breaker_rest}

[llm.aliases.default]
targets = ["primary/fake", "backup/fake"]
"""


_RECORDS = 1000


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        status: Exit status of the program.
        printed: What it printed.
        journal: The journal that it wrote.
    """

    status: int
    printed: str
    journal: Mapping[str, Any]

    @property
    def own(self) -> Mapping[str, Any]:
        """Our part of the journal."""
        part: Mapping[str, Any] = self.journal["iskra"]
        return part

    @property
    def verdict(self) -> str:
        return str(self.own["verdict"])

    @property
    def observed(self) -> int:
        """How often any fault was seen to reach a caller."""
        return sum(int(fault["observed"]) for fault in self.own["faults"])

    def seen(self) -> dict[str, bool]:
        """Return for each evidence of the file whether it was seen."""
        return {each["name"]: each["seen"] for each in self.own["evidence"]}

    def outputs(self) -> dict[str, Any]:
        """Return what activities of the method and expectations returned, by name."""
        records = [*self.journal["run"], *self.own["expectations"]]
        return {record["activity"]["name"]: record["output"] for record in records}


@dataclass
class ProvingGround:
    """A running server and what stands around it."""

    server: RunningServer
    model: ScriptedModel
    primary: Upstream
    backup: Upstream
    folder: Path

    def command(self, name: str, *options: str, values: Mapping[str, object]) -> list[str]:
        """Return the command line of a run."""
        given = [part for key, value in values.items() for part in ("--var", f"{key}={json.dumps(value)}")]
        return [sys.executable, "-m", "iskra", "chaos", "run", name, "--journal", str(self.journal(name)),
                *given, *options]  # fmt: skip

    def journal(self, name: str) -> Path:
        """Return where the journal of an experiment is written."""
        return self.folder / f"{name}.journal.json"

    def run(
        self, name: str, *options: str, values: Mapping[str, object] | None = None, timeout: float = 600.0
    ) -> Outcome:
        """Run a shipped experiment as an operator does, with values for its configuration."""
        done = subprocess.run(
            self.command(name, *options, values=values or {}),
            env=dict(self.server.environment),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=timeout,
            check=False,
        )
        path = self.journal(name)
        assert path.exists(), done.stdout + done.stderr
        return Outcome(done.returncode, done.stdout + done.stderr, json.loads(path.read_text()))


@contextlib.contextmanager
def proving_ground(
    folder: Path,
    *,
    model: ScriptedModel | None = None,
    plugins: Mapping[str, str] | None = None,
    breaker_rest: float = 1.0,
    primary_url: str = "",
    port: int = 0,
) -> Iterator[ProvingGround]:
    """Run a server with two providers until the block is left.

    Args:
        folder: Of the server's data and the journals.
        model: Stands behind both providers.
        plugins: Plugin files, name → source.
        breaker_rest: The server's setting.
        primary_url: What the server takes for its primary provider, if something stands before it.
        port: Of the server; 0 takes a free one.
    """
    model = model or ScriptedModel()
    (folder / "data" / "plugins").mkdir(parents=True, exist_ok=True)
    for name, source in (plugins or {}).items():
        (folder / "data" / "plugins" / f"{name}.py").write_text(source)
    with fake_upstream(model) as primary, fake_upstream(model) as backup:
        settings = SETTINGS.format(primary=primary_url or primary.url, backup=backup.url, breaker_rest=breaker_rest)
        (folder / "data" / "iskra.toml").write_text(settings)
        _write_records(folder / "workspace" / "records")
        with running_iskra(folder, port) as server:
            yield ProvingGround(server, model, primary, backup, folder)


@contextlib.contextmanager
def started_again(ground: ProvingGround) -> Iterator[None]:
    """Start the server anew, at the same address, when its process ends; what a service manager does."""
    port = urlsplit(ground.server.url).port
    is_over = threading.Event()

    def watch() -> None:
        ground.server.process.wait()
        with running_iskra(ground.folder, port or 0):
            is_over.wait()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ground.server.kill()
        is_over.set()
        thread.join()


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _write_records(folder: Path) -> None:
    """Write the files that the experiments on tools read, one for each request."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(_RECORDS):
        total = int(f"7{number}")
        record = {"name": f"records/{number}.json", "values": [total - 5, 5], "sum": total}
        (folder / f"{number}.json").write_text(json.dumps(record))
