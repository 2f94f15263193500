"""Measures the voices against a running server, with a model that takes no time.

Run: ``python benchmarks/run.py voices``. The fake model answers at once and in no voice's manner, so every answer is
asked for a second time: the worst case. What is measured includes HTTP, the calls to the fake model, and the store.
"""

import asyncio
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

from servers import TOKEN, Running, build, iskra, upstream
from table import Row

LANES = 8
TURNS = 12
"""Turns of each session."""
COORDINATIONS = 60
CALLS = 8
"""Of the model in a collaboration: four voices speak, and each is asked once more."""

_MESSAGES: list[str] = json.loads((Path(__file__).parent / "data" / "voice_messages.json").read_text(encoding="utf-8"))
_ENVIRONMENT = {
    # Neither a question who should answer nor an agent that asks no model may pass for a voice's answer.
    "ISKRA_PLUGINS__SETTINGS__AGENTS": "{asks_when_unsure = false}",
    "ISKRA_PLUGINS__DISABLED": '["chaos"]',
}


async def run(runs: int) -> list[Row]:
    """Return the rows."""
    os.environ.update(_ENVIRONMENT)
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            harness = build(folder)
            with upstream(harness) as up, iskra(folder / "served", up.url, model=None) as server:
                return await _measured(server, runs)
    finally:
        for name in _ENVIRONMENT:
            del os.environ[name]


async def _measured(server: Running, runs: int) -> list[Row]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession(server.url, headers=headers) as http:
        await asyncio.gather(*(_lane(http, "voice:auto", lane, 2) for lane in range(2)))  # warm
        turns = [await _turns(http, "voice:auto") for _ in range(runs)]
        plain = [await _turns(http, "agent:ask") for _ in range(runs)]
        activations = [seconds for _ in range(runs) for seconds in await _activations(http)]
        rounds = [seconds for _ in range(runs) for seconds in await _collaborations(http)]
    return [
        Row("", "asking a voice into a session, p95", 1000 * _p95(activations), None, "ms", 80, 40),
        Row("", "3 voices side by side and Iskra, 8 model calls, p95", 1000 * _p95(rounds), None, "ms", 80, 60),
        Row("", "turns of voice:auto, 8 sessions", statistics.median(turns), None, "1/min", 300, 3000, "more"),
        Row(
            "",
            "the same beside turns of an agent",
            statistics.median(turns),
            statistics.median(plain),
            "1/min",
            0.1,
            0.4,
            "more",
        ),
    ]


async def _turns(http: aiohttp.ClientSession, model: str) -> float:
    """Return turns per minute in several sessions at once."""
    began = time.perf_counter()
    await asyncio.gather(*(_lane(http, model, lane, TURNS) for lane in range(LANES)))
    return 60 * LANES * TURNS / (time.perf_counter() - began)


async def _lane(http: aiohttp.ClientSession, model: str, lane: int, turns: int) -> str:
    """Hold a conversation and return its session."""
    session = ""
    for number in range(turns):
        text = _MESSAGES[(lane * turns + number) % len(_MESSAGES)]
        body = {"model": model, "messages": [{"role": "user", "content": text}]}
        headers = {"X-Iskra-Session": session} if session else {}
        async with http.post("/v1/chat/completions", json=body, headers=headers) as answer:
            if answer.status != 200:
                raise RuntimeError(f"a turn failed: {await answer.text()}")
            session = answer.headers["x-iskra-session"]
            await answer.read()
    return session


async def _activations(http: aiohttp.ClientSession) -> list[float]:
    session = await _lane(http, "voice:auto", 0, 3)
    body = {
        "voice_type": "sam",
        "interaction_purpose": "structure_recovery",
        "context": {"session_id": session, "urgency_level": 0.5},
    }
    return [(await _timed(http, "/api/v1/voices/activate", body))[0] for _ in range(COORDINATIONS)]


async def _collaborations(http: aiohttp.ClientSession) -> list[float]:
    found = []
    for number in range(COORDINATIONS):
        task = {"content": _MESSAGES[number % len(_MESSAGES)], "success_criteria": ["min_words: 1"]}
        body = {"primary_voice": "kain", "collaborating_voices": ["iskriv", "sam"], "collaborative_task": task}
        seconds, answer = await _timed(http, "/api/v1/voices/collaborate", body)
        if answer["model_calls"] != CALLS or answer["coordination_protocol"] != "parallel":
            raise RuntimeError(f"another course than the one to be measured: {answer}")
        found.append(seconds)
    return found


async def _timed(http: aiohttp.ClientSession, path: str, body: dict[str, Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    async with http.post(path, json=body) as answer:
        text = await answer.text()
        if answer.status != 200:
            raise RuntimeError(f"{path} failed: {text}")
    return time.perf_counter() - began, json.loads(text)


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]
