"""Whether an injection shows in the answer that was given after it, as far as words tell."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from iskra_chaos.sift.block import SIFTBlock
from iskra_chaos.sift.connectives import argument_in
from iskra_chaos.sift.likeness import stem_set
from iskra_chaos.sift.markers import Statement, facts_of, parse, steps_of
from iskra_chaos.sift.trace import ChaosIntervention
from iskra_metrics.claims import contradictions, hedge_rate
from iskra_metrics.text import sentences

_CONDITION = re.compile(
    r"\b(?:if|unless|only when|provided|depends|as long as|если|при условии|только когда|зависит|пока не|лишь когда)\b",
    re.IGNORECASE,
)
_FALSE = re.compile(
    r"\b(?:false|wrong|incorrect|untrue|mistaken|contradict\w*|inconsistent|unsupported|"
    r"невер\w+|ошиб\w+|ложн\w+|неправд\w*|противореч\w+|не подтвержд\w+|не соответству\w+)\b",
    re.IGNORECASE,
)
_VERIFY = re.compile(
    r"\b(?:verify|check|confirm|unclear|uncertain|unknown|"
    r"провер\w+|уточн\w+|подтверд\w+|неясно|неизвестно|не уверен\w*)\b",
    re.IGNORECASE,
)
_DIFFERS = re.compile(r"\b(?:differs|stays)\b|\) (?:другой|тот же):")
_ABOUT = 0.5  # share of the stems of the shorter of sentence and claim


@dataclass(frozen=True, slots=True)
class Effect:
    """What an answer shows of an injection.

    Attributes:
        shown: Elements whose effect shows.
        total: Elements that the injection added.
    """

    shown: int
    total: int

    @property
    def rate(self) -> float:
        """The share that shows, in [0, 1]; 0 without elements. For canaries it is the detection rate."""
        return self.shown / self.total if self.total else 0.0


def effect_in(answer: str, injected: SIFTBlock, intervention: ChaosIntervention) -> Effect:
    """Return how much of an injection shows in an answer.

    A paradox shows in a sentence about its claim that names a condition; a branch in the verdict that the block itself
    states; a canary in a sentence about it that contradicts it or calls it false; an uncertainty in a sentence about it
    that asks, hedges or wants it verified; a trigger in a sentence that joins both facts by a word of neither.

    Args:
        answer: What the agent said with ``injected`` before it.
        injected: The block with the elements.
        intervention: The record of the injection.
    """
    said = [(sentence, stem_set(sentence)) for sentence in sentences(answer)]
    added = [step.value for step in intervention.forward]
    elements = [parse(value) for value in added if isinstance(value, str)]
    named = {statement.id: statement for statement in (*facts_of(injected), *steps_of(injected))}
    match intervention.injection_type:
        case "paradox_seeds":
            claims = [named[element.references[0]] for element in elements if element.references]
            return _count(any(_CONDITION.search(each) for each in _about(claim.text, said)) for claim in claims)
        case "perspective_shifts":
            endings = {element.branch: bool(_DIFFERS.search(element.text)) for element in elements if element.branch}
            return _count(endings.values())
        case "contradiction_points":
            return _count(_is_detected(element, said) for element in elements if element.tag == "CANARY")
        case "uncertainty_zones":
            return _count(_is_doubted(text, said) for text in _doubted_texts(injected, intervention))
        case "emergence_triggers":
            pairs = [[named[name] for name in element.references] for element in elements]
            return _count(_is_bridged(pair, said) for pair in pairs)


def _count(shown: Iterable[bool]) -> Effect:
    found = list(shown)
    return Effect(sum(found), len(found))


def _about(text: str, said: list[tuple[str, frozenset[str]]]) -> list[str]:
    argument = argument_in(text)
    wanted = stem_set(argument.conclusion if argument else text)
    return [
        sentence
        for sentence, stems in said
        if wanted and len(wanted & stems) >= _ABOUT * min(len(wanted), len(stems)) > 0
    ]


def _is_detected(canary: Statement, said: list[tuple[str, frozenset[str]]]) -> bool:
    planted = canary.text.lower()  # may say "it is not true that" itself: to repeat it detects nothing
    return any(
        _FALSE.search(sentence.lower().replace(planted, " ")) or contradictions([canary.text, sentence])
        for sentence in _about(canary.text, said)
    )


def _is_doubted(text: str, said: list[tuple[str, frozenset[str]]]) -> bool:
    return any(
        sentence.rstrip().endswith("?") or hedge_rate(sentence) > 0 or _VERIFY.search(sentence)
        for sentence in _about(text, said)
    )


def _doubted_texts(injected: SIFTBlock, intervention: ChaosIntervention) -> list[str]:
    positions = {
        int(step.path.split("/")[3])
        for step in intervention.forward
        if step.path.startswith("/fact/uncertainty_zones/")
    }
    zones = injected.fact.uncertainty_zones
    named = {statement.id: statement.text for statement in (*facts_of(injected), *steps_of(injected))}
    found = [zones[position] for position in sorted(positions) if position < len(zones)]
    return [
        text if isinstance(text := zone.get("text"), str) else named.get(str(zone.get("span")), "") for zone in found
    ]


def _is_bridged(pair: list[Statement], said: list[tuple[str, frozenset[str]]]) -> bool:
    inputs = [stem_set(statement.text) for statement in pair]
    return any(all(stems & each for each in inputs) and stems - frozenset().union(*inputs) for _, stems in said)
