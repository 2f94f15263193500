"""The plugin as the server loads it, with either backend."""

import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from iskra_plugins import caches
from iskra_plugins.caches import CacheSettings
from iskra_sdk import LLMRequest, Message, Point
from iskra_sdk.errors import ConfigurationError, PluginSettingsError
from iskra_sdk.llm import LLMAnswer
from iskra_sdk.testing import PluginHarness
from plugins.caches.redis_server import RedisServer

ASKED = LLMRequest([Message.user("a secret question")], parameters={"temperature": 0})


class Opened:
    """A loaded plugin."""

    def __init__(self, harness: PluginHarness, http: httpx.AsyncClient) -> None:
        self.http = http
        interceptors: list[Any] = harness.registered("register_interceptors")
        (self._complete,) = [each.around for each in interceptors if each.point is Point.LLM_REQUEST]
        self.asked = 0

    async def ask(self) -> str:
        async def proceed(_: LLMRequest) -> LLMAnswer:
            self.asked += 1
            return LLMAnswer(Message.assistant("an answer"))

        answer: LLMAnswer = await self._complete(ASKED, proceed)
        return answer.message.text

    async def facts(self) -> Any:
        return (await self.http.get("/")).json()


@asynccontextmanager
async def opened(**settings: object) -> AsyncIterator[Opened]:
    async with PluginHarness.open(caches, settings={"answers": True, **settings}) as harness:
        (routes,) = harness.registered("register_routes")
        assert (routes.path, routes.permission) == ("/api/v1/caches", "admin:server")
        async with httpx.AsyncClient(transport=httpx.ASGITransport(routes.app), base_url="http://test") as http:
            yield Opened(harness, http)


async def test_memory_is_told_and_cleared() -> None:
    async with opened() as plugin:
        assert [await plugin.ask() for _ in range(3)] == ["an answer"] * 3
        facts = await plugin.facts()
        assert (facts["backend"], facts["reachable"]) == ("memory", True)
        assert (facts["answers"]["hits"], facts["answers"]["misses"]) == (2, 1)
        assert (await plugin.http.delete("/")).json() == {"cleared": True}
        await plugin.ask()
        assert plugin.asked == 2


async def test_redis_outlives_a_restart_and_says_nothing_of_what_was_asked(redis: RedisServer) -> None:
    settings = {"backend": "redis", "redis_url": redis.url, "redis_prefix": "restart", "redis_timeout": 1}
    async with opened(**settings) as plugin:
        await plugin.ask()
    async with opened(**settings) as plugin:
        assert await plugin.ask() == "an answer"
        assert plugin.asked == 0
        facts = await plugin.facts()
        assert (facts["backend"], facts["reachable"]) == ("redis", True)
        assert facts["answers"] == {"values": 1, "bytes": facts["answers"]["bytes"], "hits": 1, "misses": 0}
        assert (await plugin.http.delete("/")).json() == {"cleared": True}
        await plugin.ask()
        assert plugin.asked == 1


async def test_redis_that_is_gone_is_told(own_redis: RedisServer) -> None:
    async with opened(backend="redis", redis_url=own_redis.url, redis_timeout=1) as plugin:
        await plugin.ask()
        own_redis.stop()
        assert await plugin.ask() == "an answer"
        facts = await plugin.facts()
        assert (facts["backend"], facts["reachable"], plugin.asked) == ("redis", False, 2)
        assert facts["answers"] == {"hits": 0, "misses": 2}
        answer = await plugin.http.delete("/")
        assert (answer.status_code, answer.json()) == (503, {"cleared": False})
        own_redis.start()
        assert (await plugin.facts())["reachable"]  # a look asks at once, and ends the pause
        await plugin.ask()
        assert await plugin.ask() == "an answer"
        assert plugin.asked == 3


async def test_without_the_package_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    async with PluginHarness.open(caches, settings={"backend": "redis", "redis_url": "redis://localhost"}) as harness:
        with pytest.raises(ConfigurationError, match=r"pip install 'iskra\[redis\]'"):
            harness.registered("register_interceptors")


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost", "redis://:hush@localhost:hush/0"])
async def test_a_url_that_is_none_is_refused_without_its_password(url: str) -> None:
    async with PluginHarness.open(caches, settings={"backend": "redis", "redis_url": url}) as harness:
        with pytest.raises(ConfigurationError, match="redis_url") as caught:
            harness.registered("register_interceptors")
    assert "hush" not in f"{caught.value} {caught.value.__cause__}"


@pytest.mark.parametrize("prefix", ["", "a*", "a[b]", "a:b", "a b", "x" * 65])
async def test_settings_that_make_no_sense_are_refused(prefix: str) -> None:
    with pytest.raises(ValidationError):
        CacheSettings(redis_prefix=prefix)
    with pytest.raises(PluginSettingsError, match="redis_url"):
        async with PluginHarness.open(caches, settings={"backend": "redis"}):
            pass
