"""One proving ground for the experiments that leave the server as it was."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.resilience.proving_ground import ProvingGround, proving_ground

PLUGINS = {"effects": (Path(__file__).parent / "effects_plugin.py").read_text(encoding="utf-8")}


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProvingGround]:
    with proving_ground(tmp_path_factory.mktemp("ground"), plugins=PLUGINS) as running:
        yield running
