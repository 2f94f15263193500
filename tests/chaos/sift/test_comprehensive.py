import hashlib
import math
from collections.abc import Awaitable, Callable, Sequence

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.sift.sift_blocks import english_block, russian_block
from iskra_chaos.sift.analysis import ChaosAnalysisResult, ComprehensiveAnalysis
from iskra_chaos.sift.block import SIFTBlock
from iskra_chaos.sift.depths.comprehensive import comprehensive
from iskra_chaos.sift.depths.deep import deep
from iskra_chaos.sift.depths.meaning import clusters, kernel_entropy, same_meaning, semantic_entropy
from iskra_chaos.sift.depths.tension import tension_changes
from iskra_chaos.sift.injections.injection import inject
from iskra_metrics.claims import negate
from iskra_sdk.errors import ProviderUnavailableError

BLOCKS = pytest.mark.parametrize("block", [english_block(), russian_block()], ids=["en", "ru"])
COLOURS = ("The red door leads home", "A blue whale sings softly", "Green tea cools slowly", "Cold iron rusts early")


def saying(answer: Callable[[str, int], str]) -> Callable[[str, int], Awaitable[str]]:
    async def sample(prompt: str, index: int) -> str:
        # Later calls come back first: the order of answers must not matter.
        await anyio.sleep((20 - index) * 1e-4)
        return answer(prompt, index)

    return sample


def by_prompt(prompt: str, index: int) -> str:
    digest = hashlib.sha256(f"{prompt}|{index}".encode()).digest()
    return COLOURS[digest[0] % len(COLOURS)]


@BLOCKS
async def test_a_deterministic_sampler_gives_the_same_analysis_for_a_seed(block: SIFTBlock) -> None:
    seen = [await comprehensive(block, [], saying(by_prompt), seed=7) for _ in range(3)]
    assert seen[0] == seen[1] == seen[2]
    assert seen[0].failed_samples == 0


async def test_answers_that_agree_have_no_entropy() -> None:
    seen = await comprehensive(english_block(), [], saying(lambda *_: COLOURS[0]), seed=1, samples=4)
    assert seen.spread is not None
    assert (seen.spread.semantic_entropy, seen.spread.kernel_entropy) == (0.0, 0.0)
    assert (seen.spread.clusters, seen.spread.conclusion) == ([4], COLOURS[0])
    assert seen.paraphrase_robustness == 1.0
    assert seen.counterfactuals is not None
    assert seen.counterfactuals.rate == 0.0


async def test_answers_that_all_differ_have_the_largest_entropy() -> None:
    seen = await comprehensive(english_block(), [], saying(lambda _, index: COLOURS[index % 4]), seed=1, samples=4)
    assert seen.spread is not None
    assert seen.spread.clusters == [1, 1, 1, 1]
    assert seen.spread.semantic_entropy == pytest.approx(1.0)
    assert seen.spread.kernel_entropy > 0.8


@BLOCKS
async def test_a_fact_whose_negation_changes_the_conclusion_flips_it(block: SIFTBlock) -> None:
    denied = negate(block.fact.verified_data[0].partition(" [")[0])

    def answer(prompt: str, index: int) -> str:
        return COLOURS[1] if denied in prompt else COLOURS[0]

    seen = await comprehensive(block, [], saying(answer), seed=1)
    assert seen.counterfactuals is not None
    assert seen.counterfactuals.tried == ["f0", "f1", "f2"]
    assert seen.counterfactuals.flipped == ["f0"]
    assert seen.counterfactuals.by == "model"


async def test_robustness_is_the_share_of_paraphrases_with_the_same_conclusion() -> None:
    def answer(prompt: str, index: int) -> str:
        return COLOURS[1] if index == 8 else COLOURS[0]  # 5 samples, 3 facts, then the first paraphrase

    seen = await comprehensive(english_block(), [], saying(answer), seed=1)
    assert seen.paraphrase_robustness == pytest.approx(2 / 3, abs=1e-3)


async def test_paraphrases_keep_the_facts_and_change_with_the_seed() -> None:
    prompts: dict[int, list[str]] = {}
    for seed in (1, 2):
        asked: dict[int, str] = {}

        def answer(prompt: str, index: int, asked: dict[int, str] = asked) -> str:
            asked[index] = prompt
            return COLOURS[0]

        await comprehensive(english_block(), [], saying(answer), seed=seed)
        prompts[seed] = [asked[index] for index in sorted(asked)]
    assert prompts[1][:8] == prompts[2][:8]
    assert prompts[1][8:] != prompts[2][8:]
    assert all("query cache is off on node 3" in prompt for prompt in prompts[1][8:])
    assert not any("[evidence" in prompt or "[f0]" in prompt for prompt in prompts[1])


