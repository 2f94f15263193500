"""What the server offers: models, agents, tools, voices."""

import time

from fastapi import APIRouter

from iskra.http.exchange import Exchange
from iskra.http.routing import JSONAnswer, needs
from iskra.kernel import Kernel
from iskra.turns.model_ids import model_ids
from iskra_sdk.errors import UnknownModelError

_STARTED = int(time.time())


class Models:
    """``/v1/models``: agents, voices, router aliases and the upstream models behind them."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    async def list_all(self, exchange: Exchange) -> None:
        """``GET /v1/models``."""
        await exchange.respond_json({"object": "list", "data": [_model(model) for model in await self._ids()]})

    async def get(self, exchange: Exchange) -> None:
        """``GET /v1/models/{model}``."""
        wanted = exchange.scope["path_params"]["model"]
        if wanted not in await self._ids():
            raise UnknownModelError(
                f"There is no model {wanted[:200]!r} here.", mend="GET /v1/models lists them.", facts={"param": "model"}
            )
        await exchange.respond_json(_model(wanted))

    async def _ids(self) -> list[str]:
        kernel = self._kernel
        with kernel.plugins.lease() as lease:
            ids = model_ids(lease.catalog, frozenset(kernel.llm.alias_names()))
            upstream = await kernel.llm.models(lease.catalog.providers)
        return [*ids, *(f"llm:{alias}/{name}" for alias, names in upstream.items() for name in names)]


def _model(model: str) -> dict[str, object]:
    kind = model.partition(":")[0]
    return {"id": model, "object": "model", "created": _STARTED, "owned_by": "iskra" if kind == model else kind}


def add_catalogue_routes(router: APIRouter, kernel: Kernel) -> None:
    """Add the lists of agents, tools and voices."""

    @router.get("/api/v1/agents", openapi_extra=needs("agents:read"), tags=["catalogue"])
    async def list_agents() -> JSONAnswer:
        """List agents."""
        agents = kernel.plugins.catalog.agents
        return JSONAnswer(
            {
                "data": [
                    {
                        "name": name,
                        "description": owned.value.description,
                        "examples": list(owned.value.examples),
                        "tools": list(owned.value.tools),
                        "model": owned.value.model,
                        "plugin": owned.plugin,
                    }
                    for name, owned in sorted(agents.items())
                ]
            }
        )

    @router.get("/api/v1/tools", openapi_extra=needs("tools:read"), tags=["catalogue"])
    async def list_tools() -> JSONAnswer:
        """List tools."""
        tools = kernel.plugins.catalog.tools
        return JSONAnswer(
            {
                "data": [
                    {
                        "name": name,
                        "description": owned.value.description,
                        "parameters": owned.value.parameters,
                        "risk": owned.value.risk,
                        "is_idempotent": owned.value.is_idempotent,
                        "timeout": owned.value.timeout,
                        "plugin": owned.plugin,
                    }
                    for name, owned in sorted(tools.items())
                ]
            }
        )

    @router.get("/api/v1/voices", openapi_extra=needs("agents:read"), tags=["catalogue"])
    async def list_voices() -> JSONAnswer:
        """List voices."""
        voices = {owned.value.name: owned for owned in kernel.plugins.catalog.voices.values()}
        return JSONAnswer(
            {
                "data": [
                    {
                        "name": name,
                        "description": owned.value.description,
                        "aliases": list(owned.value.aliases),
                        "plugin": owned.plugin,
                    }
                    for name, owned in sorted(voices.items())
                ]
            }
        )
