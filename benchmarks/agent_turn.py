"""A turn with one tool call, everything persisted to SQLite: goals 8 to 11."""

import asyncio
import json
import resource
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp

from iskra.kernel import Kernel
from iskra.settings import load_settings
from iskra_sdk.event import TURN_ENDED
from iskra_sdk.ids import SessionId
from iskra_sdk.principal import Principal
from servers import AGENT_PLUGIN, Harness, Running, build, floor, iskra, upstream
from table import Row

OWNER = Principal("owner", permissions=frozenset({"*"}))
QUESTION = "What is the weather in Paris today?"
MODEL = "fake-t16"
TURNS = 400

Turn = Callable[[str, bool], Awaitable[None]]
"""Runs one turn in the session with this name; whether the model streams."""


def weather(city: str) -> str:
    """The tool."""
    return f"Sunny in {city}, 21 degrees."


TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Return the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class ByHand:
    """The floor: the same loop with aiohttp and sqlite3, one commit for each of the three steps."""

    def __init__(self, url: str, database: Path, session: aiohttp.ClientSession) -> None:
        self._url = f"{url}/v1/chat/completions"
        self._session = session
        self._database = sqlite3.connect(database, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.execute("CREATE TABLE messages (id INTEGER PRIMARY KEY, session TEXT, body TEXT)")
        self._database.execute("CREATE INDEX by_session ON messages (session)")

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def _add(self, session: str, messages: list[dict[str, Any]]) -> None:
        self._database.execute("BEGIN")
        rows = [(session, json.dumps(message)) for message in messages]
        self._database.executemany("INSERT INTO messages (session, body) VALUES (?, ?)", rows)
        self._database.execute("COMMIT")

    async def turn(self, session: str, stream: bool) -> None:
        """Run one turn."""
        rows = self._database.execute("SELECT body FROM messages WHERE session = ? ORDER BY id", (session,))
        messages = [{"role": "system", "content": "You are a helpful weather assistant."}]
        messages += [json.loads(row[0]) for row in rows]
        asked = {"role": "user", "content": QUESTION}
        self._add(session, [asked])
        messages.append(asked)
        while True:
            message = await self._ask(messages, stream=stream)
            step = [message]
            for call in message.get("tool_calls") or ():
                arguments = json.loads(call["function"]["arguments"])
                step.append({"role": "tool", "tool_call_id": call["id"], "content": weather(**arguments)})
            messages += step
            self._add(session, step)
            if len(step) == 1:
                return

    async def _ask(self, messages: list[dict[str, Any]], *, stream: bool) -> dict[str, Any]:
        body = {"model": MODEL, "messages": messages, "tools": [TOOL], "stream": stream}
        async with self._session.post(self._url, json=body) as answer:
            if not stream:
                whole: dict[str, Any] = (await answer.json())["choices"][0]["message"]
                return whole
            text: list[str] = []
            calls: dict[int, dict[str, Any]] = {}
            async for line in answer.content:
                if not line.startswith(b"data: {"):
                    continue
                choices = json.loads(line[6:])["choices"]
                delta = choices[0]["delta"] if choices else {}
                text.append(delta.get("content") or "")
                for piece in delta.get("tool_calls") or ():
                    function = piece["function"]
                    empty = {"id": piece.get("id"), "type": "function", "function": {"name": "", "arguments": ""}}
                    call = calls.setdefault(piece["index"], empty)
                    call["function"]["name"] += function.get("name") or ""
                    call["function"]["arguments"] += function.get("arguments") or ""
        message: dict[str, Any] = {"role": "assistant", "content": "".join(text) or None}
        return {**message, "tool_calls": list(calls.values())} if calls else message


class Ours:
    """The same turn through the kernel."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._sessions: dict[str, SessionId] = {}

    async def turn(self, session: str, _stream: bool) -> None:
        """Run one turn."""
        turns = self._kernel.turns
        record = await turns.start(OWNER, self._sessions.get(session), QUESTION, model="agent:bench")
        self._sessions[session] = record.session_id
        async for batch in self._kernel.logs.follow(OWNER, record.session_id, after=record.first_seq):
            if batch[-1].type in TURN_ENDED:
                if batch[-1].type != "turn.completed":
                    raise RuntimeError(f"the turn failed: {batch[-1].data}")
                return


def cpu_seconds() -> float:
    """Return the CPU time of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def measure(turn: Turn, label: str, *, sessions: int, turns: int, per_session: int = 1) -> tuple[float, float]:
    """Run turns in ``sessions`` lanes; return turns per second and CPU milliseconds per turn."""
    began, cpu = time.perf_counter(), cpu_seconds()

    async def lane(number: int) -> None:
        for count in range(turns // sessions):
            await turn(f"{label}-{number}-{count // per_session}", True)

    await asyncio.gather(*(lane(number) for number in range(sessions)))
    done = turns // sessions * sessions
    return done / (time.perf_counter() - began), 1000 * (cpu_seconds() - cpu) / done


async def run(runs: int) -> list[Row]:
    """Measure turns in process, floor and ours in alternation, then streams of our server."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        harness = build(folder)
        with upstream(harness) as up:
            rows = await in_process(folder, up.url, runs)
            with floor(up.url) as bare, iskra(folder / "served", up.url, model="fake-t64-d20-notool") as server:
                rows += served(harness, server, bare, runs)
        return rows


async def in_process(folder: Path, url: str, runs: int) -> list[Row]:
    """Compare the two loops."""
    plugins = folder / "plugins"
    plugins.mkdir()
    (plugins / "bench.py").write_text(AGENT_PLUGIN % {"model": MODEL})
    overrides = {"data_dir": folder / "data", "plugin_dir": plugins, "model_url": f"{url}/v1", "model": MODEL}
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        by_hand = ByHand(url, folder / "floor.db", session)
        stack.callback(by_hand.close)
        settings = load_settings(overrides=overrides, environment={})
        kernel = await stack.enter_async_context(Kernel.open(settings))
        loops = {"floor": by_hand.turn, "ours": Ours(kernel).turn}
        for loop in loops.values():
            await measure(loop, "warm", sessions=8, turns=64)
        figures: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for number in range(runs):
            for kind, loop in loops.items():
                for lanes in (1, 32):
                    result = await measure(loop, f"{number}-{lanes}", sessions=lanes, turns=TURNS)
                    figures.setdefault((kind, f"{lanes}"), []).append(result)
                short = await measure(loop, f"{number}-short", sessions=16, turns=320)
                long = await measure(loop, f"{number}-long", sessions=16, turns=320, per_session=20)
                figures.setdefault((kind, "growth"), []).append((0, long[1] / short[1]))

    def pick(kind: str, case: str, place: int) -> float:
        return statistics.median(result[place] for result in figures[kind, case])

    def both(case: str, place: int) -> tuple[float, float]:
        return pick("ours", case, place), pick("floor", case, place)

    return [
        Row("8", "CPU per turn, 1 session", *both("1", 1), "ms", 5.0, 3.0),
        Row("8", "CPU per turn, 32 sessions", *both("32", 1), "ms", 5.0, 3.0),
        Row("9", "turns, 32 sessions", *both("32", 0), "1/s", 0.2, 0.35, "more"),
        Row("", "time per turn, 1 session", 1000 / pick("ours", "1", 0), 1000 / pick("floor", "1", 0), "ms", 5.0, 3.0),
        Row("11", "CPU of 20-turn sessions over 1-turn sessions", pick("ours", "growth", 1), None, "×", 2.0, 1.8),
    ]


def served(harness: Harness, server: Running, bare: Running, runs: int) -> list[Row]:
    """Measure agent streams through ``/v1/chat/completions`` beside the floor's bare streams."""
    asked = {"messages": [{"role": "user", "content": QUESTION}], "stream": True}
    models = {server.name: "agent:bench", bare.name: "fake-t64-d20-notool"}
    figures: dict[str, list[dict[str, Any]]] = {server.name: [], bare.name: []}
    for _ in range(runs):
        for one in (server, bare):
            body = {**asked, "model": models[one.name]}
            result = harness.load(one, mode="sse", body=body, conc=100, duration=3.5, ramp=100, warmup=0.7)
            if result["bad_status"] or result["errors"]:
                raise RuntimeError(f"streams failed: {result}")
            figures[one.name].append(result)

    def both(pick: Callable[[dict[str, Any]], float]) -> tuple[float, float]:
        ours, floors = (statistics.median(map(pick, figures[one.name])) for one in (server, bare))
        return ours, floors

    transit = both(lambda result: float(result["transit_ms"]["p99"]))
    cpu = both(lambda result: float(result["cpu_ms_per_ok"]))
    return [
        Row("10", "token transit p99, 100 agent streams × 50 tokens/s", transit[0], None, "ms", 10, 5),
        Row("", "the same beside bare streams of the floor", *transit, "ms", 2.0, 1.2),
        Row("", "CPU per agent stream of 64 tokens, beside a bare one", *cpu, "ms", 3.0, 2.0),
    ]
