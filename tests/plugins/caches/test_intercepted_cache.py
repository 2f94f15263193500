from typing import Any

from iskra_plugins.caches.bounded_cache import BoundedCache
from iskra_plugins.caches.intercepted_cache import InterceptedCache
from iskra_sdk.errors import StoreUnavailableError
from iskra_sdk.interceptor import Point, Proceed
from iskra_sdk.testing.manual_clock import ManualClock


async def test_look_ups_pass_the_point_and_what_interceptors_raise_is_a_miss() -> None:
    real: BoundedCache[str] = BoundedCache(ManualClock(), most_bytes=100_000, seconds=60)
    passed: list[tuple[Point, Any]] = []
    is_away = False

    async def at_point(point: Point, payload: Any, proceed: Proceed) -> Any:
        passed.append((point, payload))
        if is_away:
            raise StoreUnavailableError("The cache cannot be reached.")
        return await proceed(payload)

    cache = InterceptedCache(real, at_point)
    await cache.put("key", "value", 5)
    assert await cache.get("key") == "value"
    assert await cache.get("other") is None
    is_away = True
    assert await cache.get("key") is None
    assert passed == [(Point.CACHE_GET, "key"), (Point.CACHE_GET, "other"), (Point.CACHE_GET, "key")]
    assert (cache.hits, cache.misses) == (1, 1)
