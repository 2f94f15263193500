"""The closed loop against simulated and scripted conversations; the limits are those of the design."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise, product
from random import Random
from statistics import mean

import pytest

from chaos.balance.plant import Parameters, Plant, Run, drawn, simulate, spectral_radius
from chaos.balance.scripted_session import Balance, ScriptedAgent, Turn, live, replayed
from iskra_chaos.balance.bounds import DWELL
from iskra_chaos.balance.controller import (
    ACT_ABOVE,
    INTEGRAL_GAIN,
    PROPORTIONAL_GAIN,
    PIController,
)
from iskra_chaos.balance.gain import GAIN_RANGE, SCALE_RANGE
from iskra_chaos.balance.tension import BAND, SET_POINT, TensionAverage

_RUNS = 400
_LOW, _HIGH = BAND
_CORNERS = list(product((0.25, 0.4, 0.6), (0.25, 0.4, 0.6), (0.5, 0.75, 1.0, 1.25, 1.5), (1, 2, 3)))


def _controlled() -> Callable[[float], float]:
    controller = PIController()
    return lambda tension: controller.step(tension).value


def _published(*, intensity: float = 0.0) -> Callable[[float], float]:
    """The published rule: the absolute tension below its band asks for more chaos, above it for less."""

    def decide(tension: float) -> float:
        nonlocal intensity
        if abs(tension) < _LOW:
            intensity = min(1.0, intensity + 0.1)
        elif abs(tension) > _HIGH:
            intensity = max(0.0, intensity - 0.1)
        return intensity

    return decide


def _runs(decide: Callable[[], Callable[[float], float]], *, is_averaged: bool = True) -> list[Run]:
    random = Random(1)
    return [simulate(Plant(drawn(random), random), decide(), is_averaged=is_averaged) for _ in range(_RUNS)]


def _held_runs(decide: Callable[[float], Callable[[float], float]], *, is_averaged: bool = True) -> list[Run]:
    """Runs that start in the middle of the band, under the intensity that keeps them there."""
    random, runs = Random(2), []
    for _ in range(_RUNS):
        parameters = drawn(random)
        held = parameters.holding_intensity
        plant = Plant(parameters, random, held=held)
        runs.append(simulate(plant, decide(held), intensity=held, is_averaged=is_averaged))
    return runs


def _leaves(run: Run) -> bool:
    return any(not 0.20 <= tension <= 0.40 for tension in run.tensions)


def test_stale_conversations_are_brought_into_the_band_and_kept_there() -> None:
    runs = _runs(_controlled)
    assert mean(run.share_within(_LOW, _HIGH) for run in runs) >= 0.90
    assert mean(run.share_within(0.20, 0.40) for run in runs) >= 0.99
    settled = sorted(turn for run in runs if (turn := run.settled_at(_LOW, _HIGH)) is not None)
    assert len(settled) == _RUNS, "some runs never settle"
    assert settled[_RUNS // 2] <= 12
    assert settled[int(_RUNS * 0.95)] <= 25


def test_the_published_rule_never_gets_a_stale_conversation_into_the_band() -> None:
    runs = _runs(_published, is_averaged=False)
    assert not any(_LOW <= tension <= _HIGH for run in runs for tension in run.tensions)
    assert mean(run.tensions[-1] for run in runs) > 0.6


def test_the_published_rule_leaves_even_a_perfect_start() -> None:
    runs = _held_runs(lambda held: _published(intensity=held), is_averaged=False)
    assert all(_leaves(run) for run in runs)
    ends = [run.tensions[-1] for run in runs]
    assert sum(end > 0.40 for end in ends) > _RUNS // 4, "half end stale"
    assert sum(end < 0.0 for end in ends) > _RUNS // 10, "others with chaos above stability"


def test_a_perfect_start_is_kept() -> None:
    def held_controller(held: float) -> Callable[[float], float]:
        controller = PIController()
        controller.state = replace(controller.state, output=held, integral=held)
        return lambda tension: controller.step(tension).value

    assert not any(_leaves(run) for run in _held_runs(held_controller))


def test_the_linear_loop_is_stable_in_every_corner() -> None:
    radii = [
        spectral_radius(Parameters(chaos, stability, gain, delay=delay), PROPORTIONAL_GAIN, INTEGRAL_GAIN)
        for chaos, stability, gain, delay in _CORNERS
    ]
    assert max(radii) < 0.98
    assert spectral_radius(Parameters(), PROPORTIONAL_GAIN, INTEGRAL_GAIN) == pytest.approx(0.826, abs=0.002)


def test_the_sweep_tells_unstable_gains_apart() -> None:
    worst = max(spectral_radius(Parameters(a, b, gain, delay=d), 0.9, 0.4) for a, b, gain, d in _CORNERS)
    assert worst > 1.0


def test_scaling_by_a_right_estimate_keeps_the_loop_stable_over_all_gains() -> None:
    low, high = GAIN_RANGE
    for chaos, stability, gain, delay in product((0.25, 0.6), (0.25, 0.6), (low, 0.5, 1.0, 1.5, high), (1, 2, 3)):
        scale = min(max(1.0 / gain, SCALE_RANGE[0]), SCALE_RANGE[1])
        parameters = Parameters(chaos, stability, gain, delay=delay)
        assert spectral_radius(parameters, scale * PROPORTIONAL_GAIN, scale * INTEGRAL_GAIN) < 0.98


@pytest.mark.parametrize("seed", range(10))
def test_an_actuator_that_was_dead_leaves_no_windup(seed: int) -> None:
    plant = Plant(Parameters(), Random(seed))
    dead_for = 60
    run = simulate(plant, _controlled(), actuator=lambda turn, intensity: 0.0 if turn < dead_for else intensity)
    after = Run(run.tensions[dead_for:], run.intensities[dead_for:])
    back = after.settled_at(_LOW, _HIGH, dwell=5)
    assert back is not None
    assert back <= 20
    assert sum(tension < 0.20 for tension in after.tensions) <= 14


def test_without_back_calculation_the_same_outage_takes_much_longer() -> None:
    """What the test above would catch: an integral that nothing holds back."""
    integral = 0.0

    def winding_up(tension: float) -> float:
        nonlocal integral
        error = tension - SET_POINT
        integral += INTEGRAL_GAIN * error
        return min(max(PROPORTIONAL_GAIN * error + integral, -1.0), 1.0)

    run = simulate(
        Plant(Parameters(), Random(0)), winding_up, actuator=lambda turn, intensity: 0.0 if turn < 60 else intensity
    )
    back = Run(run.tensions[60:], run.intensities[60:]).settled_at(_LOW, _HIGH, dwell=5)
    assert back is None or back > 20


@pytest.mark.parametrize("seed", range(5))
def test_a_change_of_topic_that_leaves_the_tension_in_its_band_is_left_alone(seed: int) -> None:
    parameters = Parameters(base=0.29, noise=0.0)
    plant = Plant(parameters, Random(seed))

    def change_topic(turn: int) -> None:
        if turn == 30:
            plant.base += 0.04
            plant.chaos += 0.03

    run = simulate(plant, _controlled(), before_turn=change_topic)
    assert all(abs(tension - SET_POINT) <= ACT_ABOVE for tension in run.tensions)
    assert set(run.intensities) == {0.0}


@pytest.mark.parametrize("step", [-0.30, -0.15, 0.15, 0.30])
def test_a_change_of_topic_that_upsets_the_balance_is_evened_out(step: float) -> None:
    for seed in range(20):
        plant = Plant(replace(drawn(Random(seed)), base=0.50), Random(seed))

        def change_topic(turn: int, plant: Plant = plant) -> None:
            if turn == 60:
                plant.base += step

        run = simulate(plant, _controlled(), before_turn=change_topic)
        settled = Run(run.tensions[60:], run.intensities[60:]).settled_at()
        assert settled is not None
        assert settled <= 40


def _staleness(turns: list[Turn]) -> float:
    return mean(turn.circumstances.staleness for turn in turns[8:])


def _session(seed: int, *, habit_growth: float, is_off: bool = False) -> list[Turn]:
    agent = ScriptedAgent(Random(seed), habit_growth=habit_growth)
    return live(agent, Balance(TensionAverage(offset=0.08), is_off=is_off), 40)


def test_an_agent_that_repeats_itself_gets_less_stale_in_the_loop() -> None:
    alone, balanced = _session(2, habit_growth=0.2, is_off=True), _session(2, habit_growth=0.2)
    assert _staleness(alone) > 0.9
    assert _staleness(balanced) < 0.5


def test_a_healthy_session_is_never_perturbed() -> None:
    assert not any(turn.choice for turn in _session(3, habit_growth=0.0))


def test_operations_do_not_chatter() -> None:
    turns = _session(4, habit_growth=0.2)
    starts = [number for number, turn in enumerate(turns) if turn.choice is not None]
    assert starts
    assert all(later - earlier >= DWELL for earlier, later in pairwise(starts))


def test_a_recorded_session_replays_to_the_same_decisions() -> None:
    recording = _session(5, habit_growth=0.2)
    again = replayed(recording, Balance(TensionAverage(offset=0.08)))
    assert again == [(turn.wanted, turn.choice) for turn in recording]
