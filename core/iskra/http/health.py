"""Whether the server lives, and whether it is ready to work."""

import asyncio
from collections.abc import Callable

from iskra import __version__
from iskra.http.exchange import Exchange
from iskra.kernel import Kernel
from iskra_sdk.errors import IskraError

_DEADLINE = 3.0  # seconds for all checks


class Health:
    """``/health`` asks nobody; ``/ready`` asks what the server depends on."""

    def __init__(self, kernel: Kernel, is_stopping: Callable[[], bool]) -> None:
        self._kernel = kernel
        self._is_stopping = is_stopping

    async def live(self, exchange: Exchange) -> None:
        """``GET /health``."""
        await exchange.respond(200, b'{"status":"ok"}')

    async def ready(self, exchange: Exchange) -> None:
        """``GET /ready``: 503 while something is missing."""
        checks = {"server": "stopping" if self._is_stopping() else "ok", "store": await self._check_store()}
        is_ready = all(state == "ok" for state in checks.values())
        document = {"status": "ready" if is_ready else "not ready", "checks": checks, "version": __version__}
        await exchange.respond_json(document, 200 if is_ready else 503)

    async def _check_store(self) -> str:
        try:
            async with asyncio.timeout(_DEADLINE):
                await self._kernel.store.check()
        except TimeoutError:
            return "timeout"
        except IskraError as error:
            return error.code
        return "ok"
