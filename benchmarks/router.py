"""Measures the CPU that the router and the OpenAI-compatible provider add to a model call.

Run: ``python benchmarks/router.py [--upstream http://127.0.0.1:9100/v1 --model fake-t64] [--runs 5]``

Without ``--upstream`` a small upstream is started in a process of its own. The cases alternate within a run. Figures
are CPU time of this process, which other load disturbs least: ``passed through`` reads bytes with aiohttp
and looks at nothing, ``decoded and encoded`` is what any gateway has to do at least, ``provider`` and ``router`` are
ours, with each chunk encoded again as the server does.
"""

import argparse
import asyncio
import multiprocessing
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection

import aiohttp
import orjson
import uvloop

from iskra.interceptors import Points
from iskra.llm import LLMRouter
from iskra.plugin_host.catalog import Owned
from iskra.settings import AliasSettings, LLMSettings
from iskra_plugins.openai_compatible.provider import OpenAICompatibleProvider
from iskra_plugins.openai_compatible.settings import EndpointSettings
from iskra_sdk.clock import SystemClock
from iskra_sdk.llm import Caller, LLMRequest, Usage
from iskra_sdk.message import Message
from iskra_sdk.testing.memory_bus import MemoryEventBus
from table import Row, show

TOKENS = 64
PAUSE = 0.001
"""Seconds between tokens of the built-in upstream, so that each arrives alone, as from a model."""

Case = Callable[[], Awaitable[int]]


async def _serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    frame = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    chunks = [
        {**frame, "choices": [{"index": 0, "delta": {"content": f"tok{number} "}, "finish_reason": None}]}
        for number in range(TOKENS)
    ]
    chunks.append({**frame, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    events = [b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks] + [b"data: [DONE]\n\n"]
    choice = {"index": 0, "message": {"role": "assistant", "content": "tok " * TOKENS}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": TOKENS}
    body = orjson.dumps({"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage})
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            request = orjson.loads(await reader.readexactly(length))
            if not request.get("stream"):
                fields = b"content-type: application/json\r\ncontent-length: %d" % len(body)
                writer.write(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\n" + body)
                continue
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            for event in events:
                writer.write(b"%x\r\n%s\r\n" % (len(event), event))
                await asyncio.sleep(PAUSE)
            writer.write(b"0\r\n\r\n")
    except (asyncio.IncompleteReadError, OSError):
        writer.close()


def _upstream(ready: Connection) -> None:
    async def serve() -> None:
        server = await asyncio.start_server(_serve_one, "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(serve())


class Bench:
    """The cases, over one upstream. Each does one call and returns the tokens it saw."""

    def __init__(self, url: str, model: str, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._url = f"{url}/chat/completions"
        self.provider = OpenAICompatibleProvider("up", EndpointSettings(base_url=url), now=SystemClock().now)
        self._providers = {"up": Owned(self.provider, "bench", 1)}
        self._router = LLMRouter(
            LLMSettings(),
            {"default": AliasSettings(targets=(f"up/{model}",))},
            clock=SystemClock(),
            bus=MemoryEventBus(),
            points=Points(),
            record_usage=self._count_usage,
        )
        self._model = model
        self._request = LLMRequest((Message.user("hello"),))
        self._body = orjson.dumps({"model": model, "messages": [{"role": "user", "content": "hello"}]})
        self._stream_body = self._body[:-1] + b',"stream":true}'
        self._headers = {"content-type": "application/json"}

    def _count_usage(self, caller: Caller, target: str, usage: Usage) -> None:
        """Stand in for the accounting, which has benchmarks of its own."""

    async def stream_passed_through(self) -> int:
        count = 0
        async with self._session.post(self._url, data=self._stream_body, headers=self._headers) as response:
            while data := await response.content.readany():
                count += data.count(b"data: {")
        return count

    async def stream_decoded_and_encoded(self) -> int:
        count = 0
        async with self._session.post(self._url, data=self._stream_body, headers=self._headers) as response:
            async for line in response.content:
                if line.startswith(b"data: {"):
                    orjson.dumps(orjson.loads(line[6:]))
                    count += 1
        return count

    async def stream_provider(self) -> int:
        count = 0
        async for chunk in self.provider.stream(self._request, self._model):
            orjson.dumps(chunk.wire)
            count += 1
        return count

    async def stream_router(self) -> int:
        count = 0
        async for chunk in self._router.stream(self._request, self._providers):
            orjson.dumps(chunk.wire)
            count += 1
        return count

    async def whole_passed_through(self) -> int:
        async with self._session.post(self._url, data=self._body, headers=self._headers) as response:
            await response.read()
        return 1

    async def whole_decoded_and_encoded(self) -> int:
        async with self._session.post(self._url, data=self._body, headers=self._headers) as response:
            orjson.dumps(orjson.loads(await response.read()))
        return 1

    async def whole_provider(self) -> int:
        orjson.dumps((await self.provider.complete(self._request, self._model)).wire)
        return 1

    async def whole_router(self) -> int:
        orjson.dumps((await self._router.complete(self._request, self._providers)).wire)
        return 1


async def cpu_per_unit(case: Case, calls: int, tasks: int) -> float:
    """Return the CPU microseconds per token (or per request) over ``calls`` calls in ``tasks`` tasks."""

    async def work() -> int:
        return sum([await case() for _ in range(calls // tasks)])

    began = time.process_time()
    units = sum(await asyncio.gather(*(work() for _ in range(tasks))))
    return (time.process_time() - began) / units * 1e6


@asynccontextmanager
async def upstream(url: str | None) -> AsyncIterator[str]:
    if url is not None:
        yield url
        return
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_upstream, args=(there,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{await asyncio.to_thread(here.recv)}/v1"
    finally:
        process.terminate()


async def measure(runs: int, calls: int, url: str | None, model: str) -> list[Row]:
    """Run every case in alternation."""
    names = ("passed_through", "decoded_and_encoded", "provider", "router")
    figures: dict[str, list[float]] = {}
    async with (
        upstream(url) as base,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        bench = Bench(base, model, session)
        for run in range(runs + 1):
            for kind, count in (("stream", calls), ("whole", calls * 10)):
                for name in names:
                    figure = await cpu_per_unit(getattr(bench, f"{kind}_{name}"), count, 16)
                    if run > 0:  # the first run warms up
                        figures.setdefault(f"{kind} {name}", []).append(figure)
        await bench.provider.aclose()
    rows = []
    for kind, unit in (("stream", "token"), ("whole", "request")):
        floor = statistics.median(figures[f"{kind} decoded_and_encoded"])
        for name in ("provider", "router"):
            label = f"CPU per {unit}, provider{' and router' * (name == 'router')}"
            rows.append(Row("", label, statistics.median(figures[f"{kind} {name}"]), floor, "µs", 1.5, 1.0))
    return rows


def run(runs: int, calls: int = 160, url: str | None = None, model: str = "m") -> list[Row]:
    """Measure provider and router alone, beside aiohttp with each event decoded and encoded."""
    return uvloop.run(measure(runs, calls, url, model))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upstream", help="base URL of an OpenAI-compatible server, instead of the built-in one")
    parser.add_argument("--model", default="m")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--calls", type=int, default=160, help="streams per case and run; ten times as many requests")
    arguments = parser.parse_args()
    show("Provider and router", run(arguments.runs, arguments.calls, arguments.upstream, arguments.model))


if __name__ == "__main__":
    main()
