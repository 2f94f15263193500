"""The floor of the gateway: the thinnest server that decodes and encodes what it passes on.

``UPSTREAM=http://127.0.0.1:9100/v1 uvicorn floor_server:app``
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

UPSTREAM = os.environ["UPSTREAM"] + "/chat/completions"
HEADERS = {"authorization": "Bearer x", "content-type": "application/json"}


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    """Keep one client session."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=300)) as session:
        yield {"session": session}


async def chat(request: Request) -> Response:
    """Pass a chat completion through."""
    raw = await request.body()
    session: aiohttp.ClientSession = request.state.session
    if not orjson.loads(raw).get("stream"):
        async with session.post(UPSTREAM, data=raw, headers=HEADERS) as answer:
            body = orjson.dumps(orjson.loads(await answer.read()))
            return Response(body, answer.status, media_type="application/json")
    answer = await session.post(UPSTREAM, data=raw, headers=HEADERS)

    async def events() -> AsyncIterator[bytes]:
        async with answer:
            async for line in answer.content:
                if line.startswith(b"data:"):
                    data = line[5:].strip()
                    yield b"data: " + (data if data == b"[DONE]" else orjson.dumps(orjson.loads(data))) + b"\n\n"

    return StreamingResponse(events(), answer.status, media_type="text/event-stream")


async def health(request: Request) -> Response:
    """Answer that we live."""
    return Response(b"ok")


app = Starlette(
    routes=[Route("/v1/chat/completions", chat, methods=["POST"]), Route("/health", health)], lifespan=lifespan
)
