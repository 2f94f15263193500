"""Commands that plugins add to the program: found without a server, imported only when asked for."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pydantic import BaseModel

from iskra.cli.plugin_check import known_plugins
from iskra.cli.terminal import tell
from iskra.plugin_host.contributions import Hooks, describe_failure
from iskra.plugin_host.discovery import PluginSource
from iskra.plugin_host.importing import import_plugin
from iskra.settings import Settings, load_settings
from iskra_sdk.command import Command
from iskra_sdk.manifest import PluginManifest
from iskra_sdk.plugin_context import PluginContext

_HOOK = "register_commands"


@dataclass(frozen=True, slots=True)
class PluginCommand:
    """A command and the plugin it comes from."""

    command: Command
    plugin: str


@dataclass(frozen=True, slots=True)
class TerminalContext:
    """What a plugin gets in a terminal: there is no kernel, so there is nothing else."""

    name: str
    manifest: PluginManifest
    settings: BaseModel
    data_dir: Path
    logger: logging.Logger


def find_command(name: str) -> Command | None:
    """Return the command of this name, from the first plugin that has it."""
    return next((found.command for found in _commands() if found.command.name == name), None)


def find_commands() -> list[PluginCommand]:
    """Return the commands of all plugins, by name."""
    unique: dict[str, PluginCommand] = {}
    for found in _commands():
        unique.setdefault(found.command.name, found)
    return sorted(unique.values(), key=lambda found: found.command.name)


def _commands() -> Iterator[PluginCommand]:
    settings = load_settings()
    if settings.safe_mode:
        return
    for source in known_plugins(settings):
        if source.manifest is None or source.name in settings.plugins.disabled or not _has_commands(source.path):
            continue
        for command in _commands_of(source, source.manifest, settings).values():
            yield PluginCommand(command, source.name)


def _has_commands(path: Path) -> bool:
    """Look for the hook's name in the source, so that plugins without commands need not be imported."""
    files = path.rglob("*.py") if path.is_dir() else [path]
    try:
        return any(_HOOK in file.read_text(encoding="utf-8", errors="replace") for file in files)
    except OSError:
        return False


def _commands_of(source: PluginSource, manifest: PluginManifest, settings: Settings) -> Mapping[str, Command]:
    data_dir = settings.data_dir / "plugins-data" / source.name
    try:
        hooks = Hooks(import_plugin(source).plugin, manifest)
        values = hooks.settings([manifest.defaults, settings.plugin_settings(source.name)])
        logger = logging.getLogger(f"iskra.plugin.{source.name}")
        context = TerminalContext(source.name, manifest, values, data_dir, logger)
        return hooks.commands(cast("PluginContext", context))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        # One broken plugin must not take the others' commands away.
        tell(f"[{source.name}: {describe_failure(error, lambda file: file.startswith(str(source.path)))}]")
        return {}
