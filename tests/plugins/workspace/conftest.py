from pathlib import Path

import pytest

from plugins.workspace.space import MakeSpace, Space, make_space


@pytest.fixture
def make_workspace(tmp_path: Path) -> MakeSpace:
    def make(**settings: object) -> Space:
        return make_space(tmp_path, settings)

    return make


@pytest.fixture
def space(make_workspace: MakeSpace) -> Space:
    return make_workspace()
