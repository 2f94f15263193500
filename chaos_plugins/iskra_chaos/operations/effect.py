"""What came of an operation, measured on the answers: never assumed."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from iskra_chaos.operations.conversation import Conversation
from iskra_chaos.operations.perturbation import Perturbation
from iskra_metrics.entropy import entropy
from iskra_metrics.text import char_ngrams, cosine, sentences, stems, words
from iskra_metrics.utterance import Utterance

_REPEATS = 0.9
_MOST_INDICATORS = 20


@dataclass(frozen=True, slots=True)
class Effect:
    """What one answer shows.

    Attributes:
        is_observed: The answer does what the operation was for.
        why: In words.
        entropy_increase: Change of the normalised word entropy against the answers before, in [-1, 1].
        complexity_boost: Concepts in the answer that the last answers did not have.
        emergence_indicators: New concepts that stand in one sentence with at least two of the inputs.
    """

    is_observed: bool
    why: str
    entropy_increase: float = 0.0
    complexity_boost: int = 0
    emergence_indicators: Sequence[str] = field(default_factory=tuple)


def effect_of(
    operation: str, perturbation: Perturbation, conversation: Conversation, answer: str, *, left_out: int
) -> Effect:
    """Measure an answer.

    Args:
        operation: Which operation.
        perturbation: What it changed.
        conversation: As it was before the answer.
        answer: The new answer.
        left_out: Messages that the model was not shown, or saw shortened.
    """
    before = conversation.answers[-8:]
    earlier = {stem for message in before for stem in stems(message.text)}
    new = [stem for stem in dict.fromkeys(stems(answer)) if stem not in earlier]
    indicators = _linked(answer, perturbation.inputs, set(new))
    rise = 0.0
    if before and answer.strip():
        now = entropy([Utterance("assistant", answer)]).value
        rise = now - sum(entropy([Utterance("assistant", each.text)]).value for each in before) / len(before)
    is_observed, why = _observed(operation, perturbation, conversation, answer, indicators, left_out)
    return Effect(is_observed, why, round(rise, 4), len(new), tuple(indicators[:_MOST_INDICATORS]))


def _observed(
    operation: str,
    perturbation: Perturbation,
    conversation: Conversation,
    answer: str,
    indicators: Sequence[str],
    left_out: int,
) -> tuple[bool, str]:
    if not answer.strip():
        return False, "there is no answer"
    match operation:
        case "pattern_break" if perturbation.avoided:
            spoken = " ".join(words(answer))
            kept = [phrase for phrase in perturbation.avoided if phrase in spoken]
            return not kept, f"still says: {', '.join(kept)}" if kept else "none of the forbidden phrases came back"
        case "paradox_generation":
            taken_up = sum(_touches(answer, claim) for claim in perturbation.inputs)
            return taken_up > 0, f"{taken_up} of {len(perturbation.inputs)} tensions are taken up"
        case "fire_reset":
            return left_out > 0, f"the model did not see {left_out} messages"
        case "emergent_stimulation":
            return bool(indicators), f"{len(indicators)} new concepts stand with two of the inputs"
        case _:
            grams = char_ngrams(answer)
            likest = max((cosine(grams, char_ngrams(each.text)) for each in conversation.answers[-8:]), default=0.0)
            return likest < _REPEATS, f"likeness to the nearest earlier answer: {likest:.2f}"


def _touches(answer: str, claim: str) -> bool:
    wanted = set(stems(claim))
    return len(wanted & set(stems(answer))) >= min(2, len(wanted))


def _linked(answer: str, inputs: Sequence[str], new: set[str]) -> list[str]:
    """Return new stems that share a sentence with stems of two inputs at least."""
    if len(inputs) < 2:
        return []
    found: dict[str, None] = {}
    wanted = [set(stems(each)) for each in inputs]
    for sentence in sentences(answer):
        present = set(stems(sentence))
        if sum(bool(present & each) for each in wanted) >= 2:
            found.update(dict.fromkeys(stem for stem in stems(sentence) if stem in new))
    return list(found)
