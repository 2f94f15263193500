"""What a request leaves behind: nothing that only the garbage collector could free."""

import asyncio
import gc

import httpx
import pytest

from http_probe import chat
from iskra.http.exchange import Exchange


def exchanges() -> int:
    return sum(type(found) is Exchange for found in gc.get_objects())


@pytest.mark.parametrize("body", [chat("agent:echo", "hi"), chat("agent:echo", "hi", stream=True), {"model": 3}])
async def test_a_request_is_freed_without_the_collector(client: httpx.AsyncClient, body: dict[str, object]) -> None:
    gc.collect()
    gc.disable()
    try:
        before = exchanges()
        for _ in range(3):
            await client.post("/v1/chat/completions", json=body)
        async with asyncio.timeout(10):
            while exchanges() > before:  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0)
    finally:
        gc.enable()
