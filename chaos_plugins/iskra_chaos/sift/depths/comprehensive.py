"""The third depth of analysis: what a model concludes from the block, and how easily that changes."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from iskra_chaos.sift.analysis import AnswerSpread, ComprehensiveAnalysis, CounterfactualFlips, DeepAnalysis
from iskra_chaos.sift.block import SIFTBlock
from iskra_chaos.sift.depths.deep import deep
from iskra_chaos.sift.depths.ethics_precheck import ethics_precheck
from iskra_chaos.sift.depths.meaning import clusters, kernel_entropy, same_meaning, semantic_entropy
from iskra_chaos.sift.depths.questions import asked_ids, conclusion_prompt, paraphrases
from iskra_chaos.sift.depths.tension import tension_changes
from iskra_metrics.drift import drift
from iskra_metrics.utterance import Utterance
from iskra_sdk.errors import IskraError

Sample = Callable[[str, int], Awaitable[str]]
"""Asks a model: the prompt, and which of the calls of this analysis it is."""

MOST_SAMPLES = 20
MOST_COUNTERFACTUALS = 3
PARAPHRASES = 3
INTENSITY = 0.5
"""Intensity that changes of tension are told for where the block recommends none."""


@dataclass(frozen=True, slots=True)
class _Answers:
    base: list[str | None]
    negated: list[str | None]
    rephrased: list[str | None]

    @property
    def failed(self) -> int:
        return sum(answer is None for answer in (*self.base, *self.negated, *self.rephrased))


async def comprehensive(
    block: SIFTBlock,
    others: Sequence[SIFTBlock],
    sample: Sample | None,
    *,
    seed: int,
    samples: int = 5,
    recent: Sequence[Utterance] = (),
    goal: str = "",
    timeout: float = 10.0,
) -> ComprehensiveAnalysis:
    """Analyse a block with the help of a model, if there is one, within a deadline.

    Calls to the model run side by side; each has its own index, so that a sampler which decides by prompt and index
    gives the same analysis each time. A call that raises an error of Iskra's own, or is not back in time, is left out
    and counted; any other exception ends the analysis, in an exception group.

    Args:
        block: The block.
        others: Its neighbours, the oldest first.
        sample: Asks a model; ``None`` where there is none.
        seed: Decides how questions are paraphrased.
        samples: How often the conclusion is asked for, from 1 to 20.
        recent: The conversation up to and with the turn the block is from.
        goal: What the conversation is for.
        timeout: Seconds that the calls to the model may take together.

    Raises:
        ValueError: ``samples`` is out of range.
    """
    if not 1 <= samples <= MOST_SAMPLES:
        raise ValueError(f"samples lies between 1 and {MOST_SAMPLES}, not at {samples}")
    # Up to half a second of computing: the loop has other work meanwhile.
    alone = await asyncio.to_thread(deep, block, others, recent, goal)
    known = asked_ids(block)
    tried = [each.fact for each in alone.fact_ranking if each.fact in known][:MOST_COUNTERFACTUALS]
    answers = None if sample is None else await _asked(block, sample, seed, samples, tried, timeout)
    return await asyncio.to_thread(_concluded, block, alone, answers, tried, seed, recent, goal)


async def _asked(
    block: SIFTBlock, sample: Sample, seed: int, samples: int, tried: Sequence[str], timeout: float
) -> _Answers:
    prompts = [
        *[conclusion_prompt(block)] * samples,
        *[conclusion_prompt(block, negated=fact) for fact in tried],
        *paraphrases(block, PARAPHRASES, seed),
    ]
    answers: list[str | None] = [None] * len(prompts)

    async def ask(index: int) -> None:
        try:
            answers[index] = await sample(prompts[index], index)
        except (IskraError, TimeoutError):
            return  # counted as failed: fewer answers are an analysis still

    try:
        async with asyncio.timeout(timeout), asyncio.TaskGroup() as group:
            for index in range(len(prompts)):
                group.create_task(ask(index))
    except TimeoutError:
        pass  # what came in time is used
    return _Answers(answers[:samples], answers[samples : samples + len(tried)], answers[samples + len(tried) :])


def _concluded(
    block: SIFTBlock,
    alone: DeepAnalysis,
    answers: _Answers | None,
    tried: list[str],
    seed: int,
    recent: Sequence[Utterance],
    goal: str,
) -> ComprehensiveAnalysis:
    spread = _spread(answers.base) if answers else None
    statements = alone.counts.claims + alone.counts.facts
    return ComprehensiveAnalysis(
        **dict(alone),
        seed=seed,
        with_model=answers is not None,
        failed_samples=answers.failed if answers else 0,
        spread=spread,
        counterfactuals=_flips(alone, answers, spread, tried),
        paraphrase_robustness=_robustness(answers, spread),
        tension_changes=tension_changes(
            recent,
            staleness=alone.staleness.value,
            drift=drift(recent, goal).value,
            contradiction=alone.potential_parts["contradiction"],
            grounding=1.0 - min(1.0, len(alone.unsupported) / statements) if statements else 0.0,
            intensity=alone.recommendation.intensity or INTENSITY,
        ),
        ethics=ethics_precheck(block, recent),
    )


def _spread(base: Sequence[str | None]) -> AnswerSpread | None:
    came = [answer for answer in base if answer is not None]
    if not came:
        return None
    groups = clusters(came)
    largest = max(groups, key=len)
    return AnswerSpread(
        answers=len(came),
        clusters=[len(group) for group in groups],
        semantic_entropy=round(semantic_entropy(groups), 4),
        kernel_entropy=round(kernel_entropy(came), 4),
        conclusion=came[largest[0]][:600],
    )


def _flips(
    alone: DeepAnalysis, answers: _Answers | None, spread: AnswerSpread | None, tried: list[str]
) -> CounterfactualFlips | None:
    if not tried:
        return None
    if answers is None or spread is None:
        flipped = [each.fact for each in alone.fact_ranking if each.fact in tried and each.fells_conclusion]
        return CounterfactualFlips(
            rate=round(len(flipped) / len(tried), 4), flipped=flipped, tried=tried, by="structure"
        )
    came = [(fact, answer) for fact, answer in zip(tried, answers.negated, strict=True) if answer is not None]
    if not came:
        return None
    flipped = [fact for fact, answer in came if not same_meaning(spread.conclusion, answer)]
    rate = round(len(flipped) / len(came), 4)
    return CounterfactualFlips(rate=rate, flipped=flipped, tried=[fact for fact, _ in came], by="model")


def _robustness(answers: _Answers | None, spread: AnswerSpread | None) -> float | None:
    if answers is None or spread is None:
        return None
    came = [answer for answer in answers.rephrased if answer is not None]
    if not came:
        return None
    return round(sum(same_meaning(spread.conclusion, answer) for answer in came) / len(came), 4)
