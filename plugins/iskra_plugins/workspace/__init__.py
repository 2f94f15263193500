"""The plugin ``workspace``: files of one folder, and commands in it."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from iskra_plugins.workspace.code_search import CodeSearch
from iskra_plugins.workspace.command_tool import CommandTool
from iskra_plugins.workspace.file_tools import FileTools
from iskra_plugins.workspace.private_files import PrivateFiles
from iskra_plugins.workspace.settings import WorkspaceSettings
from iskra_plugins.workspace.workspace_root import WorkspaceRoot
from iskra_sdk import PluginContext, Risk, Tool, hookimpl, tool
from iskra_sdk.errors import ConfigurationError

__all__ = ["WorkspaceSettings", "register_tools", "settings_schema"]


@hookimpl
def settings_schema() -> type[BaseModel]:
    return WorkspaceSettings


@hookimpl
def register_tools(context: PluginContext) -> Iterable[Tool]:
    settings = WorkspaceSettings.model_validate(context.settings.model_dump())
    root = _root(context, settings)
    files = FileTools(root, settings)
    search = CodeSearch(root, settings)
    commands = CommandTool(root, settings, os.environ)
    context.on_close(commands.aclose)

    def place(arguments: Mapping[str, Any]) -> Iterable[str]:
        """Return the key of a path, the same for all its spellings and links."""
        real = os.path.realpath(root.path / str(arguments["path"]))
        return (f"file:{os.path.relpath(real, root.path)}",)

    return (
        tool(risk=Risk.READ, reads=place, timeout=15.0)(files.read_file),
        tool(risk=Risk.READ, reads=place, timeout=15.0)(files.list_files),
        tool(risk=Risk.READ, reads=place, timeout=15.0)(search.search_in_code),
        tool(
            risk=Risk.WRITE,
            writes=place,
            timeout=30.0,
            preview=files.write_preview,
            fingerprint=files.write_fingerprint,
        )(files.write_file),
        tool(
            risk=Risk.EXECUTE,  # without keys: a command may change anything
            timeout=commands.timeout,
            preview=commands.preview,
            fingerprint=commands.fingerprint,
        )(commands.execute_command),
    )


def _root(context: PluginContext, settings: WorkspaceSettings) -> WorkspaceRoot:
    if os.open not in os.supports_dir_fd:
        raise ConfigurationError(
            "The workspace tools need a system that opens files relative to folders, such as Linux or macOS.",
            mend="Disable the plugin `workspace`.",
        )
    path = context.workspace
    if path == Path(path.anchor):
        raise ConfigurationError(
            "The workspace is the root of the file system, so nothing would be outside it.",
            mend="Choose a folder with --workspace, or disable the plugin `workspace`.",
        )
    # A plugin's data lies in <data dir>/plugin-data/<name>; none of that is for tools, nor the server's token.
    data = (context.data_dir, *context.data_dir.parents[:2])
    forbidden = [folder for folder in data if not path.is_relative_to(folder)]
    return WorkspaceRoot(path, private=PrivateFiles(settings.private), forbidden=forbidden)
