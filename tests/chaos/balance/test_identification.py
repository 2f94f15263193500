"""The plant is found in recordings of plants whose parameters are known."""

from random import Random

import pytest

from chaos.balance.plant import Parameters, Plant, spectral_radius
from iskra_chaos.balance.identification import LEAST_SEGMENTS, identify
from iskra_chaos.balance.recording import Recording, Segment


def _recorded(parameters: Parameters, count: int, *, seed: int = 1, is_acting: bool = True) -> list[Segment]:
    """Record sessions in which operations of several turns act on a plant."""
    random, segments = Random(seed), []
    for _ in range(count):
        plant, recording = Plant(parameters, random), Recording("alice")
        strength = random.choice((0.2, 0.35, 0.5))
        lasts = random.randint(1, 6)
        for turn in range(16):
            intensity = strength if 4 <= turn < 4 + lasts else 0.0
            chaos, stability = plant.turn(intensity if is_acting else 0.0)
            segment = recording.note(stability - chaos, intensity)
            if segment is not None:
                segments.append(segment)
                break
    return segments


@pytest.mark.parametrize(("gain", "rate"), [(0.6, 0.4), (1.0, 0.4), (1.0, 0.6), (1.4, 0.3)])
def test_a_known_plant_is_found(gain: float, rate: float) -> None:
    parameters = Parameters(chaos_rate=rate, stability_rate=rate, gain=gain, delay=1, noise=0.01)
    found = identify(_recorded(parameters, 120))
    assert found.plant is not None
    assert found.status == "identified"
    assert found.plant.delay == 0
    assert found.plant.gain.value == pytest.approx(gain, rel=0.2)
    assert found.plant.rate.value == pytest.approx(rate, rel=0.25)
    assert found.plant.gain.low <= found.plant.gain.value <= found.plant.gain.high
    assert found.plant.explained > 0.7


def test_a_delay_is_found() -> None:
    found = identify(_recorded(Parameters(delay=2, noise=0.01), 120))
    assert found.plant is not None
    assert found.plant.delay == 1


@pytest.mark.parametrize("gain", [0.5, 0.7, 1.0, 1.4])
def test_what_is_suggested_keeps_the_loop_stable(gain: float) -> None:
    parameters = Parameters(gain=gain, delay=1, noise=0.02)
    found = identify(_recorded(parameters, 80))
    assert found.plant is not None
    assert spectral_radius(parameters, found.plant.proportional, found.plant.integral) < 0.95


def test_more_noise_makes_it_less_sure() -> None:
    widths = []
    for noise in (0.01, 0.04):
        plant = identify(_recorded(Parameters(delay=1, noise=noise), 120)).plant
        assert plant is not None
        widths.append(plant.gain.high - plant.gain.low)
    assert widths[0] < widths[1]


def test_operations_that_change_nothing_suggest_nothing() -> None:
    found = identify(_recorded(Parameters(noise=0.04), 120, is_acting=False))
    assert (found.status, found.plant) == ("unclear", None)


def test_too_few_are_said_to_be_too_few() -> None:
    found = identify(_recorded(Parameters(), LEAST_SEGMENTS - 1))
    assert (found.status, found.plant, found.segments) == ("too_few", None, LEAST_SEGMENTS - 1)
    assert identify([]).interventions == 0


def test_the_same_recordings_tell_the_same() -> None:
    segments = _recorded(Parameters(noise=0.03, delay=1), 40)
    assert identify(segments) == identify(list(segments))
    assert identify(segments).status == "preliminary"
