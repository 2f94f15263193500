"""Makes generations: checks what a manifest demands, tries the code out in a child process, then imports it."""

import asyncio
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from iskra.plugin_host.discovery import PluginSource
from iskra.plugin_host.generation import Generation, LoadingRoom, load_generation
from iskra.plugin_host.known_plugin import KnownPlugin
from iskra.plugin_host.preflight import Preflight
from iskra.settings import Settings
from iskra_sdk.errors import PluginDependencyError, PluginError, PluginExtraError, PluginLoadError

_MOST_TRIED = 100


class PluginLoader:
    """Loads generations without putting them into service.

    Args:
        settings: The server's settings.
        room: What every generation is loaded with.
        plugins: All plugins the host knows, by name; read for what a plugin requires.
    """

    def __init__(self, settings: Settings, room: LoadingRoom, plugins: Mapping[str, KnownPlugin]) -> None:
        self._settings = settings
        self._room = room
        self._plugins = plugins
        self._preflight = Preflight()
        self._tried_out: dict[tuple[Path, str], PluginError | bool] = {}  # what `try_out` found, until it is used

    async def load(
        self,
        plugin: KnownPlugin,
        source: PluginSource,
        *,
        try_out: bool,
        settings: Mapping[str, object] | None = None,
    ) -> Generation:
        """Check and load a generation.

        Args:
            plugin: The plugin.
            source: The code to load.
            try_out: Try it in the child process first even if the source is trusted.
            settings: Stored settings to load it with, instead of those on record.

        Raises:
            PluginError: It cannot be used.
        """
        self._check(source)
        layers = self._layers(source, plugin.record.settings if settings is None else settings)
        if try_out or not source.is_trusted:
            tried = self._tried_out.pop((source.path, source.hash), None)
            if isinstance(tried, PluginError):
                raise tried
            if tried is None:
                await self._preflight.check(source, layers, self._settings.plugins.start_timeout)
        plugin.generations += 1
        plugin.blocked_loop = None
        again, plugin.was_imported = plugin.was_imported, True
        return await load_generation(source, plugin.generations, layers, self._room, again=again)

    async def load_together(
        self, plugins: Sequence[KnownPlugin], *, try_out: bool
    ) -> Sequence[Generation | PluginError]:
        """Load plugins that do not depend on one another at the same time."""

        async def load_one(plugin: KnownPlugin) -> Generation | PluginError:
            try:
                return await self.load(plugin, plugin.source, try_out=try_out)
            except PluginError as exc:
                return exc

        return await asyncio.gather(*(load_one(plugin) for plugin in plugins))

    async def try_out(self, source: PluginSource, settings: Mapping[str, object]) -> None:
        """Try code out before anything is locked: while a bad plugin hangs, others can be changed.

        What was found is used by the next :meth:`load` of the same code.
        """
        if source.manifest is None:
            return
        outcome: PluginError | bool = True
        try:
            layers = self._layers(source, settings)
            await self._preflight.check(source, layers, self._settings.plugins.start_timeout)
        except PluginError as exc:
            outcome = exc
        if len(self._tried_out) >= _MOST_TRIED:
            self._tried_out.clear()
        self._tried_out[source.path, source.hash] = outcome

    async def aclose(self) -> None:
        """End the child process."""
        await self._preflight.close()

    def _layers(self, source: PluginSource, stored: Mapping[str, object]) -> list[Mapping[str, object]]:
        return [self._settings.plugin_settings(source.name), stored]

    def _check(self, source: PluginSource) -> None:
        """Raise unless the manifest's conditions hold."""
        manifest = source.manifest
        if manifest is None:
            raise source.error or PluginLoadError(source.name, "it has no manifest.")
        for required in manifest.requires:
            other = self._plugins.get(required)
            if other is None or other.running is None:
                state = "not installed" if other is None else str(other.state)
                raise PluginDependencyError(
                    source.name,
                    f"it requires the plugin {required!r}, which is {state}.",
                    mend=f"Install or enable {required!r}; this one is then loaded by itself.",
                )
        for module, package in manifest.extras.items():
            if not _is_installed(module):
                raise PluginExtraError(
                    source.name, f"it needs {module!r}, which is not installed.", mend=f'Run `pip install "{package}"`.'
                )


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError, AttributeError):
        return False
