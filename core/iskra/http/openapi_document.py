"""The OpenAPI document: the kernel's routes, the raw ones described by hand, and those of the plugins that run."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from iskra import __version__
from iskra.http.exchange import Exchange
from iskra.http.routing import PERMISSION, PUBLIC, RawRoute
from iskra.plugin_host import Catalog, PluginHost

logger = logging.getLogger(__name__)

_HTML = (b"content-type", b"text/html; charset=utf-8")
_VALIDATION = frozenset({"HTTPValidationError", "ValidationError"})
"""How the framework says what does not fit; we say it as a problem."""
_PROBLEM: Mapping[str, Any] = {
    "type": "object",
    "description": "What went wrong, why, and how to mend it (RFC 9457), with facts of the error beside.",
    "required": ["type", "title", "status", "detail", "code", "mend", "correlation_id"],
    "properties": {
        "type": {"type": "string", "description": "`urn:iskra:error:` and the code."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What happened and why."},
        "code": {"type": "string", "description": "For programs."},
        "mend": {"type": "string", "description": "What to do; empty where the detail says it all."},
        "correlation_id": {"type": "string", "description": "Finds the request in the server's log."},
    },
    "additionalProperties": True,
}
_OPENAI_WIRE = "/v1/"
_SECTIONS = ("schemas", "responses", "parameters", "requestBodies", "headers")


class OpenAPIDocument:
    """Makes the document once per catalog.

    Args:
        app: The kernel's application.
        plugins: Whose catalog is followed.
    """

    def __init__(self, app: FastAPI, plugins: PluginHost) -> None:
        self._app = app
        self._raw: list[RawRoute] = []
        self._plugins = plugins
        self._encoded: bytes | None = None
        plugins.on_swap(self._forget)

    def describe(self, raw: Iterable[RawRoute]) -> None:
        """Take in the raw routes, which the framework does not know."""
        self._raw.extend(raw)

    def _forget(self, _catalog: Catalog) -> None:
        self._encoded = None

    async def serve(self, exchange: Exchange) -> None:
        """``GET /openapi.json``."""
        if self._encoded is None:
            self._encoded = orjson.dumps(await self._built(), default=str)
        await exchange.respond(200, self._encoded)

    async def serve_page(self, exchange: Exchange) -> None:
        """``GET /docs``: the document as one page without scripts."""
        await exchange.respond(200, _page(await self._built()).encode(), [_HTML])

    async def _built(self) -> dict[str, Any]:
        """Return the document, built in a thread: plugins may make their applications only now."""
        loop = asyncio.get_running_loop()

        def report(plugin: str, error: Exception) -> None:
            loop.call_soon_threadsafe(self._plugins.record_failure, plugin, error)

        return await asyncio.to_thread(self.build, report)

    def build(self, report: Callable[[str, Exception], None] | None = None) -> dict[str, Any]:
        """Return the document for the present catalog.

        Args:
            report: Told of a plugin whose own document cannot be had, instead of the plugin host.
        """
        report = report or self._plugins.record_failure
        routes = [route for route in self._app.routes if isinstance(route, APIRoute)]
        document = get_openapi(
            title="Iskra",
            version=__version__,
            summary="An agent server whose every part is a plugin.",
            routes=routes,
        )
        paths: dict[str, Any] = document.setdefault("paths", {})
        for route in self._raw:
            for method, operation in route.describe.items():
                paths.setdefault(route.path_format, {})[method] = {
                    "responses": {"200": {"description": "OK"}},
                    PERMISSION: route.permission,
                    "parameters": _path_parameters(route.path_format),
                    **operation,
                }
        components: dict[str, Any] = document.setdefault("components", {})
        components["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer"},
            "console": {"type": "apiKey", "in": "cookie", "name": "iskra_session"},
        }
        document["security"] = [{"token": []}, {"console": []}]
        for item in paths.values():
            for operation in item.values():
                if isinstance(operation, dict) and operation.get(PERMISSION) == PUBLIC:
                    operation["security"] = []
        for owned in self._plugins.catalog.routes:
            mount = owned.value
            if mount.openapi is not None:
                self._merge(document, mount.path, mount.permission, owned.plugin, mount.openapi, report)
        _describe_problems(document)
        return document

    def _merge(
        self,
        document: dict[str, Any],
        mount: str,
        permission: str,
        plugin: str,
        openapi: Callable[[], Mapping[str, Any]],
        report: Callable[[str, Exception], None],
    ) -> None:
        try:
            theirs = orjson.loads(orjson.dumps(openapi(), default=str))
            # Two plugins may each have a schema `Item`: each gets the plugin's name in front.
            text = orjson.dumps(theirs).replace(b'"#/components/schemas/', f'"#/components/schemas/{plugin}.'.encode())
            theirs = orjson.loads(text)
            paths = theirs.get("paths", {}).items()
        except Exception as exc:
            report(plugin, exc)
            logger.warning("plugin's OpenAPI document left out", exc_info=exc, extra={"plugin": plugin})
            return
        for path, item in paths:
            full = mount.rstrip("/") + path if not path.startswith(f"{mount.rstrip('/')}/") or mount == "/" else path
            known = document["paths"].setdefault(full, {})
            for method, operation in item.items():
                if method not in known and isinstance(operation, dict):
                    operation.setdefault("tags", [plugin])
                    operation[PERMISSION] = permission
                    known[method] = operation
        for section in _SECTIONS:
            for name, value in theirs.get("components", {}).get(section, {}).items():
                document["components"].setdefault(section, {})[f"{plugin}.{name}" if section == "schemas" else name] = (
                    value
                )


def _describe_problems(document: dict[str, Any]) -> None:
    """Say of every operation that its errors are problems, in place of the framework's own shape."""
    schemas: dict[str, Any] = document["components"].setdefault("schemas", {})
    for name in [name for name in schemas if name.rpartition(".")[2] in _VALIDATION]:
        del schemas[name]
    schemas["Problem"] = dict(_PROBLEM)
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path, item in document["paths"].items():
        for operation in item.values():
            if not isinstance(operation, dict) or "responses" not in operation:
                continue
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
            if not path.startswith(_OPENAI_WIRE):
                operation["responses"].setdefault("default", {"description": "A problem.", "content": content})


def _path_parameters(path: str) -> list[dict[str, object]]:
    names = [part[1:-1].partition(":")[0] for part in path.split("/") if part.startswith("{")]
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _page(document: Mapping[str, Any]) -> str:
    rows = []
    for path, item in sorted(document["paths"].items()):
        for method, operation in item.items():
            if not isinstance(operation, dict):
                continue
            text = operation.get("summary") or operation.get("description") or ""
            description = (operation.get("description") or text).split("\n")[0]
            rows.append(
                f"<tr><td><code>{escape(method.upper())}</code></td><td><code>{escape(path)}</code></td>"
                f"<td>{escape(str(operation.get(PERMISSION, '')))}</td><td>{escape(description)}</td></tr>"
            )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Iskra: HTTP</title></head>'
        "<body><h1>Iskra: HTTP interface</h1><p>For programs: <a href='/openapi.json'>openapi.json</a></p>"
        "<table><thead><tr><th>Method</th><th>Path</th><th>Permission</th><th>What it does</th></tr></thead><tbody>"
        + "".join(rows)
        + "</tbody></table></body></html>"
    )
