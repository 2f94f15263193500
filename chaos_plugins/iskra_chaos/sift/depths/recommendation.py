"""What to do with a block, by its staleness, contradictions, openness and sensitivity."""

from iskra_chaos.sift.analysis import Band, Operation, Recommendation
from iskra_chaos.sift.potential import ChaosPotential
from iskra_chaos.sift.sensitivity import SENSITIVE
from iskra_chaos.sift.trace import InjectionType
from iskra_metrics.text import Language

HIGH, MIDDLE = 0.7, 0.4
"""Potential above which a paradox, or a disturbance, is worth it."""

STALE, SLIGHTLY_STALE = 0.55, 0.35
OPEN = 0.6

_WHY = {
    "sensitive": ("the subject is sensitive", "тема чувствительная"),
    "calm": ("nothing repeats and nothing contradicts", "ничто не повторяется и не противоречит"),
    "stale": ("the conversation repeats itself", "разговор повторяется"),
    "slightly_stale": ("the conversation begins to repeat itself", "разговор начинает повторяться"),
    "contradiction": ("statements contradict each other", "утверждения противоречат друг другу"),
    "open": ("much is open and little is linked", "многое открыто и мало связано"),
}


def band_of(potential: float) -> Band:
    """Return what a potential is worth: above .7 a paradox, above .4 a disturbance, else nothing."""
    return "paradox" if potential > HIGH else "disturbance" if potential > MIDDLE else "maintenance"


def recommend(potential: ChaosPotential, sensitivity: float, language: Language) -> Recommendation:
    """Return what fits a block.

    There is no chaos without a cause: staleness of .35 or more, a contradiction, or much that is open in a block whose
    potential is worth a disturbance. A conversation in circles comes before a contradiction; statements of the block
    that are alike come after it, since those that contradict are alike. A sensitive block gets nothing at all.
    """
    stale = potential.parts["staleness"]
    if sensitivity >= SENSITIVE:
        return _none("sensitive", language)
    if stale >= STALE and (potential.of_conversation or not potential.pairs):
        return _some("pattern_break", "perspective_shifts", potential, "stale", language)
    if potential.pairs:
        return _some("paradox_generation", "paradox_seeds", potential, "contradiction", language)
    if stale >= SLIGHTLY_STALE:
        return _some("micro_disturbance", "perspective_shifts", potential, "slightly_stale", language)
    if potential.parts["openness"] >= OPEN and band_of(potential.value) != "maintenance":
        return _some("emergent_stimulation", "emergence_triggers", potential, "open", language)
    return _none("calm", language)


def _some(
    operation: Operation, injection: InjectionType, potential: ChaosPotential, why: str, language: Language
) -> Recommendation:
    ceiling = min(1.0, potential.parts["staleness"] + 0.3)
    intensity = round(max(0.1, min(potential.value, ceiling)), 2)
    return Recommendation(operation=operation, injection=injection, intensity=intensity, why=_said(why, language))


def _none(why: str, language: Language) -> Recommendation:
    return Recommendation(operation=None, injection=None, intensity=None, why=_said(why, language))


def _said(why: str, language: Language) -> str:
    return _WHY[why][language == "ru"]
