"""How much a conversation repeats itself."""

import zlib
from collections.abc import Sequence

from iskra_metrics.bleu import bleu
from iskra_metrics.reading import Reading, clamp, reading
from iskra_metrics.text import cosine, excerpt, shared_char_ngrams, tokens
from iskra_metrics.utterance import Utterance, spoken
from iskra_metrics.vendi import vendi_score

WINDOW = 8
"""Earlier turns that the latest is compared with."""

FEWEST_WORDS = 4
"""Turns of fewer words ("yes", "go on") are passed over: to say them twice repeats nothing."""

_READ = 1_800  # characters of a turn; 8 turns of two-byte letters fit into the 32 KiB that deflate looks back


def staleness(conversation: Sequence[Utterance]) -> Reading:
    """Return how stale the latest turn makes the conversation: near 0 in a healthy one, 1 when it goes in circles.

    The mean of four parts, each in [0, 1], over the latest turn and up to eight before it, of user and assistant alike:
    ``history_gain`` (what the earlier turns save a compressor on the latest), ``self_bleu`` (of the latest turn against
    the earlier), ``closest`` (the largest cosine of character 4-grams between them), ``sameness`` (one less the
    Vendi score per turn). ``raw_…`` parts are the measures before scaling. The scales come from windows of eight turns
    of public Russian and English prose. Times play no part, and a topic that jumps is not seen: that is drift.
    """
    texts = [utterance.text for utterance in spoken(conversation)[-4 * WINDOW :]]
    texts = [excerpt(text, _READ) for text in texts if len(tokens(text)) >= FEWEST_WORDS][-(WINDOW + 1) :]
    if len(texts) < 2:
        return reading(0.0, len(texts))
    *earlier, latest = texts
    gain = history_gain(earlier, latest)
    repeated = bleu(tokens(latest), [tokens(text) for text in earlier])
    grams = [shared_char_ngrams(text) for text in texts]
    kernel = [[1.0] * len(texts) for _ in texts]
    for i in range(1, len(texts)):
        for j in range(i):
            kernel[i][j] = kernel[j][i] = cosine(grams[i], grams[j])
    closest = max(kernel[-1][:-1])
    vendi = vendi_score(kernel) / len(texts)
    parts = {
        "history_gain": clamp((gain - 0.35) / 0.45),
        "self_bleu": clamp(repeated / 0.6),
        "closest": clamp((closest - 0.30) / 0.45),
        "sameness": clamp((0.90 - vendi) / 0.40),
    }
    raw = {"raw_history_gain": gain, "raw_self_bleu": repeated, "raw_closest": closest, "raw_vendi": vendi}
    return reading(sum(parts.values()) / len(parts), len(texts), parts | raw)


def history_gain(earlier: Sequence[str], latest: str) -> float:
    """Return the share of the compressed length of ``latest`` that knowing ``earlier`` saves, in [0, 1].

    Compression as a measure of repetition: Shaib et al., "Standardizing the Measurement of Text Diversity" (2024).
    """
    history = "\n".join(earlier).encode(errors="replace")
    new = latest.encode(errors="replace")
    return clamp(1.0 - (_size(history + b"\n" + new) - _size(history)) / _size(new))


def _size(data: bytes) -> int:
    return len(zlib.compress(data, 9))
