"""How much a conversation repeats itself."""

import math
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from iskra_metrics.bleu import bleu
from iskra_metrics.reading import Reading, clamp, reading
from iskra_metrics.text import excerpt, shared_char_ngrams, tokens
from iskra_metrics.utterance import Utterance, spoken
from iskra_metrics.vendi import vendi_score

WINDOW = 8
"""Earlier turns that a turn is compared with."""

FEWEST_WORDS = 4
"""Turns of fewer words ("yes", "go on") are passed over: to say them twice repeats nothing."""

_LEVEL = 6  # of deflate: 9 takes twice as long for turns and tells no more
_READ = 1_800  # characters of a turn; 8 turns of two-byte letters fit into the 32 KiB that deflate looks back


def staleness(conversation: Sequence[Utterance]) -> Reading:
    """Return how stale a conversation is: near 0 in a healthy one, 1 when it goes in circles.

    The mean of four parts, each in [0, 1]. Three tell how far a turn repeats the up to eight before it, of user and
    assistant alike: ``history_gain`` (what the earlier turns save a compressor on it), ``self_bleu`` (of the turn
    against the earlier) and ``closest`` (the largest cosine of character 4-grams). They are those of the latest turn
    or of the one before, whichever repeats more: when a user asks anew, the answers are as stale as they were. The
    fourth, ``sameness``, is one less the Vendi score per turn of the latest turn and the eight before. ``raw_…`` parts
    are the measures before scaling.

    The scales come from windows of eight turns of public Russian and English prose. Times play no part, and a topic
    that jumps is not seen: that is drift.
    """
    texts = [utterance.text for utterance in spoken(conversation)[-4 * WINDOW :]]
    texts = [excerpt(text, _READ) for text in texts if len(tokens(text)) >= FEWEST_WORDS][-(WINDOW + 2) :]
    if len(texts) < 2:
        return reading(0.0, len(texts))
    latest = _repetition(tuple(texts[:-1][-WINDOW:]), texts[-1])
    before = _repetition(tuple(texts[:-2]), texts[-2])
    repeated = max(latest, before, key=lambda each: sum(each.scaled().values()))
    window = texts[-(WINDOW + 1) :]
    vendi = vendi_score([[_likeness(a, b) for b in window] for a in window]) / len(window)
    parts = repeated.scaled() | {"sameness": clamp((0.90 - vendi) / 0.40)}
    raw = {
        "raw_history_gain": repeated.gain,
        "raw_self_bleu": repeated.bleu,
        "raw_closest": repeated.closest,
        "raw_vendi": vendi,
    }
    return reading(sum(parts.values()) / len(parts), len(window), parts | raw)


class _Repetition(NamedTuple):
    """How far a turn repeats those before it."""

    gain: float
    bleu: float
    closest: float

    def scaled(self) -> dict[str, float]:
        return {
            "history_gain": clamp((self.gain - 0.35) / 0.45),
            "self_bleu": clamp(self.bleu / 0.6),
            "closest": clamp((self.closest - 0.30) / 0.45),
        }


@lru_cache(maxsize=64)
def _repetition(earlier: tuple[str, ...], latest: str) -> _Repetition:
    if not earlier:
        return _Repetition(0.0, 0.0, 0.0)
    return _Repetition(
        history_gain(earlier, latest),
        bleu(tokens(latest), [tokens(text) for text in earlier]),
        max(_likeness(latest, text) for text in earlier),
    )


def _likeness(one: str, other: str) -> float:
    """Return the cosine of the character 4-grams of two texts."""
    return _ordered_likeness(min(one, other), max(one, other))


@lru_cache(maxsize=1024)
def _ordered_likeness(one: str, other: str) -> float:
    if one == other:
        return 1.0
    a, b = shared_char_ngrams(one), shared_char_ngrams(other)
    product = sum([a[run] * b[run] for run in a.keys() & b.keys()])
    return min(1.0, product / math.sqrt(_square(one) * _square(other)))


@lru_cache(maxsize=256)
def _square(text: str) -> int:
    """Return the squared length of the vector of character 4-grams, which many cosines need."""
    return sum([count * count for count in shared_char_ngrams(text).values()])


def history_gain(earlier: Sequence[str], latest: str) -> float:
    """Return the share of the compressed length of ``latest`` that knowing ``earlier`` saves, in [0, 1].

    Compression as a measure of repetition: Shaib et al., "Standardizing the Measurement of Text Diversity" (2024).
    """
    history = "\n".join(earlier).encode(errors="replace")
    new = latest.encode(errors="replace")
    known = zlib.compressobj(_LEVEL)
    written = len(known.compress(history))
    without = written + len(known.copy().flush())
    together = written + len(known.compress(b"\n" + new)) + len(known.flush())
    return clamp(1.0 - (together - without) / len(zlib.compress(new, _LEVEL)))
