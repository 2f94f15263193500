"""How different several answers to one question are, by four measures that need no model.

Samples are cut to the length of the shortest where a measure grows or falls with length.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from iskra_metrics.bleu import bleu
from iskra_metrics.text import char_ngrams, cosine, words
from iskra_metrics.vendi import vendi_score


@dataclass(frozen=True, slots=True)
class Diversity:
    """What several answers to one question show.

    Attributes:
        vendi: Vendi score by the number of samples, in [1/n, 1]; higher is more diverse.
        distinct: Unique word pairs by all, in [0, 1]; higher is more diverse.
        self_bleu: Mean BLEU-4 of each against the rest, in [0, 1]; lower is more diverse.
        compression: Bytes by compressed bytes, above 0; lower is more diverse.
    """

    vendi: float
    distinct: float
    self_bleu: float
    compression: float


def diversity(samples: Sequence[str]) -> Diversity:
    """Return the measures of two samples or more.

    Raises:
        ValueError: There are fewer than two.
    """
    if len(samples) < 2:
        raise ValueError(f"one sample cannot differ from itself: {len(samples)} given")
    cut = equally_long(samples)
    return Diversity(vendi_share(samples), distinct_n(cut), self_bleu(samples), compression_ratio(cut))


def equally_long(samples: Sequence[str]) -> list[list[str]]:
    """Return the words of the samples, cut to the shortest of those that have any."""
    spoken = [words(sample) for sample in samples]
    shortest = min((len(each) for each in spoken if each), default=0)
    return [each[:shortest] for each in spoken]


def distinct_n(samples: Sequence[Sequence[str]], n: int = 2) -> float:
    """Return the share of runs of ``n`` words that are unique (Li et al., 2016); 0 where there are none."""
    runs = [tuple(sample[at : at + n]) for sample in samples for at in range(len(sample) - n + 1)]
    return len(set(runs)) / len(runs) if runs else 0.0


def self_bleu(samples: Sequence[str]) -> float:
    """Return the mean BLEU-4 of each sample against the rest (Zhu et al., "Texygen", 2018)."""
    spoken = [words(sample) for sample in samples]
    return sum(bleu(each, [*spoken[:at], *spoken[at + 1 :]]) for at, each in enumerate(spoken)) / len(spoken)


def compression_ratio(samples: Sequence[Sequence[str]]) -> float:
    """Return how much zlib makes of all samples together (Shaib et al., 2024, arXiv 2403.00553); 0 for no words."""
    raw = "\n".join(" ".join(sample) for sample in samples).encode()
    return len(raw) / len(zlib.compress(raw, 9)) if any(samples) else 0.0


def vendi_share(samples: Sequence[str]) -> float:
    """Return the Vendi score with the cosine of character 4-grams as its kernel, by the number of samples."""
    grams = [char_ngrams(sample) for sample in samples]
    kernel = [[1.0 if a is b else cosine(a, b) for b in grams] for a in grams]
    return vendi_score(kernel) / len(samples)
