"""What tests of the HTTP layer share: tokens, and reading of event streams."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx

TOKEN = "owner-token-for-tests-4711"
OTHER_TOKEN = "other-token-for-tests-4712"
READER_TOKEN = "reader-token-for-tests-4713"


@dataclass
class Sent:
    """One server-sent event."""

    name: str
    data: Any
    id: str = ""


async def read_events(response: httpx.Response) -> AsyncIterator[Sent]:
    """Yield the events of a stream; ``[DONE]`` comes as data."""
    name, event_id = "", ""
    data: list[str] = []
    async for line in response.aiter_lines():
        if not line:
            if data:
                text = "\n".join(data)
                yield Sent(name, text if text == "[DONE]" else json.loads(text), event_id)
            name, event_id, data = "", "", []
        elif line.startswith("data: "):
            data.append(line[6:])
        elif line.startswith("event: "):
            name = line[7:]
        elif line.startswith("id: "):
            event_id = line[4:]


def chat(model: str, *texts: str, **more: Any) -> dict[str, Any]:
    """Return a chat completion request; texts alternate between user and assistant, the user's last."""
    roles = ("user", "assistant")
    first = (len(texts) - 1) % 2
    messages = [{"role": roles[(index + first) % 2], "content": text} for index, text in enumerate(texts)]
    return {"model": model, "messages": messages, **more}


async def say(client: httpx.AsyncClient, model: str, *texts: str, **more: Any) -> str:
    """Send a chat request and return the answer's text."""
    response = await client.post("/v1/chat/completions", json=chat(model, *texts, **more))
    assert response.status_code == 200, response.text
    content: str = response.json()["choices"][0]["message"]["content"]
    return content


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 5.0) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.01)
