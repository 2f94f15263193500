"""Whether an operation is worth its price: paired with the plain answers, and with nothing but a higher temperature.

All arms answer the same prompts with the same seeds. An operation that a plain temperature does as well as is not
better, however diverse its answers are.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from iskra_metrics.bootstrap import Change, paired_change
from iskra_metrics.diversity import Diversity, diversity
from iskra_metrics.fact_hash import changed_facts
from iskra_metrics.fact_values import numbers_in

LEAST_GAIN = 0.15
"""Relative gain of Vendi/n."""
MOST_PASS_LOST = 0.02
"""Share of answers that may keep fewer constraints, and the margin within which two arms keep as many."""
MOST_ENTROPY_GAIN = 0.05
MOST_TOKENS = 1.5
"""Tokens by those of the plain answers; an operation with n branches may take n times as many."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer.

    Attributes:
        passes: It keeps every constraint of its prompt.
        tokens: What it cost, all calls together.
    """

    text: str
    passes: bool
    tokens: int


@dataclass(frozen=True)
class Arm:
    """One way to answer, tried on all prompts.

    Attributes:
        creative: Prompt → its samples; prompts that admit many answers.
        factual: Prompt → its samples; prompts with one answer.
        facts: Factual prompt → the verified facts that its answers must leave alone.
    """

    name: str
    creative: Mapping[str, Sequence[Sample]]
    factual: Mapping[str, Sequence[Sample]] = field(default_factory=dict)
    facts: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @cached_property
    def diversities(self) -> list[Diversity]:
        """Return the measures of each creative prompt, in their order by name."""
        return [diversity([sample.text for sample in self.creative[name]]) for name in sorted(self.creative)]

    @property
    def constraint_pass(self) -> float:
        """Share of all answers that keep their constraints, in [0, 1]."""
        samples = self._samples
        return sum(sample.passes for sample in samples) / len(samples)

    @property
    def tokens(self) -> float:
        """Tokens of an answer, on average."""
        samples = self._samples
        return sum(sample.tokens for sample in samples) / len(samples)

    @property
    def changed_facts(self) -> int:
        """Answers that give a verified fact otherwise."""
        return sum(
            bool(changed_facts(self.facts.get(name, ()), sample.text))
            for name, samples in self.factual.items()
            for sample in samples
        )

    @property
    def factual_entropy(self) -> float:
        """Mean entropy of the answers to factual prompts over clusters of equal numbers, in nats."""
        if not self.factual:
            return 0.0
        return sum(_entropy([sample.text for sample in samples]) for samples in self.factual.values()) / len(
            self.factual
        )

    @property
    def _samples(self) -> list[Sample]:
        return [sample for samples in (*self.creative.values(), *self.factual.values()) for sample in samples]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the comparison says of one operation.

    Attributes:
        vendi: Change of Vendi/n against the plain answers.
        failed: Parts of the pass rule that it does not meet; empty where it passes.
        not_better_than: Temperatures that keep as many constraints and are as diverse.
    """

    name: str
    vendi: Change
    failed: Sequence[str]
    not_better_than: Sequence[str]

    @property
    def passes(self) -> bool:
        """It meets the pass rule, and no plain temperature does as well."""
        return not self.failed and not self.not_better_than


def verdict_of(operation: Arm, plain: Arm, temperatures: Sequence[Arm], *, branches: int = 1) -> Verdict:
    """Judge an operation.

    Args:
        operation: Its arm.
        plain: The same prompts and seeds without it.
        temperatures: The same at other temperatures and nothing else; ``plain`` is compared with in any case.
        branches: Answers that it tries for one.

    Raises:
        ValueError: The arms did not answer the same creative prompts.
    """
    arms = (plain, *temperatures)
    if any(set(arm.creative) != set(operation.creative) for arm in arms):
        raise ValueError("the arms did not answer the same prompts")
    vendi = [each.vendi for each in operation.diversities]
    change = paired_change(vendi, [each.vendi for each in plain.diversities])
    most_tokens = max(MOST_TOKENS, float(branches)) * plain.tokens
    rule = {
        "diversity": change.relative >= LEAST_GAIN and change.low > 0,
        "constraints": operation.constraint_pass >= plain.constraint_pass - MOST_PASS_LOST,
        "facts": operation.changed_facts == 0,
        "factual entropy": operation.factual_entropy <= (1 + MOST_ENTROPY_GAIN) * plain.factual_entropy,
        "tokens": operation.tokens <= most_tokens,
    }
    not_better = [
        arm.name
        for arm in arms
        if arm.constraint_pass >= operation.constraint_pass - MOST_PASS_LOST
        and paired_change(vendi, [each.vendi for each in arm.diversities]).low <= 0
    ]
    return Verdict(operation.name, change, [part for part, holds in rule.items() if not holds], not_better)


def pareto_front(arms: Sequence[Arm]) -> list[str]:
    """Return the names of the arms than which no other is at least as diverse and keeps at least as many constraints,
    and is better in one of them."""
    points = [(arm.name, mean_vendi(arm), arm.constraint_pass) for arm in arms]
    return [
        name
        for name, vendi, kept in points
        if not any(
            (other_vendi, other_kept) != (vendi, kept) and other_vendi >= vendi and other_kept >= kept
            for _, other_vendi, other_kept in points
        )
    ]


def mean_vendi(arm: Arm) -> float:
    """Return Vendi/n over all creative prompts, on average."""
    found = arm.diversities
    return sum(each.vendi for each in found) / len(found)


def _entropy(texts: Sequence[str]) -> float:
    counts = Counter(frozenset(numbers_in(text)) for text in texts)
    return -math.fsum(count / len(texts) * math.log(count / len(texts)) for count in counts.values()) + 0.0
