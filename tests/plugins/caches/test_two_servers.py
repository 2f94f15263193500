"""Two real servers with one Redis."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from fake_upstream import Request, Upstream, fake_upstream
from iskra_sdk.client import IskraClient
from plugins.caches.redis_server import RedisServer
from running_iskra import RunningServer, running_iskra

SETTINGS = """
[plugins.settings.caches]
backend = "redis"
redis_url = "{url}"
redis_timeout = 1
answers = true
"""


def model(request: Request) -> Iterator[str]:
    yield "I heard "
    yield request["messages"][-1]["content"]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with fake_upstream(model) as running:
        yield running


def ask(server: RunningServer, text: str, *, stream: bool = False, temperature: float = 0) -> str:
    """Ask the model behind a server, as any client of OpenAI's protocol does."""
    body = {
        "model": "llm:default",
        "messages": [{"role": "user", "content": text}],
        "temperature": temperature,
        "stream": stream,
    }
    headers = {"Authorization": f"Bearer {server.token}"}
    answer = httpx.post(f"{server.url}/v1/chat/completions", headers=headers, json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    if not stream:
        return str(answer.json()["choices"][0]["message"]["content"])
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
    choices = [choice for line in lines for choice in json.loads(line)["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def test_servers_share_answers_and_go_on_without_redis(
    own_redis: RedisServer, upstream: Upstream, tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        (folder / "data").mkdir(parents=True)
        (folder / "data" / "iskra.toml").write_text(SETTINGS.format(url=own_redis.url))
    given = {"ISKRA_MODEL_URL": upstream.url, "ISKRA_MODEL": "fake"}
    with running_iskra(folders[0], settings=given) as one, running_iskra(folders[1], settings=given) as other:
        for stream in (False, True):
            for server in (one, other):
                for way in (stream, not stream):
                    assert ask(server, f"привет {stream}", stream=way) == f"I heard привет {stream}"
        assert len(upstream.requests) == 2
        with IskraClient(other.url, other.token) as client:
            facts = client.request("GET", "/api/v1/caches/")
            assert (facts["backend"], facts["reachable"]) == ("redis", True)
            assert (facts["answers"]["hits"], facts["answers"]["misses"]) == (4, 0)
            own_redis.stop()
            for number in (1, 2):
                assert ask(one, "still there?") == ask(other, "still there?") == "I heard still there?"
                assert len(upstream.requests) == 2 + number * 2
            assert not client.request("GET", "/api/v1/caches/")["reachable"]
            own_redis.start()
            assert client.request("GET", "/api/v1/caches/")["reachable"]
            assert ask(other, "back?") == ask(other, "back?") == "I heard back?"
            assert len(upstream.requests) == 7
            assert client.request("DELETE", "/api/v1/caches/") == {"cleared": True}
            ask(other, "back?")
            assert len(upstream.requests) == 8
