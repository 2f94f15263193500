"""How much weight there is in what the user leaves unsaid."""

import math
import re
from collections.abc import Sequence
from itertools import pairwise

from iskra_metrics.reading import Reading, clamp, reading
from iskra_metrics.text import tokens
from iskra_metrics.utterance import Utterance, spoken

WINDOW = 16
SPARSE_TURNS = 4

_ELLIPSIS = re.compile(r"(?:…|\.\.)[\s\"'»)]*$")


def silence(conversation: Sequence[Utterance]) -> Reading:
    """Return .50 brevity + .30 gap + .20 sparseness of the user's turns.

    Parts, each in [0, 1]: ``brevity``, how far the latest turn is below the median length of those before; ``gap``, the
    rank of the latest pause before a turn of the user among the earlier ones (0 where times are not known); and
    ``sparse``, the share of the last four turns that trail off in an ellipsis or have one word or none.
    """
    turns = spoken(conversation, "user")[-WINDOW:]
    if not turns:
        return reading(0.0, 0, {"brevity": 0.0, "gap": 0.0, "sparse": 0.0})
    lengths = [len(tokens(turn.text)) for turn in turns]
    usual = _median(lengths[:-1]) if len(lengths) > 1 else 0
    sparse = [len(tokens(turn.text)) <= 1 or bool(_ELLIPSIS.search(turn.text[-40:])) for turn in turns[-SPARSE_TURNS:]]
    parts = {
        "brevity": clamp(1.0 - lengths[-1] / usual) if usual else 0.0,
        "gap": _gap_rank(spoken(conversation)[-2 * WINDOW :]),
        "sparse": sum(sparse) / len(sparse),
    }
    value = 0.5 * parts["brevity"] + 0.3 * parts["gap"] + 0.2 * parts["sparse"]
    return reading(value, len(turns), parts)


def _median(values: Sequence[int]) -> float:
    ordered = sorted(values)  # the library's median takes longer to import than all metrics together
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def _gap_rank(turns: Sequence[Utterance]) -> float:
    known = [turn for turn in turns if math.isfinite(turn.at) and turn.at > 0]
    gaps = [after.at - before.at for before, after in pairwise(known) if after.role == "user"]
    if len(gaps) < 2:
        return 0.0
    *earlier, latest = gaps
    return sum(gap < latest for gap in earlier) / len(earlier)
