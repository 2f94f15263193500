"""The comparison follows what the answers show: a model whose distribution is known, and arms made by hand."""

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from iskra_chaos.operations.comparison import Arm, Sample, Verdict, mean_vendi, pareto_front, verdict_of
from iskra_chaos.operations.conversation import Conversation
from iskra_chaos.operations.perturbation import Perturbation, SamplerShift

_BENCHMARKS = str(Path(__file__).parents[3] / "benchmarks")
sys.path.insert(0, _BENCHMARKS)
try:
    pairs = importlib.import_module("creative_pairs")
    KnownDistribution = importlib.import_module("known_distribution").KnownDistribution
finally:
    sys.path.remove(_BENCHMARKS)

IDLE, NUDGE, SAMPLES, prompts = pairs.IDLE, pairs.NUDGE, pairs.SAMPLES, pairs.prompts
CHOSEN = [prompt for prompt in prompts() if prompt.id[-2:] in ("01", "04", "07", "10", "13") or prompt.fact]


def hot_plan(_conversation: Conversation, _seed: int) -> Perturbation:
    """Plan nothing but a higher temperature."""
    return Perturbation(turns=1, sampler=SamplerShift(0.3))


async def verdicts(model: Any, **plans: Any) -> Mapping[str, Verdict]:
    _, found = await pairs.compared(pairs.known(model), CHOSEN, plans, {})
    return {verdict.name: verdict for verdict in found}


def test_there_are_enough_prompts_in_both_languages() -> None:
    found = prompts()
    assert len({prompt.id for prompt in found}) == len(found)
    assert len([prompt for prompt in found if not prompt.fact]) >= 30
    for language in ("en", "ru"):
        assert len([prompt for prompt in found if prompt.language == language and not prompt.fact]) >= 15
        assert len([prompt for prompt in found if prompt.language == language and prompt.fact]) >= 4
    assert SAMPLES >= 8


@pytest.mark.parametrize("effect", [0.0, 1.0])
async def test_an_operation_that_does_nothing_is_not_better_than_temperature(effect: float) -> None:
    verdict = (await verdicts(KnownDistribution(prompt_effect=effect), **{IDLE: pairs.idle_plan}))[IDLE]
    assert not verdict.passes
    assert verdict.vendi.mean == 0.0
    assert "diversity" in verdict.failed
    assert "temperature 0.7" in verdict.not_better_than


async def test_one_that_is_nothing_but_temperature_is_not_better_than_temperature() -> None:
    verdict = (await verdicts(KnownDistribution(break_rate=0.0), hot=hot_plan))["hot"]
    assert verdict.vendi.low > 0  # it is more diverse
    assert verdict.not_better_than == ["temperature 1.0", "temperature 1.2"]
    assert not verdict.passes


async def test_another_prompt_each_time_passes_just_where_prompts_count() -> None:
    listening = await verdicts(KnownDistribution(prompt_effect=1.0), **{NUDGE: pairs.nudging_plan})
    deaf = await verdicts(KnownDistribution(prompt_effect=0.0), **{NUDGE: pairs.nudging_plan})
    assert listening[NUDGE].passes
    assert not deaf[NUDGE].passes


async def test_the_operations_run_through_the_plugin_and_leave_facts_alone() -> None:
    model = KnownDistribution(prompt_effect=1.0)
    few = CHOSEN[:2] + CHOSEN[-1:]
    for operation in ("micro_disturbance", "pattern_break", "paradox_generation", "fire_reset", "emergent_stimulation"):
        found = await pairs.arm(operation, pairs.known(model), few, pairs.operation_plan(operation, 0.5))
        assert found.changed_facts == 0
        assert all(len(samples) == SAMPLES for samples in (*found.creative.values(), *found.factual.values()))


