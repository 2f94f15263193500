"""A workspace with a secret beside it, and the plugin's tools over it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol, cast

from iskra_plugins import workspace
from iskra_sdk import PluginContext, Tool, ToolContext, ToolResult

SECRET = "THE-SECRET-OUTSIDE"


@dataclass(frozen=True)
class Space:
    """The tools over a folder; ``outside`` lies beside it and holds a secret."""

    root: Path
    outside: Path
    data_dir: Path
    tools: Mapping[str, Tool]
    closers: Sequence[Callable[[], Awaitable[None]]]

    async def aclose(self) -> None:
        for close in self.closers:
            await close()

    async def call(self, name: str, **arguments: object) -> ToolResult:
        return await self.call_in(ToolContext(), name, **arguments)

    async def call_in(self, context: ToolContext, name: str, /, **arguments: object) -> ToolResult:
        tool = self.tools[name]
        return await tool.run(tool.validate(arguments), context)

    async def preview(self, name: str, **arguments: object) -> str:
        return await self._inspect(self.tools[name].preview, self.tools[name].validate(arguments))

    async def fingerprint(self, name: str, **arguments: object) -> str:
        return await self._inspect(self.tools[name].fingerprint, self.tools[name].validate(arguments))

    async def _inspect(self, inspection: object, arguments: Mapping[str, Any]) -> str:
        return await cast("Callable[[Mapping[str, Any]], Awaitable[str]]", inspection)(arguments)


class MakeSpace(Protocol):
    """Makes a space with settings."""

    def __call__(self, **settings: object) -> Space: ...


def make_space(base: Path, settings: Mapping[str, object], *, data_dir: Path | None = None) -> Space:
    """Make the folders below ``base`` and load the tools."""
    root, outside = base / "root", base / "root-outside"
    data_dir = data_dir or base / "data" / "plugin-data" / "workspace"
    for path in (root, outside, data_dir):
        path.mkdir(parents=True, exist_ok=True)
    (outside / "secret.txt").write_text(SECRET)
    model = workspace.WorkspaceSettings.model_validate(settings)
    closers: list[Callable[[], Awaitable[None]]] = []
    context = SimpleNamespace(workspace=root.resolve(), settings=model, data_dir=data_dir, on_close=closers.append)
    tools = workspace.register_tools(cast("PluginContext", context))
    return Space(root.resolve(), outside, data_dir, {tool.name: tool for tool in tools}, closers)


def data_of(result: ToolResult) -> dict[str, Any]:
    """Return the typed data of a result."""
    assert isinstance(result.data, dict)
    return result.data
