"""Seven manners of answering, each checked; chosen by name or by what a conversation shows.

``voice:<name>`` answers in one of them, ``voice:auto`` in the one that the metrics of the conversation ask for.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

from pydantic import BaseModel

from iskra_metrics.service import ConversationMetrics
from iskra_sdk import EventHandler, Interceptor, PermissionSpec, PluginContext, Point, Voice, hookimpl
from iskra_sdk.plugin_context import Lifespan
from iskra_sdk.routes import PluginRoutes
from iskra_voices.activation import Activation
from iskra_voices.casting import Casting
from iskra_voices.catalogue import VoiceCatalogue
from iskra_voices.collaboration import Collaboration
from iskra_voices.conversation_readings import ConversationReadings
from iskra_voices.routes import USE, metric_routes, voice_routes
from iskra_voices.session_records import SessionRecords
from iskra_voices.settings import VoicesSettings
from iskra_voices.speaking import Speaking

__all__ = ["VoicesSettings", "settings_schema"]


class _Voices:
    """What the hooks of one generation share."""

    def __init__(self, context: PluginContext) -> None:
        self.settings = settings = VoicesSettings.model_validate(context.settings.model_dump())
        self.catalogue = catalogue = VoiceCatalogue(settings.optional_voices)
        self.records = records = SessionRecords(context.state)
        self.readings = readings = ConversationReadings(context, records, all_sessions=settings.all_sessions)
        self.activation = Activation(context, catalogue, records, readings)
        self.collaboration = Collaboration(context, catalogue, records, readings, settings)
        casting = Casting(context, catalogue, records, readings, self.activation, settings)
        self.speaking = Speaking(context, casting, mends=settings.repairs)


_known: "WeakKeyDictionary[PluginContext, _Voices]" = WeakKeyDictionary()


def _voices_of(context: PluginContext) -> _Voices:
    if context not in _known:
        _known[context] = _Voices(context)
    return _known[context]


@hookimpl
def settings_schema() -> type[BaseModel]:
    return VoicesSettings


@hookimpl
def lifespan(context: PluginContext) -> Lifespan:
    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        # A Protocol names the service; mypy takes concrete classes only there.
        context.provide(ConversationMetrics, _voices_of(context).readings)  # type: ignore[type-abstract]
        yield

    return running()


@hookimpl
def register_voices(context: PluginContext) -> Iterable[Voice]:
    voices = _voices_of(context)
    return voices.catalogue.voices(with_parameters=voices.settings.sampler)


@hookimpl
def register_interceptors(context: PluginContext) -> Iterable[Interceptor]:
    return (Interceptor(Point.LLM_STREAM, _voices_of(context).speaking.stream, name="voices"),)


@hookimpl
def register_event_handlers(context: PluginContext) -> Iterable[EventHandler]:
    note = _voices_of(context).readings.note
    return (EventHandler("turn.*", note), EventHandler("session.deleted", note))


@hookimpl
def register_permissions() -> Iterable[PermissionSpec]:
    return (USE,)


@hookimpl
def register_routes(context: PluginContext) -> Iterable[PluginRoutes]:
    voices = _voices_of(context)
    return (
        voice_routes(context, voices.records, voices.activation, voices.collaboration),
        metric_routes(voices.records, voices.readings),
    )
