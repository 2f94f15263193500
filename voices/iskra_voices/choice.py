"""Which voice a turn gets: thresholds with hysteresis over the metrics of the conversation.

A voice enters above one threshold and leaves below another, and stays two turns at least. Where several may enter, the
one furthest beyond its threshold does; where two are equally far, Iskra. Nobody jokes at pain, and nobody stays in the
open after Hundun: the next turn is Sam's.
"""

from collections.abc import Mapping
from dataclasses import dataclass

LEAST_TURNS = 2
"""Turns that a voice stays before another may replace it."""
HUNDUN_REST = 4
"""Turns after Hundun spoke in which it is not chosen again."""
LEAST_CONFIDENCE = 1 / 3
"""Of a metric that makes a voice enter: two utterances. Pain and crisis count at once."""
CRISIS = "crisis"
ASKED_FOR = "asked for"

_EQUAL = 1e-6
_NO_HUNDUN_PAIN = 0.50
_NO_PINO_PAIN = 0.30
_HURTS = 0.50
"""Of one message: a plain word of pain, or a mild one that is stressed. Nobody waits for it to last."""


@dataclass(frozen=True, slots=True)
class Signals:
    """What the choice looks at; values in [0, 1].

    Attributes:
        hurt: Pain in the user's latest message alone; ``pain`` follows it slowly.
        own_contradictions: Pairs of statements of the user that contradict each other.
        unsupported_facts: Statements of the last answer marked ``[FACT]`` without a source.
        confidence: Of the metrics.
        trust_falls: Trust is lower than it was a turn ago.
    """

    staleness: float = 0.0
    drift: float = 0.1
    clarity: float = 0.7
    chaos: float = 0.2
    trust: float = 0.8
    pain: float = 0.0
    silence: float = 0.0
    hurt: float = 0.0
    own_contradictions: int = 0
    unsupported_facts: int = 0
    in_crisis: bool = False
    confidence: float = 1.0
    trust_falls: bool = False

    @classmethod
    def of(cls, values: Mapping[str, float], **others: object) -> "Signals":
        """Make signals of metric values by name; what is missing has its start value."""
        names = ("staleness", "drift", "clarity", "chaos", "trust", "pain", "silence")
        return cls(**{name: values[name] for name in names if name in values}, **others)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a session stands between turns.

    Attributes:
        voice: Who spoke last.
        turns: Turns in a row that it spoke.
        since_hundun: Turns since Hundun spoke; large if never.
        requested: Voice that somebody asked for.
        requested_turns: Coming turns for which that holds.
        intent: What they asked it in for, in their words.
    """

    voice: str = "iskra"
    turns: int = 0
    since_hundun: int = 1_000
    requested: str = ""
    requested_turns: int = 0
    intent: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """The voice of a turn, and why, in a few words."""

    voice: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Claim:
    """How strongly a voice wants to speak: the share of the way from its threshold to the end of the scale."""

    voice: str
    strength: float
    reason: str
    may_enter: bool


def choose(standing: Standing, signals: Signals, voices: frozenset[str] | None = None) -> Choice:
    """Choose the voice of the coming turn.

    Args:
        standing: Where the session stands.
        signals: The metrics with the new message taken in.
        voices: Ids to choose from; all where ``None``.
    """

    def offered(voice: str) -> bool:
        return voices is None or voice in voices or voice == "iskra"

    if signals.in_crisis and offered("anhantha"):
        return Choice("anhantha", CRISIS)
    if standing.requested_turns > 0 and offered(standing.requested) and not forbidden(standing.requested, signals):
        return Choice(standing.requested, ASKED_FOR)
    if standing.voice == "hundun":
        return Choice("sam" if offered("sam") else "iskra", "takes over after hundun")
    incumbent = standing.voice
    stays = not forbidden(incumbent, signals)
    if stays and 0 < standing.turns < LEAST_TURNS and incumbent != "iskra":
        return Choice(incumbent, f"stays {LEAST_TURNS} turns")
    claims = [claim for claim in _claims(signals, standing) if offered(claim.voice)]
    entering = [claim for claim in claims if claim.may_enter and not forbidden(claim.voice, signals)]
    staying = [claim for claim in claims if claim.voice == incumbent and stays and not has_left(incumbent, signals)]
    candidates = {claim.voice: claim for claim in (*staying, *entering)}
    first = _first_in_a_storm(signals)
    if first in candidates and candidates[first].may_enter:
        return Choice(first, candidates[first].reason)
    if not candidates:
        return Choice("iskra", "balanced")
    ranked = sorted(candidates.values(), key=lambda claim: -claim.strength)
    if len(ranked) > 1 and ranked[0].strength - ranked[1].strength < _EQUAL:
        return Choice("iskra", f"{' and '.join(sorted((ranked[0].voice, ranked[1].voice)))} are equal")
    return Choice(ranked[0].voice, ranked[0].reason)


def forbidden(voice: str, signals: Signals) -> str:
    """Return why a voice must not speak now, or the empty string."""
    if signals.in_crisis and voice in ("pino", "hundun", "kain"):
        return "the user may be in danger"
    pain = max(signals.pain, signals.hurt if signals.hurt >= _HURTS else 0.0)
    if voice == "pino" and pain >= _NO_PINO_PAIN:
        return f"no jokes at a pain of {pain:.2f}"
    if voice == "hundun" and pain >= _NO_HUNDUN_PAIN:
        return f"no broken frames at a pain of {pain:.2f}"
    return ""


def has_left(voice: str, signals: Signals) -> bool:
    """Tell whether the ground on which a voice spoke is gone, by its lower threshold."""
    match voice:
        case "kain":
            return signals.pain <= 0.60 and not signals.own_contradictions
        case "pino":
            return signals.staleness <= 0.20 or signals.pain >= _NO_PINO_PAIN
        case "sam":
            return signals.clarity > 0.70
        case "anhantha":
            return signals.trust > 0.70 and signals.silence < 0.60
        case "iskriv":
            return signals.drift < 0.20 and not signals.unsupported_facts
        case "maki":
            return signals.chaos <= 0.60 or signals.pain <= 0.50
        case _:
            return True


def activation_level(voice: str, signals: Signals) -> float:
    """Return how much of what a voice is for there is now, in [0, 1]."""
    match voice:
        case "kain":
            return 1.0 if signals.own_contradictions else signals.pain
        case "pino":
            return 0.0 if forbidden("pino", signals) else signals.staleness
        case "sam":
            return 1.0 - signals.clarity
        case "anhantha":
            return 1.0 if signals.in_crisis else max(1.0 - signals.trust, signals.silence)
        case "hundun":
            return 0.0 if forbidden("hundun", signals) else max(signals.staleness, signals.chaos)
        case "iskriv":
            return 1.0 if signals.unsupported_facts else signals.drift
        case "maki":
            return min(signals.chaos, signals.pain)
        case "sibyl":
            return min(signals.clarity, signals.chaos)
        case _:
            others = ("kain", "pino", "sam", "anhantha", "hundun", "iskriv")
            return 1.0 - max(activation_level(other, signals) for other in others)


def speaking_score(voice: str, signals: Signals, *, incumbent: str = "") -> float:
    """Return how much a voice wants to speak next where voices take turns freely; the highest does.

    Zero below its floor and where it is forbidden. Who spoke last gets .2 more, Iskra .3.
    """
    bonus = 0.0 if voice != incumbent else 0.3 if voice == "iskra" else 0.2
    match voice:
        case "kain":
            score = 3 * signals.pain if signals.pain >= 0.3 else 1.0 * bool(signals.own_contradictions)
        case "pino":
            score = 1.5 if signals.pain < 0.3 and signals.chaos < 0.4 else 0.0
        case "sam":
            score = 2 * (1 - signals.clarity) if signals.clarity < 0.6 else 0.0
        case "anhantha":
            score = 2.5 * (1 - signals.trust) if signals.trust < 0.75 else 0.0
            score += 2 * signals.silence if signals.silence > 0.5 else 0.0
        case "hundun":
            score = 3 * signals.chaos if signals.chaos >= 0.4 else 0.0
        case "iskriv":
            score = 3.5 * signals.drift if signals.drift >= 0.2 else 0.0
        case "iskra":
            score = 1.0 + (0.5 if _rhythm(signals) > 0.60 and signals.trust > 0.7 else 0.0)
        case _:
            score = activation_level(voice, signals)
    return score + bonus if not forbidden(voice, signals) else 0.0


def _claims(signals: Signals, standing: Standing) -> list[_Claim]:
    sure = signals.confidence >= LEAST_CONFIDENCE
    rested = standing.since_hundun >= HUNDUN_REST
    is_stuck = signals.staleness >= 0.55 and rested
    is_wild = signals.chaos > 0.60 and signals.clarity >= 0.40 and rested
    own = min(1.0, 0.5 * signals.own_contradictions)
    return [
        _Claim(
            "kain",
            max(_beyond(signals.pain, 0.70), own),
            "the user's statements contradict each other" if own else f"pain {signals.pain:.2f}",
            signals.pain >= 0.70 or signals.own_contradictions >= 1,
        ),
        _Claim(
            "pino",
            -1.0 if is_stuck else _beyond(signals.staleness, 0.35),  # who jokes there already makes way for Hundun
            f"staleness {signals.staleness:.2f}",
            sure and signals.staleness >= 0.35 and not is_stuck,
        ),
        _Claim(
            "sam",
            _beyond(1 - signals.clarity, 0.40),
            f"clarity {signals.clarity:.2f}",
            sure and signals.clarity < 0.60,
        ),
        _Claim(
            "anhantha",
            max(_beyond(1 - signals.trust, 0.40), _beyond(signals.silence, 0.60)),
            f"silence {signals.silence:.2f}" if signals.silence >= 0.60 else f"trust {signals.trust:.2f}",
            sure and (signals.trust < 0.60 or signals.silence >= 0.60),
        ),
        _Claim(
            "hundun",
            max(_beyond(signals.staleness, 0.55) if is_stuck else -1, _beyond(signals.chaos, 0.60) if is_wild else -1),
            f"staleness {signals.staleness:.2f}" if is_stuck else f"chaos {signals.chaos:.2f}",
            sure and (is_stuck or is_wild),
        ),
        _Claim(
            "iskriv",
            max(_beyond(signals.drift, 0.30), 0.5 if signals.unsupported_facts else -1.0),
            "a stated fact has no source" if signals.unsupported_facts else f"drift {signals.drift:.2f}",
            signals.unsupported_facts >= 1 or (sure and signals.drift > 0.30),
        ),
        _Claim(
            "maki",
            _beyond(signals.chaos, 0.60),
            f"chaos {signals.chaos:.2f} and pain {signals.pain:.2f}",
            sure and signals.chaos > 0.60 and signals.pain > 0.50,
        ),
    ]


def _first_in_a_storm(signals: Signals) -> str:
    """Return who goes first where several things are bad at once."""
    if signals.trust < 0.30:
        return "anhantha"
    if signals.pain > 0.80:
        return "kain"
    if signals.chaos <= 0.60:
        return ""
    if signals.clarity < 0.40 or signals.chaos > 0.70:
        return "sam"
    if signals.drift > 0.30:
        return "iskriv"
    if signals.trust_falls:
        return "anhantha"
    return "maki" if signals.pain > 0.50 else ""


def _beyond(value: float, threshold: float) -> float:
    return (value - threshold) / (1 - threshold)


def _rhythm(signals: Signals) -> float:
    return (
        0.35 * signals.trust
        + 0.25 * signals.clarity
        + 0.15 * (1 - signals.pain)
        + 0.12 * (1 - signals.drift)
        + 0.13 * (1 - signals.chaos)
    )
