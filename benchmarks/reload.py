"""200 reloads of a plugin while 100 streams run on it: goal 19.

Every answer consists of its generation's number, piece by piece, so a stream that mixes generations shows.
"""

import asyncio
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from servers import CHAT, TOKEN, build, iskra, upstream
from table import Row

RELOADS = 200
WARM_UP = 50
STREAMS = 100
PIECES = 20

PLUGIN = """
import asyncio
from iskra_sdk import Agent, hookimpl

class Marked(Agent):
    name = "marked"

    async def run(self, turn):
        for _ in range({pieces}):
            yield "g{number} "
            await asyncio.sleep(0.02)

@hookimpl
def register_agents():
    return [Marked()]
"""


class Streams:
    """Clients that ask, read to the end and ask again."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url + CHAT
        self.is_over = False
        self.done = 0
        self.failed: list[str] = []
        self.mixed: list[str] = []
        self.newest = 0

    async def client(self) -> None:
        """Ask again and again."""
        body = {"model": "agent:marked", "messages": [{"role": "user", "content": "go"}], "stream": True}
        while not self.is_over:
            try:
                self._judge(await self._ask(body))
            except (aiohttp.ClientError, OSError, ValueError) as exc:
                self.failed.append(repr(exc))

    async def _ask(self, body: dict[str, Any]) -> str:
        text: list[str] = []
        finish = None
        async with self._session.post(self._url, json=body) as answer:
            answer.raise_for_status()
            async for line in answer.content:
                if line.startswith(b"data: {"):
                    chunk = json.loads(line[6:])
                    if "error" in chunk:
                        raise ValueError(chunk["error"]["message"])
                    for choice in chunk["choices"]:
                        text.append(choice["delta"].get("content") or "")
                        finish = choice["finish_reason"] or finish
        if finish != "stop":
            raise ValueError(f"the stream ended with {finish}")
        return "".join(text)

    def _judge(self, text: str) -> None:
        marks = text.split()
        self.done += 1
        if len(marks) != PIECES:
            self.failed.append(f"{len(marks)} pieces: {text}")
        elif len(set(marks)) != 1:
            self.mixed.append(text)
        else:
            self.newest = max(self.newest, int(marks[0][1:]))


async def run(runs: int) -> list[Row]:
    """Reload under load, once: the runs are in the reloads."""
    del runs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        harness = build(folder)
        file = folder / "data" / "plugins" / "marked.py"
        file.parent.mkdir(parents=True)
        file.write_text(PLUGIN.format(pieces=PIECES, number=0))
        with upstream(harness) as up, iskra(folder / "data", up.url) as server:
            headers = {"Authorization": f"Bearer {TOKEN}"}
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(headers=headers, connector=connector) as session:
                return await measure(session, server.url, server.pid, file)


async def measure(session: aiohttp.ClientSession, url: str, pid: int, file: Path) -> list[Row]:
    """Keep the streams going and reload."""
    process = psutil.Process(pid)
    streams = Streams(session, url)
    swaps: list[float] = []
    failed_reloads = 0
    memory = threads = files = 0
    async with asyncio.TaskGroup() as group:
        for _ in range(STREAMS):
            group.create_task(streams.client())
        for number in range(1, RELOADS + 1):
            await asyncio.to_thread(file.write_text, PLUGIN.format(pieces=PIECES, number=number))
            reload = f"{url}/api/v1/admin/plugins/marked/reload"
            async with session.post(reload, json={}) as answer:
                receipt = await answer.json()
                if answer.status == 200:
                    swaps.append(receipt["swap_seconds"] * 1000)
                else:
                    failed_reloads += 1
            if number == WARM_UP:
                memory, threads, files = process.memory_info().rss, process.num_threads(), process.num_fds()
        grown = 100 * (process.memory_info().rss / memory - 1)
        more_threads, more_files = process.num_threads() - threads, process.num_fds() - files
        streams.is_over = True
    for problem in (streams.failed + streams.mixed)[:3]:
        print("reload:", problem)
    return [
        Row("19", f"failed streams of {streams.done}, {RELOADS} reloads", len(streams.failed), None, "", 0, 0),
        Row("19", "streams that mix generations", len(streams.mixed), None, "", 0, 0),
        Row("19", "failed reloads", failed_reloads, None, "", 0, 0),
        Row("19", "swap, median", statistics.median(swaps), None, "ms", 100, 30),
        Row("19", "swap, longest", max(swaps), None, "ms", 100, 30),
        Row("", f"memory growth after {WARM_UP} reloads", grown, None, "%", 5, 2),
        Row("", "threads more", more_threads, None, "", 2, 0),
        Row("", "file descriptors more", more_files, None, "", 10, 2),
    ]
