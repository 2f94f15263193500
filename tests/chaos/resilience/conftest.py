"""One proving ground for the experiments that leave the server as it was."""

from collections.abc import Iterator

import pytest

from chaos.resilience.proving_ground import ProvingGround, proving_ground


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProvingGround]:
    with proving_ground(tmp_path_factory.mktemp("ground")) as running:
        yield running
