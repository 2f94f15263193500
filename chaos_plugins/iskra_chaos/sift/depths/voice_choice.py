"""Which voice suits a block and the conversation it is from."""

from collections.abc import Sequence

from iskra_chaos.sift.analysis import VoiceChoice
from iskra_metrics.clarity import clarity
from iskra_metrics.distress import in_crisis
from iskra_metrics.drift import drift
from iskra_metrics.pain import pain
from iskra_metrics.silence import silence
from iskra_metrics.text import Language
from iskra_metrics.trust import trust
from iskra_metrics.utterance import Utterance

_FEWEST_TURNS = 3
"""Turns below which drift, clarity, trust and silence say too little to choose a voice by."""

_WHY = {
    "crisis": ("somebody may be in danger", "человек может быть в опасности"),
    "pain": ("there is much pain in it", "в этом много боли"),
    "unsupported": ("a fact has no source", "у факта нет источника"),
    "drift": ("the conversation drifted from its goal", "разговор ушёл от цели"),
    "contradiction": ("statements contradict each other", "утверждения противоречат друг другу"),
    "trust": ("there is little trust", "доверия мало"),
    "silence": ("much is left unsaid", "многое не сказано"),
    "clarity": ("structure is missing", "не хватает структуры"),
    "stale": ("the conversation goes in circles", "разговор ходит по кругу"),
    "slightly_stale": ("the conversation begins to repeat itself", "разговор начинает повторяться"),
    "balanced": ("nothing stands out", "ничего не выделяется"),
}


def choose_voice(
    recent: Sequence[Utterance],
    *,
    staleness: float,
    contradictions: int,
    unsupported_facts: int,
    goal: str,
    language: Language,
) -> VoiceChoice:
    """Return the voice that suits: care first, then evidence, then structure, then movement.

    The thresholds are those at which the voices themselves enter.
    """
    voice, reason = _chosen(recent, staleness, contradictions, unsupported_facts, goal)
    return VoiceChoice(voice=voice, why=_WHY[reason][language == "ru"])


def _chosen(
    recent: Sequence[Utterance], staleness: float, contradictions: int, unsupported_facts: int, goal: str
) -> tuple[str, str]:
    if any(in_crisis(utterance.text) for utterance in recent if utterance.role == "user"):
        return "anhantha", "crisis"
    hurt = pain(recent).value if recent else 0.0
    if hurt >= 0.70:
        return "kain", "pain"
    if unsupported_facts:
        return "iskriv", "unsupported"
    is_known = len(recent) >= _FEWEST_TURNS
    if is_known and drift(recent, goal).value > 0.30:
        return "iskriv", "drift"
    if contradictions:
        return "kain", "contradiction"
    if is_known and trust(recent).value < 0.60:
        return "anhantha", "trust"
    if is_known and silence(recent).value >= 0.60:
        return "anhantha", "silence"
    if staleness >= 0.55:
        return "hundun", "stale"
    if is_known and clarity(recent).value < 0.60:
        return "sam", "clarity"
    if staleness >= 0.35 and hurt < 0.30:
        return "pino", "slightly_stale"
    return "iskra", "balanced"