@BLOCKS
async def test_without_a_model_the_structure_answers_what_it_can(block: SIFTBlock) -> None:
    seen = await comprehensive(block, [], None, seed=1)
    assert not seen.with_model
    assert (seen.spread, seen.paraphrase_robustness) == (None, None)
    assert seen.counterfactuals is not None
    assert (seen.counterfactuals.by, seen.counterfactuals.flipped) == ("structure", ["f0"])
    assert deep(block, []).model_dump().items() <= seen.model_dump().items()
    result = ChaosAnalysisResult.of(seen, 3.0)
    assert result.analysis_depth == "comprehensive"
    assert isinstance(ChaosAnalysisResult.model_validate_json(result.model_dump_json()).analysis, ComprehensiveAnalysis)


async def test_calls_that_fail_are_left_out_and_counted() -> None:
    async def sample(prompt: str, index: int) -> str:
        if index % 2:
            raise ProviderUnavailableError("down")
        return COLOURS[0]

    seen = await comprehensive(english_block(), [], sample, seed=1)
    assert seen.failed_samples == 5
    assert seen.spread is not None
    assert seen.spread.answers == 3


async def test_calls_that_are_late_are_left_out() -> None:
    async def sample(prompt: str, index: int) -> str:
        if index:
            await anyio.sleep_forever()
        return COLOURS[0]

    seen = await comprehensive(english_block(), [], sample, seed=1, timeout=0.05)
    assert seen.failed_samples == 10
    assert seen.spread is not None
    assert seen.spread.answers == 1


async def test_a_model_that_says_nothing_in_time_leaves_the_structure() -> None:
    async def sample(prompt: str, index: int) -> str:
        await anyio.sleep_forever()
        return ""

    seen = await comprehensive(english_block(), [], sample, seed=1, timeout=0.01)
    assert seen.with_model
    assert seen.spread is None
    assert seen.counterfactuals is not None
    assert seen.counterfactuals.by == "structure"


@pytest.mark.parametrize("samples", [0, 21])
async def test_the_number_of_samples_is_bounded(samples: int) -> None:
    with pytest.raises(ValueError, match="samples"):
        await comprehensive(english_block(), [], None, seed=1, samples=samples)


async def test_concerns_are_told_before_any_review() -> None:
    assert (await comprehensive(english_block(), [], None, seed=1)).ethics.clear
    shadow, _ = inject(english_block(), "contradiction_points", 0.5, sandbox=True)
    assert (await comprehensive(shadow, [], None, seed=1)).ethics.concerns == ["canary"]
    grave = english_block(
        source__chaos_sensitivity=0.9,
        inference__confidence_level=1,
        fact__verified_data=["My doctor changed the dosage"],
    )
    assert (await comprehensive(grave, [], None, seed=1)).ethics.concerns == [
        "sensitivity",
        "topic:medical",
        "certainty",
    ]


def tension(staleness: float, drift: float, intensity: float = 0.5) -> dict[str, float]:
    changes = tension_changes(
        [], staleness=staleness, drift=drift, contradiction=0.1, grounding=0.8, intensity=intensity
    )
    return {str(change.operation): change.change for change in changes}


def test_a_stale_conversation_is_loosened_and_a_drifting_one_held_together() -> None:
    stale = tension(0.9, 0.1)
    assert stale["pattern_break"] < stale["micro_disturbance"] < 0
    assert tension(0.0, 0.9)["fire_reset"] > 0


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.1, 0.5))
def test_more_intensity_moves_the_tension_further(staleness: float, drift: float, intensity: float) -> None:
    less, more = tension(staleness, drift, intensity), tension(staleness, drift, 2 * intensity)
    for operation, change in less.items():
        assert abs(more[operation]) >= abs(change) - 1e-3
        assert change * more[operation] >= -1e-6


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("The query cache is off.", "the query  cache is off.", True),
        ("The query cache of the shop is off.", "So the query cache is off.", True),
        ("The query cache is full.", "The query cache is not full.", False),
        ("It takes 40 seconds to load.", "It takes 50 seconds to load.", False),
        ("Кэш запросов выключен.", "Значит, кэш запросов выключен.", True),
        ("Кэш запросов выключен.", "Кэш запросов не выключен.", False),
        ("The query cache is off.", "A blue whale sings softly.", False),
    ],
)
def test_two_answers_mean_the_same_by_words_numbers_and_polarity(one: str, other: str, same: bool) -> None:
    assert same_meaning(one, other) is same_meaning(other, one) is same


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(COLOURS), min_size=2, max_size=8))
def test_the_entropy_over_meanings_is_shannons(answers: Sequence[str]) -> None:
    groups = clusters(answers)
    shares = [len(group) / len(answers) for group in groups]
    shannon = -math.fsum(share * math.log(share) for share in shares) / math.log(len(answers))
    assert semantic_entropy(groups) == pytest.approx(shannon, abs=1e-9)
    assert 0.0 <= kernel_entropy(answers) <= 1.0
    assert len(groups) == len(set(answers))
