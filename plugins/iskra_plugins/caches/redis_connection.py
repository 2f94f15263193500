"""Redis as the caches see it: each use has a deadline, and one that is down or slow is left alone for a while."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from iskra_sdk.clock import Clock
from iskra_sdk.errors import ConfigurationError

_MOST_CONNECTIONS = 16
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
"""Seconds without a try after a failure; the pause doubles while tries fail."""

T = TypeVar("T")


class CacheUnreachableError(Exception):
    """Redis is down, too slow, or answers with what is no answer; for the caches alone."""


class RedisConnection:
    """A client that gives up early.

    After a failure nobody waits for Redis until a pause is over; then one use tries whether it is there again.

    Args:
        url: Where Redis is.
        timeout: Seconds that one use may take.
        clock: Measures the pauses.
        logger: Told when Redis goes, and when it is back.

    Attributes:
        is_reachable: Whether the last use succeeded; true before the first one.

    Raises:
        ConfigurationError: The URL is none of Redis.
    """

    def __init__(self, url: str, *, timeout: float, clock: Clock, logger: logging.Logger) -> None:
        try:
            pool = BlockingConnectionPool.from_url(
                url,
                max_connections=_MOST_CONNECTIONS,
                timeout=None,  # the deadline of a use covers its wait for a connection
                protocol=2,
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError:
            # Without the cause, whose text may hold a part of the password.
            raise ConfigurationError(
                "The caches cannot use their `redis_url`.",
                mend="It looks like `redis://:password@localhost:6379/0`, `rediss://…` or `unix://…`.",
            ) from None
        self.is_reachable = True
        self._client: Redis = Redis.from_pool(pool)
        self._timeout = timeout
        self._clock = clock
        self._logger = logger
        self._pause = _FIRST_PAUSE
        self._next_try = 0.0

    async def use(self, job: Callable[[Redis], Awaitable[T]]) -> T:
        """Run ``job`` with the client.

        Raises:
            CacheUnreachableError: It failed, took too long, or was not tried because the last one did.
        """
        is_trial = not self.is_reachable
        if is_trial:
            if self._clock.monotonic() < self._next_try:
                raise CacheUnreachableError
            self._next_try = self._clock.monotonic() + self._pause  # the others do not wait for this trial
        return await self._tried(job, is_trial=is_trial)

    async def ping(self) -> bool:
        """Return whether Redis answers now, without regard to pauses."""
        try:
            await self._tried(_ping, is_trial=not self.is_reachable)
        except CacheUnreachableError:
            return False
        return True

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose(close_connection_pool=True)

    async def _tried(self, job: Callable[[Redis], Awaitable[T]], *, is_trial: bool) -> T:
        try:
            async with asyncio.timeout(self._timeout):
                result = await job(self._client)
        except Exception as exc:  # what is no Redis makes the client's parser raise all kinds of errors
            self._failed(exc, is_trial=is_trial)
            raise CacheUnreachableError from exc
        if not self.is_reachable:
            self.is_reachable = True
            self._pause = _FIRST_PAUSE
            self._logger.info("Redis of the caches is back")
        return result

    def _failed(self, cause: Exception, *, is_trial: bool) -> None:
        if self.is_reachable:
            self.is_reachable = False
            self._next_try = self._clock.monotonic() + self._pause
            self._logger.warning(
                "Redis of the caches is not usable; the server goes on without",
                extra={"cause": f"{type(cause).__name__}: {str(cause)[:200]}".rstrip(": ")},
            )
        elif is_trial:
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)
            self._next_try = self._clock.monotonic() + self._pause


async def _ping(client: Redis) -> None:
    await client.ping()
