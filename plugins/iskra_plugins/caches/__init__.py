"""Caches: results of tools that only read, and, where an admin wants it, answers of models."""

from collections.abc import Iterable
from weakref import WeakKeyDictionary

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from iskra_plugins.caches.answers import Answers
from iskra_plugins.caches.backends import make_backend
from iskra_plugins.caches.intercepted_cache import InterceptedCache
from iskra_plugins.caches.resources import Resources
from iskra_plugins.caches.settings import CacheSettings
from iskra_plugins.caches.speculation import Budget, Speculation
from iskra_plugins.caches.tool_results import ToolResults
from iskra_sdk import Event, EventHandler, Interceptor, PluginContext, Point, hookimpl
from iskra_sdk.routes import DeferredApp, PluginRoutes

__all__ = ["CacheSettings", "settings_schema"]


class _Caches:
    """What the hooks of one generation share."""

    def __init__(self, context: PluginContext) -> None:
        self.settings = settings = CacheSettings.model_validate(context.settings.model_dump())
        self.backend = make_backend(settings, context.clock, context.logger)
        context.on_close(self.backend.aclose)
        self.tool_results = ToolResults(
            InterceptedCache(self.backend.tool_results, context.at_point), Resources(context.workspace, context.clock)
        )
        self.speculation = Speculation(
            self.tool_results,
            Budget(settings.ahead_calls, settings.ahead_seconds),
            lambda job: context.tasks.start(job, name="run ahead"),
            lambda: context.tools,
        )
        self.answers = Answers(
            InterceptedCache(self.backend.answers, context.at_point),
            aliases=frozenset(settings.answer_aliases),
            is_shared=settings.shared_answers,
            tools=lambda: context.tools,
        )


_known: WeakKeyDictionary[PluginContext, _Caches] = WeakKeyDictionary()


def _caches_of(context: PluginContext) -> _Caches:
    if context not in _known:
        _known[context] = _Caches(context)
    return _known[context]


@hookimpl
def settings_schema() -> type[BaseModel]:
    return CacheSettings


@hookimpl
def register_interceptors(context: PluginContext) -> Iterable[Interceptor]:
    caches = _caches_of(context)
    found = []
    if caches.settings.tool_results and caches.settings.runs_ahead:
        found.append(Interceptor(Point.TOOL_CALL, caches.speculation.around, name="runs ahead"))
    if caches.settings.tool_results:
        found.append(Interceptor(Point.TOOL_CALL, caches.tool_results.around, name="tool results"))
    if caches.settings.answers or caches.settings.answer_aliases:
        found.append(Interceptor(Point.LLM_STREAM, caches.answers.stream, name="answers"))
        found.append(Interceptor(Point.LLM_REQUEST, caches.answers.complete, name="answers"))
    return found


@hookimpl
def register_event_handlers(context: PluginContext) -> Iterable[EventHandler]:
    caches = _caches_of(context)

    async def note(event: Event) -> None:
        caches.speculation.somebody_was_asked(str(event.data.get("tool")))

    return (EventHandler("approval.requested", note),) if caches.settings.runs_ahead else ()


@hookimpl
def register_routes(context: PluginContext) -> Iterable[PluginRoutes]:
    """Offer to look at the caches, and to clear them."""
    caches = _caches_of(context)
    app = DeferredApp(lambda: _app(caches))
    return (PluginRoutes("/api/v1/caches", app, "admin:server", openapi=app.openapi),)


def _app(caches: _Caches) -> FastAPI:
    app = FastAPI(title="Caches", openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/", tags=["admin"])
    async def read_caches() -> JSONResponse:
        """Read where the caches are, whether they can be reached, and how they stand."""
        is_reachable = await caches.backend.is_reachable()
        return JSONResponse(
            {
                "backend": caches.backend.name,
                "reachable": is_reachable,
                "tool_results": await caches.backend.tool_results.facts(),
                "runs_ahead": caches.speculation.facts,
                "answers": await caches.backend.answers.facts(),
            }
        )

    @app.delete("/", tags=["admin"])
    async def clear_caches() -> JSONResponse:
        """Forget everything that is kept; 503 if the backend cannot be reached."""
        is_cleared = await caches.backend.is_reachable()  # asks it even where nobody has tried for a while
        for cache in (caches.backend.tool_results, caches.backend.answers):
            is_cleared = is_cleared and await cache.clear()
        return JSONResponse({"cleared": is_cleared}, 200 if is_cleared else 503)

    return app
