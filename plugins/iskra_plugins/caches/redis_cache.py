"""The cache in Redis: JSON values under hashed keys, each with an age, all of them within a limit of bytes."""

import logging
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from iskra_plugins.caches.redis_connection import CacheUnreachableError, RedisConnection

SCHEMA = 1
"""Counted up when values or keys come to mean something else; what older servers wrote is then not found."""
_ENTRY_BYTES = 300
"""What Redis needs for an entry beside its value, about."""
_BATCH = 500

# Expired values go first, then the oldest, until the new one fits in. ``index`` sorts names of values by the time at
# which they expire, ``sizes`` has their sizes and, as ``total``, the sum. Both go with the last value.
_PUT = """
local entry, index, sizes = KEYS[1], KEYS[2], KEYS[3]
local name, value, size, age, most, prefix =
    ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local function forget(old)
    local freed = redis.call('HGET', sizes, old)
    if freed then
        redis.call('HINCRBY', sizes, 'total', -tonumber(freed))
        redis.call('HDEL', sizes, old)
    end
    redis.call('ZREM', index, old)
    redis.call('UNLINK', prefix .. old)
end
for _, old in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, 200)) do forget(old) end
forget(name)
redis.call('SET', entry, value, 'PX', age)
redis.call('ZADD', index, now + age, name)
redis.call('HSET', sizes, name, size)
local total = redis.call('HINCRBY', sizes, 'total', size)
for _ = 1, 1000 do
    if total <= most then break end
    local oldest = redis.call('ZRANGE', index, 0, 0)[1]
    if not oldest then break end
    forget(oldest)
    total = tonumber(redis.call('HGET', sizes, 'total'))
end
redis.call('PEXPIRE', index, age * 2)
redis.call('PEXPIRE', sizes, age * 2)
"""

T = TypeVar("T")
logger = logging.getLogger(__name__)


class RedisCache(Generic[T]):
    """A :class:`~iskra_plugins.caches.cache.Cache` that outlives its process and that servers share.

    A value is kept only if it is the same after the way through JSON. What lies under a key and is not a value that
    was put there under this very key counts as nothing, and goes.

    Args:
        connection: Reaches Redis; several caches share one.
        prefix: What keys begin with, without characters that mean something in a glob.
        name: Tells this cache from others with the same prefix.
        value: The type of the values.
        most_bytes: Size of all values together.
        seconds: Age at which a value counts no more.
    """

    is_shared = True

    def __init__(
        self,
        connection: RedisConnection,
        *,
        prefix: str,
        name: str,
        value: Any,
        most_bytes: int,
        seconds: float,
    ) -> None:
        self.hits = 0
        self.misses = 0
        self._connection = connection
        self._prefix = f"{prefix}:caches:{SCHEMA}:{name}:"
        self._all = f"{prefix}:caches:*:{name}:*"
        self._index, self._sizes = f"{self._prefix}index", f"{self._prefix}sizes"
        self._values: TypeAdapter[tuple[str, T]] = TypeAdapter(tuple[str, value])
        self._most_bytes = most_bytes
        self._milliseconds = max(1, int(seconds * 1000))
        self._has_told = False

    async def get(self, key: str) -> T | None:
        """Return a value that is young enough."""
        try:
            found = await self._connection.use(lambda client: _read(client, self._prefix + key))
        except CacheUnreachableError:
            found = None
        value = None if found is None else await self._decoded(key, found)
        if value is None:
            self.misses += 1
        else:
            self.hits += 1
        return value

    async def put(self, key: str, value: T, size: int) -> None:
        """Keep a value, unless its JSON is larger than a tenth of the room or does not say all of it."""
        encoded = self._encoded(key, value)
        if encoded is None or (taken := len(encoded) + _ENTRY_BYTES) > self._most_bytes // 10:
            return
        keys = [self._prefix + key, self._index, self._sizes]
        given: list[str | bytes | int] = [
            key,
            encoded,
            taken,
            self._milliseconds,
            self._most_bytes,
            self._prefix,
        ]

        async def put(client: Redis) -> None:
            try:
                await client.register_script(_PUT)(keys, given)
            except ResponseError as exc:
                if "WRONGTYPE" not in str(exc):
                    raise
                await client.unlink(*keys)  # somebody else wrote under our keys; the next one is kept

        try:
            await self._connection.use(put)
        except CacheUnreachableError:
            return

    async def clear(self) -> bool:
        """Forget everything, what older versions of the server wrote included; return whether Redis did it."""
        cursor = 0
        try:
            while True:
                cursor, found = await self._connection.use(
                    lambda client, at=cursor: client.scan(at, match=self._all, count=_BATCH)  # type: ignore[misc]
                )
                if found:
                    await self._connection.use(lambda client, keys=found: client.unlink(*keys))  # type: ignore[misc]
                if cursor == 0:
                    return True
        except CacheUnreachableError:
            return False

    async def facts(self) -> dict[str, int]:
        """Return how the cache stands."""
        own = {"hits": self.hits, "misses": self.misses}
        try:
            values, size = await self._connection.use(self._counted)
        except CacheUnreachableError:
            return own
        return {"values": values, "bytes": size, **own}

    async def _counted(self, client: Redis) -> tuple[int, int]:
        try:
            return int(await client.zcard(self._index)), int(await client.hget(self._sizes, "total") or 0)
        except ResponseError:
            return 0, 0

    def _encoded(self, key: str, value: T) -> bytes | None:
        try:
            encoded = self._values.dump_json((key, value))
            return encoded if self._values.validate_json(encoded) == (key, value) else None
        except (PydanticSerializationError, ValidationError, RecursionError):
            return None

    async def _decoded(self, key: str, found: bytes) -> T | None:
        try:
            told, value = self._values.validate_json(found)
        except (ValidationError, RecursionError):
            told = ""
        else:
            if told == key:
                self._has_told = False
                return value
        if not self._has_told:
            self._has_told = True
            logger.warning("a key of the caches in Redis held something else", extra={"key": self._prefix + key})
        try:
            await self._connection.use(lambda client: client.unlink(self._prefix + key))
        except CacheUnreachableError:
            return None
        return None


async def _read(client: Redis, key: str) -> bytes | None:
    try:
        found = await client.get(key)
    except ResponseError as exc:
        if "WRONGTYPE" not in str(exc):
            raise
        return b""
    return found if isinstance(found, bytes) else None
