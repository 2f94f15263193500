"""A real plugin host with a plugin folder to write into."""

import asyncio
import textwrap
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from iskra.event_bus import InProcessEventBus
from iskra.interceptors import Points
from iskra.plugin_host import Facilities, PluginHost, PluginStatus
from iskra.settings import Settings
from iskra_sdk.clock import Clock, SystemClock
from iskra_sdk.event import Event
from iskra_sdk.testing.memory_store import MemoryStore

GOOD = """
from iskra_sdk import hookimpl, tool

@tool(risk="read")
async def greet(name: str = "you") -> str:
    '''Greet somebody.'''
    return f"hello {name}"

@hookimpl
def register_tools():
    return [greet]
"""


class Workshop:
    """A host and everything around it.

    Attributes:
        events: What the host and the plugins published, oldest first.
    """

    def __init__(self, settings: Settings, *, store: MemoryStore, clock: Clock, **options: Any) -> None:
        self.settings = settings
        self.folder = settings.plugin_folder
        self.store = store
        self.points = Points()
        self.bus = InProcessEventBus(self.points)
        self.facilities = Facilities()
        self.host = PluginHost(
            settings,
            store=store,
            bus=self.bus,
            points=self.points,
            clock=clock,
            facilities=self.facilities,
            **options,
        )
        self.bus.on_failure = self.host.record_failure
        self.events: list[Event] = []

    def write(self, name: str, source: str, *, header: str = "") -> Path:
        """Write a plugin file; ``header`` is the manifest."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{name}.py"
        path.write_text(with_header(source, header), encoding="utf-8")
        return path

    def write_package(self, name: str, files: dict[str, str]) -> Path:
        """Write a plugin package."""
        directory = self.folder / name
        for relative, text in files.items():
            file = directory / relative
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(text), encoding="utf-8")
        return directory

    async def drop(self, name: str, source: str, *, header: str = "") -> PluginStatus:
        """Write a plugin file, have it loaded, and return how it stands."""
        self.write(name, source, header=header)
        await self.host.rescan()
        return self.host.get(name)

    async def call(self, tool: str, **arguments: object) -> str:
        """Call a tool as the kernel does, and return its text."""
        with self.host.lease() as lease:
            return (await lease.catalog.tools[tool].value.run(arguments)).content

    def event_types(self) -> list[str]:
        return [event.type for event in self.events]

    def remember(self, event: Event) -> None:
        self.events.append(event)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds that no event tells of; a test's own time limit is 10 seconds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - any part of the host may bring it about
            await asyncio.sleep(0)


def with_header(source: str, header: str) -> str:
    """Put a manifest's comment block before a source."""
    source = textwrap.dedent(source)
    if not header:
        return source
    lines = "\n".join(f"# {line}".rstrip() for line in textwrap.dedent(header).strip().splitlines())
    return f"# /// iskra-plugin\n{lines}\n# ///\n{source}"


@asynccontextmanager
async def workshop(
    data_dir: Path,
    *,
    store: MemoryStore | None = None,
    clock: Clock | None = None,
    entry_points: Iterable[EntryPoint] = (),
    watch: bool = False,
    guard_loop: bool = False,
    start: bool = True,
    **settings: Any,
) -> AsyncIterator[Workshop]:
    """Open a workshop in a directory; the plugin folder may have been filled before."""
    plugins = {"start_timeout": 3.0, "drain_deadline": 5.0} | settings.pop("plugins", {})
    made = Workshop(
        Settings(data_dir=data_dir, workspace=data_dir, plugins=plugins, **settings),
        store=store or MemoryStore(),
        clock=clock or SystemClock(),
        entry_points=entry_points,
        watch=watch,
        guard_loop=guard_loop,
    )
    original = made.bus.publish_nowait

    def publish_nowait(event: Event) -> None:
        made.remember(event)
        original(event)

    made.bus.publish_nowait = publish_nowait  # type: ignore[method-assign]  # every event, before any buffer
    try:
        if start:
            await made.host.start()
        yield made
    finally:
        await made.host.aclose()
        await made.bus.aclose()
