"""Caches: results of tools that only read, and, where an admin wants it, answers of models."""

from collections.abc import Iterable
from weakref import WeakKeyDictionary

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from iskra_plugins.caches.answers import Answers
from iskra_plugins.caches.bounded_cache import BoundedCache
from iskra_plugins.caches.resources import Resources
from iskra_plugins.caches.speculation import Budget, Speculation
from iskra_plugins.caches.tool_results import ToolResults
from iskra_sdk import Event, EventHandler, Interceptor, PluginContext, Point, ToolResult, hookimpl
from iskra_sdk.llm import LLMChunk
from iskra_sdk.routes import PluginRoutes

__all__ = ["CacheSettings", "settings_schema"]


class CacheSettings(BaseModel):
    """What is kept, and for how long."""

    model_config = ConfigDict(extra="forbid")

    tool_results: bool = Field(default=True, description="Keep results of tools that only read and say what.")
    tool_seconds: float = Field(default=300, gt=0, description="Seconds that a tool's result counts at most.")
    tool_bytes: int = Field(default=32_000_000, ge=100_000, description="Memory for results of tools.")
    runs_ahead: bool = Field(
        default=False, description="Run reads that are likely to come next while the model still thinks."
    )
    ahead_calls: int = Field(default=3, ge=1, le=10, description="Reads that are run ahead after one read.")
    ahead_seconds: float = Field(default=2.0, gt=0, le=30, description="Seconds they may take together.")
    answers: bool = Field(default=False, description="Keep answers of models to requests with `temperature` 0.")
    answer_aliases: list[str] = Field(
        default_factory=list, description="Aliases whose answers are kept whatever the temperature."
    )
    shared_answers: bool = Field(default=False, description="Users share answers; otherwise everybody has their own.")
    answer_seconds: float = Field(default=3600, gt=0, description="Seconds that an answer counts at most.")
    answer_bytes: int = Field(default=64_000_000, ge=100_000, description="Memory for answers.")


class _Caches:
    """What the hooks of one generation share."""

    def __init__(self, context: PluginContext) -> None:
        self.settings = settings = CacheSettings.model_validate(context.settings.model_dump())
        results: BoundedCache[ToolResult] = BoundedCache(
            context.clock, most_bytes=settings.tool_bytes, seconds=settings.tool_seconds
        )
        self.tool_results = ToolResults(results, Resources(context.workspace))
        self.speculation = Speculation(
            self.tool_results,
            Budget(settings.ahead_calls, settings.ahead_seconds),
            lambda job: context.tasks.start(job, name="run ahead"),
            lambda: context.tools,
        )
        answers: BoundedCache[tuple[LLMChunk, ...]] = BoundedCache(
            context.clock, most_bytes=settings.answer_bytes, seconds=settings.answer_seconds
        )
        self.answers = Answers(
            answers,
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
    app = FastAPI(title="Caches", openapi_url=None, docs_url=None, redoc_url=None)
    caches = _caches_of(context)

    @app.get("/", tags=["admin"])
    async def read_caches() -> JSONResponse:
        """Read how the caches stand."""
        return JSONResponse(
            {
                "tool_results": caches.tool_results.cache.facts,
                "runs_ahead": caches.speculation.facts,
                "answers": caches.answers.cache.facts,
            }
        )

    @app.delete("/", tags=["admin"])
    async def clear_caches() -> JSONResponse:
        """Forget everything that is kept."""
        caches.tool_results.cache.clear()
        caches.answers.cache.clear()
        return JSONResponse({"cleared": True})

    return (PluginRoutes("/api/v1/caches", app, "admin:server", openapi=app.openapi),)
