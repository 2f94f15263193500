"""A kernel for each test module; every test finds it without faults."""

from collections.abc import AsyncIterator

import pytest

from chaos.faults.fault_kit import FaultKit, fault_kit


@pytest.fixture(scope="module")
async def open_kit(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FaultKit]:
    async with fault_kit(tmp_path_factory.mktemp("faults")) as opened:
        yield opened


@pytest.fixture
async def kit(open_kit: FaultKit) -> AsyncIterator[FaultKit]:
    yield open_kit
    await open_kit.reset()
