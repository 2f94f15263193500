"""The native API of administration: plugins, audit, breakers, logins, stopping."""

import logging
import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query, Request

from iskra import __version__
from iskra.http.auth import CODE_SECONDS, Authenticator
from iskra.http.inputs import InstallInput, LogLevelInput, as_mapping
from iskra.http.provider_checks import check_providers
from iskra.http.routing import JSONAnswer, exchange_of, needs, principal_of
from iskra.http.wire import audit_wire
from iskra.kernel import Kernel
from iskra_sdk.message import clean_text
from iskra_sdk.principal import Principal
from iskra_sdk.session_store import AppendAudit, AuditEntry

logger = logging.getLogger(__name__)

Caller = Annotated[Principal, Depends(principal_of)]
_PLUGINS = "/api/v1/admin/plugins"


def add_admin_routes(
    router: APIRouter, kernel: Kernel, authenticator: Authenticator, stop: Callable[[], None] | None
) -> None:
    """Add the routes."""
    plugins = kernel.plugins
    manages, audits, serves = needs("admin:plugins"), needs("admin:audit"), needs("admin:server")
    began = time.monotonic()

    async def audit(request: Request, action: str, target: str = "", **data: object) -> None:
        exchange = exchange_of(request)
        entry = AuditEntry(
            kernel.clock.now(), exchange.principal.id, action, target, data, correlation_id=exchange.correlation_id
        )
        await kernel.store.apply([AppendAudit(entry)])

    @router.get(_PLUGINS, openapi_extra=manages, tags=["admin"])
    async def list_plugins() -> JSONAnswer:
        """List plugins, also those that do not run."""
        return JSONAnswer({"data": [status.wire for status in plugins.list()]})

    @router.get(_PLUGINS + "/{name}", openapi_extra=manages, tags=["admin"])
    async def get_plugin(name: str) -> JSONAnswer:
        """Read how a plugin stands, with its latest receipts."""
        receipts = [receipt.wire for receipt in plugins.receipts(name)]
        return JSONAnswer({**plugins.get(name).wire, "receipts": receipts})

    @router.get(_PLUGINS + "/{name}/receipts", openapi_extra=manages, tags=["admin"])
    async def list_receipts(name: str) -> JSONAnswer:
        """Read what the latest changes of a plugin did."""
        return JSONAnswer({"data": [receipt.wire for receipt in plugins.receipts(name)]})

    @router.post(_PLUGINS + "/{name}/enable", openapi_extra=manages, tags=["admin"])
    async def enable_plugin(caller: Caller, name: str) -> JSONAnswer:
        """Switch a plugin on, for good; also lifts a quarantine."""
        await plugins.enable(name, principal=caller)
        return JSONAnswer(plugins.get(name).wire)

    @router.post(_PLUGINS + "/{name}/disable", openapi_extra=manages, tags=["admin"])
    async def disable_plugin(caller: Caller, name: str) -> JSONAnswer:
        """Switch a plugin off, for good; running turns finish on it."""
        await plugins.disable(name, principal=caller)
        return JSONAnswer(plugins.get(name).wire)

    @router.post(_PLUGINS + "/{name}/reload", openapi_extra=manages, tags=["admin"])
    async def reload_plugin(caller: Caller, name: str) -> JSONAnswer:
        """Load a plugin's code again and return the receipt; running turns finish on the old code."""
        return JSONAnswer((await plugins.reload(name, principal=caller)).wire)

    @router.put(_PLUGINS + "/{name}/log-level", openapi_extra=manages, tags=["admin"])
    async def set_log_level(request: Request, name: str, given: LogLevelInput) -> JSONAnswer:
        """Set what a plugin logs until it is loaded again; `default` is the server's own level."""
        loggers = plugins.set_log_level(name, given.level)
        await audit(request, "plugin.log_level", name, level=given.level)
        return JSONAnswer({"level": given.level, "loggers": list(loggers)})

    @router.get(_PLUGINS + "/{name}/settings", openapi_extra=manages, tags=["admin"])
    async def get_plugin_settings(name: str) -> JSONAnswer:
        """Read a plugin's settings; secrets are masked."""
        return JSONAnswer({"settings": plugins.get(name).settings})

    @router.put(_PLUGINS + "/{name}/settings", openapi_extra=manages, tags=["admin"])
    async def configure_plugin(caller: Caller, name: str, given: Annotated[dict[str, Any], Body()]) -> JSONAnswer:
        """Change settings of a plugin; those not given stay, `null` goes back to the default."""
        await plugins.configure(name, as_mapping(given), principal=caller)
        return JSONAnswer({"settings": plugins.get(name).settings})

    @router.post(_PLUGINS, status_code=201, openapi_extra=manages, tags=["admin"])
    async def install_plugin(caller: Caller, given: InstallInput) -> JSONAnswer:
        """Copy a plugin into the plugin folder and start it."""
        installed = await plugins.install(given.source, principal=caller)
        return JSONAnswer({**installed[0].wire, "installed": [status.name for status in installed]}, 201)

    @router.get("/api/v1/admin/audit", openapi_extra=audits, tags=["admin"])
    async def read_audit(
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        before: Annotated[int | None, Query(ge=1, le=2**62)] = None,
        action: Annotated[str, Query(max_length=200)] = "",
    ) -> JSONAnswer:
        """Read the audit log, newest first; `action` may be a glob."""
        entries = await kernel.store.audit(limit=limit, before=before, action=clean_text(action))
        return JSONAnswer(
            {
                "data": [audit_wire(number, entry) for number, entry in entries],
                "next": entries[-1][0] if len(entries) == limit else None,
            }
        )

    @router.get("/api/v1/admin/providers", openapi_extra=serves, tags=["admin"])
    async def read_providers() -> JSONAnswer:
        """Ask every provider of models whether it works."""
        return JSONAnswer({"data": await check_providers(kernel)})

    @router.get("/api/v1/admin/breakers", openapi_extra=serves, tags=["admin"])
    async def read_breakers() -> JSONAnswer:
        """Read the state of each target's circuit breaker, and the failures that count or opened it."""
        return JSONAnswer({target: breaker.wire for target, breaker in kernel.llm.breakers().items()})

    @router.post("/api/v1/login-codes", status_code=201, openapi_extra=serves, tags=["admin"])
    async def mint_login_code(request: Request) -> JSONAnswer:
        """Make a one-time login for the console."""
        exchange = exchange_of(request)
        code = authenticator.mint_code(exchange.principal)
        await audit(request, "login.code")
        host = exchange.host.decode("latin-1")
        path = f"/login?code={code}"
        return JSONAnswer(
            {"code": code, "path": path, "url": f"{request.url.scheme}://{host}{path}", "expires_in": CODE_SECONDS}, 201
        )

    @router.post("/api/v1/admin/shutdown", status_code=202, openapi_extra=serves, tags=["admin"])
    async def shut_down(request: Request) -> JSONAnswer:
        """Stop the server as a signal would: streams are told, turns get their grace time."""
        await audit(request, "server.shutdown")
        logger.info("shutdown asked for", extra={"principal": exchange_of(request).principal.id})
        if stop is not None:
            stop()
        return JSONAnswer({"status": "stopping", "grace": kernel.settings.shutdown_grace}, 202)

    @router.get("/api/v1/usage", openapi_extra=needs("sessions:read"), tags=["usage"])
    async def read_usage(
        caller: Caller, since: Annotated[str, Query(pattern=r"^(\d{4}-\d{2}-\d{2})?$")] = ""
    ) -> JSONAnswer:
        """Read the tokens used per day, agent and target; an admin sees everybody's."""
        rows = await kernel.store.usage(caller, since_day=since)
        return JSONAnswer(
            {
                "data": [
                    {
                        "day": row.day,
                        "principal": row.principal_id,
                        "agent": row.agent,
                        "target": row.target,
                        "calls": row.calls,
                        **row.usage.wire,
                    }
                    for row in rows
                ]
            }
        )

    @router.get("/api/v1/status", openapi_extra=needs("sessions:read"), tags=["operations"])
    async def read_status(caller: Caller) -> JSONAnswer:
        """Read what runs."""
        return JSONAnswer(
            {
                "version": __version__,
                "uptime": round(time.monotonic() - began, 3),
                "running_turns": kernel.turns.running,
                "principal": {"id": caller.id, "name": caller.name, "permissions": sorted(caller.permissions)},
                "plugins": dict(kernel.plugins.catalog.generations),
                "aliases": list(kernel.llm.alias_names()),
                "targets": {alias: list(one.targets) for alias, one in kernel.settings.aliases.items()},
                "safe_mode": kernel.settings.safe_mode,
            }
        )
