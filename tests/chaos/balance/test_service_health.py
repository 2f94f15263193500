"""The health of the service, from turns that fail and breakers that open."""

import pytest

from iskra_chaos.balance.service_health import ServiceHealth
from iskra_sdk.testing.manual_clock import ManualClock


def test_without_failures_it_is_whole() -> None:
    health = ServiceHealth(ManualClock())
    assert (health.value, health.error_rate) == (1.0, 0.0)
    health.note_turn(has_failed=False)
    assert health.value == 1.0


def test_one_failure_of_three_turns_is_no_third() -> None:
    health = ServiceHealth(ManualClock())
    for has_failed in (False, True, False):
        health.note_turn(has_failed=has_failed)
    assert health.error_rate == pytest.approx(0.02)
    assert health.burn == pytest.approx(4.0)
    assert health.value == pytest.approx(1.0 - 4.0 / 14.4)


def test_an_alarming_burn_leaves_nothing_and_an_hour_later_it_is_over() -> None:
    clock = ManualClock()
    health = ServiceHealth(clock)
    for _ in range(8):
        health.note_turn(has_failed=True)
    assert health.value == 0.0
    clock.advance(3601.0)
    assert health.value == 1.0


def test_breakers_count_until_they_close() -> None:
    health = ServiceHealth(ManualClock())
    values = []
    for target, state in (
        ("a", "opened"),
        ("b", "half_opened"),
        ("a", "half_opened"),
        ("a", "closed"),
        ("b", "closed"),
    ):
        health.note_breaker(target, state)
        values.append(health.value)
    assert values == [0.4, 0.4, 0.7, 0.7, 1.0]
