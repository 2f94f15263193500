"""A workspace with a secret beside it, and the plugin's tools over it."""

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from iskra_plugins import workspace
from iskra_sdk import PluginContext, Tool, ToolContext, ToolResult

SECRET = "THE-SECRET-OUTSIDE"


@dataclass(frozen=True)
class Workspace:
    """The tools over a folder; ``outside`` lies beside it and holds a secret."""

    root: Path
    outside: Path
    data_dir: Path
    tools: Mapping[str, Tool]

    async def call(self, name: str, context: ToolContext | None = None, **arguments: object) -> ToolResult:
        tool = self.tools[name]
        return await tool.run(tool.validate(arguments), context)

    async def preview(self, name: str, **arguments: object) -> str:
        return await self._inspect(self.tools[name].preview, self.tools[name].validate(arguments))

    async def fingerprint(self, name: str, **arguments: object) -> str:
        return await self._inspect(self.tools[name].fingerprint, self.tools[name].validate(arguments))

    async def _inspect(self, inspection: object, arguments: Mapping[str, Any]) -> str:
        return await cast("Callable[[Mapping[str, Any]], Awaitable[str]]", inspection)(arguments)


MakeWorkspace = Callable[..., Workspace]


@pytest.fixture
def make_workspace(tmp_path: Path) -> MakeWorkspace:
    def make(folder: Path | None = None, **settings: object) -> Workspace:
        base = folder or tmp_path
        root, outside, data_dir = base / "root", base / "root-outside", base / "data" / "plugins" / "workspace"
        for path in (root, outside, data_dir):
            path.mkdir(parents=True, exist_ok=True)
        (outside / "secret.txt").write_text(SECRET)
        model = workspace.WorkspaceSettings.model_validate(settings)
        context = SimpleNamespace(workspace=root.resolve(), settings=model, data_dir=data_dir)
        tools = workspace.register_tools(cast("PluginContext", context))
        return Workspace(root.resolve(), outside, data_dir, {tool.name: tool for tool in tools})

    return make


@pytest.fixture
def space(make_workspace: MakeWorkspace) -> Workspace:
    return make_workspace()


def open_files() -> int:
    """Count the file descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))
