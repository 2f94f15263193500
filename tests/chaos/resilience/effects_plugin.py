# /// iskra-plugin
# name = "effects"
# permissions = ["routes"]
# ///
"""A plugin for the server under test: one effect for each message, however often and late its event comes."""

from collections.abc import Iterable

from fastapi import FastAPI

from iskra_sdk import hookimpl
from iskra_sdk.event import Event
from iskra_sdk.event_bus import EventHandler
from iskra_sdk.routes import PluginRoutes

_effects: list[str] = []
_seen: set[str] = set()


async def take(event: Event) -> None:
    if event.id in _seen:
        return
    _seen.add(event.id)
    _effects.extend(word for word in str(event.data.get("input", "")).split() if word.startswith("load_"))


@hookimpl
def register_event_handlers() -> Iterable[EventHandler]:
    return [EventHandler("turn.started", take)]


@hookimpl
def register_routes() -> Iterable[PluginRoutes]:
    app = FastAPI()

    @app.get("")
    async def effects() -> dict[str, list[str]]:
        return {"effects": _effects}

    return [PluginRoutes("/api/v1/effects", app, "admin:server")]
