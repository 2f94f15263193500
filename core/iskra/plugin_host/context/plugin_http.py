"""The HTTP client of one plugin, whose libraries are imported at its first request: most servers never send one."""

import asyncio
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from iskra_sdk.plugin_context import HTTPResponse

if TYPE_CHECKING:
    from iskra.outgoing_http import OutgoingHTTP


class PluginHTTP:
    """Other servers for one plugin; see ``iskra_sdk.HTTPClient``.

    Args:
        allowed_private_hosts: Host names or addresses that may be on private networks.
    """

    def __init__(self, allowed_private_hosts: Sequence[str] = ()) -> None:
        self._allowed = allowed_private_hosts
        self._client: OutgoingHTTP | None = None

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float = 30.0,
        max_bytes: int = 10_000_000,
    ) -> HTTPResponse:
        """Send a request, follow redirects that are allowed, return the whole answer."""
        if self._client is None:
            # In a thread: the import takes longer than the event loop may be held.
            outgoing_http = await asyncio.to_thread(import_module, "iskra.outgoing_http")
            if self._client is None:
                self._client = outgoing_http.OutgoingHTTP(self._allowed)
        return await self._client.request(method, url, headers=headers, body=body, timeout=timeout, max_bytes=max_bytes)

    async def close(self) -> bool:
        """Close the connections; return whether there were any."""
        return self._client is not None and await self._client.close()
