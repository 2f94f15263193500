"""A server to try experiments on, and a runner for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.experiments.target_server import TargetServer, target_server
from iskra_chaos.experiments.runner import Runner


@pytest.fixture
def target() -> Iterator[TargetServer]:
    with target_server() as server:
        yield server


@pytest.fixture
def runner(target: TargetServer, tmp_path: Path) -> Runner:
    return Runner(
        target.url,
        "token-of-the-test",
        journal_path=tmp_path / "journal.json",
        environment={},
        heartbeat=0.05,
        handle_signals=False,
    )
