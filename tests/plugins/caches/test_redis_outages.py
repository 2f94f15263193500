"""Redis goes, hangs, comes back, and answers nonsense; who uses the caches only ever sees a miss."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iskra_plugins.caches.cache import Cache
from iskra_plugins.caches.redis_cache import RedisCache
from iskra_plugins.caches.redis_connection import CacheUnreachableError, RedisConnection
from iskra_sdk import ToolResult
from iskra_sdk.testing import ManualClock
from plugins.caches.redis_server import RedisServer
from plugins.caches.shelf import RedisShelf

SHORT = 0.1


@asynccontextmanager
async def opened(server: RedisServer, timeout: float = 20.0) -> AsyncIterator[RedisShelf]:
    shelf = RedisShelf(server, timeout=timeout)
    try:
        yield shelf
    finally:
        await shelf.aclose()


def told(caplog: pytest.LogCaptureFixture, text: str) -> int:
    return sum(text in record.message for record in caplog.records)


async def until_found(shelf: RedisShelf, cache: Cache[str]) -> None:
    """Try again, a pause later each time, until Redis is back; a busy machine may take more than one try."""
    async with asyncio.timeout(60):
        while True:
            shelf.clock.advance(31)
            await cache.put("key", "new", 0)
            if await cache.get("key") == "new":
                return


async def test_redis_that_dies_is_a_miss_and_comes_back(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with opened(own_redis) as shelf:
        cache = shelf.cache(str)
        await cache.put("key", "old", 0)
        assert await cache.get("key") == "old"
        own_redis.stop()
        for _ in range(50):
            assert await cache.get("key") is None
            await cache.put("key", "lost", 0)
            shelf.clock.advance(1)
        assert not await cache.clear()
        assert not await shelf.connection.ping()
        assert await cache.facts() == {"hits": 1, "misses": 50}
        assert told(caplog, "not usable") == 1
        own_redis.start()
        await until_found(shelf, cache)
        assert told(caplog, "is back") == 1
        own_redis.stop()
        assert await cache.get("key") is None
        assert told(caplog, "not usable") == 2


async def test_redis_that_is_not_there_at_first_is_found_later(own_redis: RedisServer) -> None:
    own_redis.stop()
    async with opened(own_redis) as shelf:
        cache = shelf.cache(str)
        assert await cache.get("key") is None
        own_redis.start()
        await until_found(shelf, cache)


async def test_redis_that_hangs_is_waited_for_once_and_its_late_answers_reach_nobody(own_redis: RedisServer) -> None:
    async with opened(own_redis, timeout=SHORT) as shelf:
        patient = RedisShelf(own_redis, prefix=shelf.prefix)
        cache = shelf.cache(str)
        for name in ("one", "two"):
            await patient.cache(str).put(name, name, 0)
        own_redis.hold()
        # Without a deadline the first would wait until the test ends.
        assert await asyncio.gather(*(cache.get(name) for name in ("one", "two", "one"))) == [None] * 3
        assert not shelf.connection.is_reachable
        assert await cache.get("one") is None
        own_redis.release()
        assert await patient.cache(str).get("one") == "one"
        async with asyncio.timeout(60):
            while not await shelf.connection.ping():
                pass
        for name in ("two", "one") * 10:
            assert await cache.get(name) in (name, None)
        await patient.aclose()


async def test_pauses_grow_and_one_use_tries_at_a_time(own_redis: RedisServer) -> None:
    own_redis.stop()
    async with opened(own_redis) as shelf:
        tried = 0

        async def job(_client: object) -> None:
            nonlocal tried
            tried += 1
            raise ConnectionError("gone")

        async def use() -> None:
            with pytest.raises(CacheUnreachableError):
                await shelf.connection.use(job)

        await use()
        for number, pause in enumerate((1, 2, 4, 8, 16, 30, 30), start=1):
            shelf.clock.advance(pause - 0.25)
            await asyncio.gather(*(use() for _ in range(10)))
            assert tried == number
            shelf.clock.advance(0.25)
            await asyncio.gather(*(use() for _ in range(10)))
            assert tried == number + 1


async def test_what_somebody_else_wrote_under_our_keys_is_a_miss_and_goes(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(redis) as shelf:
        cache = shelf.cache(ToolResult)
        await cache.put("key", ToolResult("right"), 0)
        await cache.put("other", ToolResult("of another key"), 0)
        (key,) = [name for name in await shelf.keys() if name.endswith(":key")]
        right = await shelf.client.get(key)
        assert isinstance(right, bytes)
        of_another = await shelf.client.get(key.replace(":key", ":other"))
        assert isinstance(of_another, bytes)
        for garbage in (b"", b"\xff\x00", b"null", b"[" * 100_000, b'["key",{"content":7}]', right[:-3], of_another):
            await shelf.client.set(key, garbage)
            assert await cache.get("key") is None
            assert await shelf.client.exists(key) == 0
            await cache.put("key", ToolResult("right"), 0)
            assert await cache.get("key") == ToolResult("right")
        await shelf.client.delete(key)
        await shelf.client.rpush(key, "a list")
        assert await cache.get("key") is None
        await shelf.client.set(f"{key.removesuffix('key')}index", "no index")
        for _ in range(2):  # the first finds out, the second is kept
            await cache.put("key", ToolResult("right"), 0)
        assert await cache.get("key") == ToolResult("right")
        assert shelf.connection.is_reachable


async def test_what_json_does_not_say_in_full_is_not_kept(redis: RedisServer) -> None:
    async with opened(redis) as shelf:
        cache = shelf.cache(ToolResult)
        for data in (float("nan"), (1, 2), {1: 2}, object(), {"a": {3}}, "\ud800"):
            await cache.put("key", ToolResult("text", data=data), 0)
            assert await cache.get("key") is None
        assert shelf.connection.is_reachable


async def test_only_our_own_keys_are_cleared_and_none_shows_what_it_is_for(redis: RedisServer) -> None:
    async with opened(redis) as shelf, opened(redis) as neighbour:
        await shelf.client.set(f"{shelf.prefix}x:caches:1:str:a", "not ours")
        await shelf.client.set("anything", "not ours")
        await neighbour.cache(str).put("key", "theirs", 0)
        await shelf.cache(ToolResult).put("key", ToolResult("of the other cache"), 0)
        await shelf.cache(str).put("key", "ours", 0)
        await shelf.client.set(f"{shelf.prefix}:caches:0:str:a", "of an older version")
        assert await shelf.cache(str).clear()
        assert await shelf.keys() == [f"{shelf.prefix}:caches:1:toolresult:key"]
        assert await neighbour.cache(str).get("key") == "theirs"
        assert await shelf.client.exists("anything", f"{shelf.prefix}x:caches:1:str:a") == 2


async def test_every_key_has_an_age(redis: RedisServer) -> None:
    async with opened(redis) as shelf:
        cache = shelf.cache(str, seconds=60)
        for number in range(20):
            await cache.put(f"{number}", "x", 0)
        async for key in shelf.client.scan_iter(f"{shelf.prefix}:*"):
            assert 0 < await shelf.client.pttl(key) <= 120_000


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.binary(max_size=60) | st.sampled_from([b"+OK\r\n", b"$9\r\nab", b"*-7\r\n", b"$999999999999\r\n"])))
def test_a_server_that_is_no_redis_is_a_miss(answers: list[bytes]) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for each in answers:
            await reader.read(100)
            writer.write(each)
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        connection = RedisConnection(
            f"redis://127.0.0.1:{port}", timeout=SHORT, clock=ManualClock(), logger=logging.getLogger("test")
        )
        cache: RedisCache[str] = RedisCache(
            connection, prefix="x", name="str", value=str, most_bytes=1000_000, seconds=60
        )
        async with server:
            assert await cache.get("key") is None
            await cache.put("key", "value", 0)
            await cache.facts()
        await connection.aclose()

    asyncio.run(run())
