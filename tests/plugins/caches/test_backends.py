"""What both backends promise, of memory and of a real Redis."""

import asyncio
from typing import Any

import pytest

from iskra_plugins.caches.answers import KeptAnswer
from iskra_sdk import ToolResult
from iskra_sdk.llm import LLMChunk, ToolCallDelta, Usage
from plugins.caches.shelf import RedisShelf, Shelf

VALUES: list[tuple[Any, Any]] = [
    (str, 'привет \N{SNOWMAN} \\ " \n'),
    (ToolResult, ToolResult("text", data={"a": [1, 2.5, None, True]}, metadata={"artifact": "x"})),
    (
        KeptAnswer,
        KeptAnswer(
            (
                LLMChunk("one", "why", (ToolCallDelta(0, "c", "look", '{"a":1}'),), wire={"choices": [{"index": 0}]}),
                LLMChunk(finish_reason="stop", usage=Usage(3, 4)),
            ),
            message={"role": "assistant", "content": "one"},
            body={"id": "x", "choices": []},
            target="provider/model",
        ),
    ),
]


@pytest.mark.parametrize(("kind", "value"), VALUES, ids=lambda part: getattr(part, "__name__", ""))
async def test_what_was_put_is_what_is_got(shelf: Shelf, kind: Any, value: Any) -> None:
    cache = shelf.cache(kind)
    assert await cache.get("key") is None
    await cache.put("key", value, 100)
    assert await cache.get("key") == value
    assert await cache.get("other") is None
    assert (cache.hits, cache.misses) == (1, 2)
    assert (await cache.facts())["hits"] == 1


async def test_the_last_value_counts(shelf: Shelf) -> None:
    cache = shelf.cache(str)
    for text in ("one", "two"):
        await cache.put("key", text, 100)
    assert await cache.get("key") == "two"
    assert (await cache.facts())["values"] == 1


async def test_values_grow_old(shelf: Shelf) -> None:
    cache = shelf.cache(str, seconds=60)
    await cache.put("key", "one", 100)
    await shelf.age(50)
    assert await cache.get("key") == "one"  # which does not make it younger
    await shelf.age(11)
    assert await cache.get("key") is None
    await cache.put("key", "two", 100)
    assert await cache.get("key") == "two"


async def test_all_values_together_stay_within_the_limit_and_the_last_one_is_there(shelf: Shelf) -> None:
    cache = shelf.cache(str, most_bytes=20_000)
    for number in range(100):
        await cache.put(f"{number}", "x" * 1000, 1000)
        facts = await cache.facts()
        assert facts["bytes"] <= 20_000
        assert await cache.get(f"{number}") is not None
    assert 10 < (await cache.facts())["values"] <= 20
    assert await cache.get("0") is None


async def test_a_value_larger_than_a_tenth_is_not_kept(shelf: Shelf) -> None:
    cache = shelf.cache(str, most_bytes=20_000)
    await cache.put("key", "x" * 2001, 2001)
    assert await cache.get("key") is None


async def test_clear_forgets_everything_and_the_cache_goes_on(shelf: Shelf) -> None:
    cache = shelf.cache(str)
    for number in range(1200):
        await cache.put(f"{number}", "x", 10)
    assert await cache.clear()
    facts = await cache.facts()
    assert facts["values"] == facts["bytes"] == 0
    await cache.put("key", "again", 10)
    assert await cache.get("key") == "again"


async def test_many_at_once_do_not_mix_up(shelf: Shelf) -> None:
    cache = shelf.cache(str)

    async def use(number: int) -> None:
        await cache.put(f"{number}", f"value {number}", 10)
        assert await cache.get(f"{number}") == f"value {number}"

    await asyncio.gather(*(use(number) for number in range(300)))


async def test_redis_forgets_what_expired_when_it_counts_bytes(redis: Any) -> None:
    shelf = RedisShelf(redis)
    cache = shelf.cache(str, most_bytes=20_000, seconds=0.02)
    await cache.put("old", "x" * 1000, 0)
    async with asyncio.timeout(30):
        while await shelf.keys():  # noqa: ASYNC110 - another process brings it about
            await asyncio.sleep(0.01)
    await cache.put("new", "x" * 1000, 0)
    assert (await cache.facts())["bytes"] < 2000
    await shelf.aclose()
