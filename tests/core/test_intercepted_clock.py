from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from iskra.intercepted_clock import InterceptedClock
from iskra.interceptors import Points
from iskra.plugin_host.catalog import Owned
from iskra_sdk.interceptor import AroundNow, Interceptor, Point, Position
from iskra_sdk.testing.manual_clock import ManualClock

HOUR = timedelta(hours=1)
Tell = Callable[[datetime], datetime]


def clocks(*arounds: AroundNow) -> tuple[InterceptedClock, ManualClock]:
    points, real = Points(), ManualClock()
    points.rebuild([Owned(Interceptor(Point.CLOCK, around, Position.INNERMOST), "p", 1) for around in arounds])
    return InterceptedClock(real, points.slot(Point.CLOCK)), real


def later(now: datetime, proceed: Tell) -> datetime:
    return proceed(now) + HOUR


async def test_a_skewed_clock_tells_another_time_and_measures_as_before() -> None:
    clock, real = clocks(later, later)
    assert clock.now() == real.now() + 2 * HOUR
    before = clock.monotonic()
    real.advance(5)
    assert clock.monotonic() == before + 5


def broken(now: datetime, proceed: Tell) -> datetime:
    raise RuntimeError("no time")


def naive(now: datetime, proceed: Tell) -> datetime:
    return proceed(now).replace(tzinfo=None)


def nothing(now: datetime, proceed: Tell) -> Any:
    return None


@pytest.mark.parametrize("around", [broken, naive, nothing])
async def test_an_interceptor_that_fails_is_passed_over(around: AroundNow, caplog: pytest.LogCaptureFixture) -> None:
    clock, real = clocks(later, around)
    assert clock.now() == real.now() + HOUR
    assert "interceptor of the clock" in caplog.text


async def test_a_clock_that_nobody_intercepts_is_the_real_one() -> None:
    clock, real = clocks()
    assert clock.now() == real.now()
