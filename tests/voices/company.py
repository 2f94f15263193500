"""A server with voices, as its users reach it."""

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx

from fake_upstream import Upstream
from iskra.server import Server


@dataclass
class Company:
    """A server and two users of it.

    Attributes:
        client: The owner's.
        other: Somebody else's.
    """

    server: Server
    upstream: Upstream
    client: httpx.AsyncClient
    other: httpx.AsyncClient

    async def chat(self, model: str, *texts: str, session: str = "") -> tuple[str, str]:
        """Send messages one after another; return the session and the last answer."""
        text = ""
        for asked in texts:
            headers = {"X-Iskra-Session": session} if session else {}
            body = {"model": model, "messages": [{"role": "user", "content": asked}]}
            response = await self.client.post("/v1/chat/completions", json=body, headers=headers)
            assert response.status_code == 200, response.text
            session = response.headers["x-iskra-session"]
            text = response.json()["choices"][0]["message"]["content"]
        return session, text

    async def get(self, path: str) -> Any:
        """Return the body of a good answer."""
        response = await self.client.get(path)
        assert response.status_code == 200, response.text
        return response.json()

    async def post(self, path: str, body: dict[str, Any], *, status: int = 200) -> Any:
        """Return the body of an answer with a status."""
        response = await self.client.post(path, json=body)
        assert response.status_code == status, response.text
        return response.json()

    async def metrics(self, session: str) -> Any:
        """Return the metrics of a session."""
        return await self.get(f"/api/v1/conversation_metrics/{session}")

    async def remembered(self, session: str) -> Any:
        """Return what the plugin keeps of a session."""
        assert self.server.layer is not None
        return await self.server.layer.kernel.store.plugin_value("voices", f"session/{session}")

    async def until_remembered(self, session: str, turns: int) -> Any:
        """Wait until so many turns of a session are counted and saved."""
        async with asyncio.timeout(10):
            while True:
                kept = await self.remembered(session)
                if kept is not None and kept["counted"] >= turns:
                    return kept
