from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from iskra.cli import main


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


Program = Callable[..., Outcome]


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory of the test's own, found through the environment; nothing else of the environment counts."""
    import os

    for name in [name for name in os.environ if name.startswith("ISKRA_")]:
        monkeypatch.delenv(name)
    path = tmp_path / "data"
    monkeypatch.setenv("ISKRA_DATA_DIR", str(path))
    monkeypatch.setenv("ISKRA_PORT", "1")  # nobody listens there
    return path


@pytest.fixture
def iskra(data_dir: Path, capfd: pytest.CaptureFixture[str]) -> Program:
    """Run the program in this process."""

    def run(*arguments: str) -> Outcome:
        capfd.readouterr()
        status = main(list(arguments))
        out, err = capfd.readouterr()
        return Outcome(status, out, err)

    return run
