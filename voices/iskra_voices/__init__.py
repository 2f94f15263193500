"""Seven manners of answering, each checked; chosen by name or by what a conversation shows.

``voice:<name>`` answers in one of them, ``voice:auto`` in the one that the metrics of the conversation ask for.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

from pydantic import BaseModel

from iskra_metrics.service import ConversationMetrics
from iskra_sdk import (
    EventHandler,
    Interceptor,
    LLMChunk,
    LLMRequest,
    PermissionSpec,
    PluginContext,
    Point,
    Voice,
    hookimpl,
)
from iskra_sdk.interceptor import Proceed
from iskra_sdk.plugin_context import Lifespan
from iskra_sdk.routes import PluginRoutes
from iskra_sdk.voice_requests import VoiceRequests
from iskra_voices.assembly import Assembly
from iskra_voices.mounts import mounts
from iskra_voices.requests import Requests
from iskra_voices.settings import VoicesSettings

__all__ = ["VoicesSettings", "settings_schema"]


USE = PermissionSpec("voices:use", "Ask voices into a session and have them work together.")

_known: "WeakKeyDictionary[PluginContext, Assembly]" = WeakKeyDictionary()


def _assembly_of(context: PluginContext) -> Assembly:
    if context not in _known:
        _known[context] = Assembly(context)
    return _known[context]


@hookimpl
def settings_schema() -> type[BaseModel]:
    return VoicesSettings


@hookimpl
def lifespan(context: PluginContext) -> Lifespan:
    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        assembly = _assembly_of(context)
        # A Protocol names the service; mypy takes concrete classes only there.
        context.provide(ConversationMetrics, assembly)  # type: ignore[type-abstract]
        context.provide(VoiceRequests, Requests(context, assembly))  # type: ignore[type-abstract]
        context.tasks.start(assembly.warm_up, name="voices: warm up")
        yield

    return running()


@hookimpl
def register_voices(context: PluginContext) -> Iterable[Voice]:
    assembly = _assembly_of(context)
    return assembly.catalogue.voices(with_parameters=assembly.settings.sampler)


@hookimpl
def register_interceptors(context: PluginContext) -> Iterable[Interceptor]:
    assembly = _assembly_of(context)

    async def speak(request: LLMRequest, proceed: Proceed) -> AsyncIterator[LLMChunk]:
        if request.caller.voice:
            return await (await assembly.parts()).speaking.stream(request, proceed)
        stream: AsyncIterator[LLMChunk] = await proceed(request)
        return stream

    return (Interceptor(Point.LLM_STREAM, speak, name="voices"),)


@hookimpl
def register_event_handlers(context: PluginContext) -> Iterable[EventHandler]:
    note = _assembly_of(context).note
    return (EventHandler("turn.*", note), EventHandler("session.deleted", note))


@hookimpl
def register_permissions() -> Iterable[PermissionSpec]:
    return (USE,)


@hookimpl
def register_routes(context: PluginContext) -> Iterable[PluginRoutes]:
    return mounts(context, _assembly_of(context), USE.name)