async def test_the_distribution_is_what_it_says() -> None:
    asked = [{"role": "user", "content": 'Invent something. Mention "ribbon".'}]

    def drawn(temperature: float, **more: float) -> list[str]:
        model = KnownDistribution(**more)
        return [model.answer(asked, temperature=temperature, seed=seed) for seed in range(200)]

    assert drawn(0.7) == drawn(0.7)
    assert len(set(drawn(0.3))) < len(set(drawn(0.7))) < len(set(drawn(1.2)))
    broken = [sum("ribbon" not in text.lower() for text in drawn(temperature)) for temperature in (0.7, 1.2)]
    assert broken[0] < 20 < broken[1]
    fact = [
        {"role": "tool", "content": "It has 6 wheels."},
        {"role": "user", "content": "How many?"},
    ]
    model = KnownDistribution(error_rate=0.05)
    wrong = [
        sum("6" not in model.answer(fact, temperature=temperature, seed=seed) for seed in range(200))
        for temperature in (0.7, 1.2)
    ]
    assert wrong[0] < 25 < wrong[1]


# Arms made by hand ---------------------------------------------------------------------------------------------------

DULL = ["The fair begins with a song about the sea."] * 8
LIVELY = [
    "A song about the sea opens it.",
    "Nobody enters before guessing the colour of ink.",
    "Bakers race with warm bread.",
    "Storks are counted aloud by children.",
    "Every lamp is lit by a stranger.",
    "It rains confetti made of old maps.",
    "Doors are painted on the market wall.",
    "The mayor whispers, and all lean in.",
]
FACT = "The north tower is 84 metres high."


def made(
    name: str, texts: list[str], *, passes: int = 8, tokens: int = 10, facts: tuple[str, ...] = (FACT,) * 8
) -> Arm:
    creative = {f"p{n}": [Sample(text, at < passes, tokens) for at, text in enumerate(texts)] for n in range(4)}
    return Arm(name, creative, {"f": [Sample(text, True, tokens) for text in facts]}, {"f": [FACT]})


PLAIN = made("plain", DULL)


def test_a_good_operation_passes() -> None:
    verdict = verdict_of(made("good", LIVELY), PLAIN, [made("warm", DULL)])
    assert verdict.passes
    assert verdict.vendi.relative > 0.15


@pytest.mark.parametrize(
    ("operation", "failed"),
    [
        (made("same", DULL), "diversity"),
        (made("careless", LIVELY, passes=7), "constraints"),
        (made("wrong", LIVELY, facts=("The north tower is 85 metres high.",) * 8), "facts"),
        (made("unsure", LIVELY, facts=("84 metres.",) * 4 + ("90 metres.",) * 4), "factual entropy"),
        (made("dear", LIVELY, tokens=16), "tokens"),
    ],
)
def test_each_part_of_the_pass_rule_is_looked_at(operation: Arm, failed: str) -> None:
    verdict = verdict_of(operation, PLAIN, [])
    assert failed in verdict.failed
    assert not verdict.passes


def test_what_tries_n_answers_may_cost_n_times_as_much() -> None:
    dear = made("dear", LIVELY, tokens=40)
    assert verdict_of(dear, PLAIN, [], branches=4).passes
    assert verdict_of(dear, PLAIN, [], branches=3).failed == ["tokens"]


def test_a_temperature_that_loses_constraints_is_no_rival() -> None:
    good = made("good", LIVELY)
    assert verdict_of(good, PLAIN, [made("hot", LIVELY, passes=6)]).passes
    assert verdict_of(good, PLAIN, [made("hot", LIVELY)]).not_better_than == ["hot"]


def test_arms_with_other_prompts_are_not_compared() -> None:
    with pytest.raises(ValueError, match="same prompts"):
        verdict_of(Arm("other", {"q": [Sample("a", True, 1)] * 2}), PLAIN, [])


def test_the_front_has_what_nothing_beats() -> None:
    arms = [PLAIN, made("good", LIVELY), made("careless", LIVELY, passes=5), made("twin", LIVELY)]
    assert pareto_front(arms) == ["good", "twin"]
    assert mean_vendi(arms[1]) > mean_vendi(PLAIN)
