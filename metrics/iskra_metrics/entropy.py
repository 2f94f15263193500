"""How evenly a conversation uses its words."""

import math
from collections import Counter
from collections.abc import Sequence

from iskra_metrics.reading import Reading, reading
from iskra_metrics.text import tokens
from iskra_metrics.utterance import Utterance, spoken

WINDOW = 8


def entropy(conversation: Sequence[Utterance]) -> Reading:
    """Return the Shannon entropy of the words of the last eight turns over its largest value, log of their number.

    1 where no word comes twice, 0 where there is one word only. It falls with the length of the text, so it is a figure
    to report and not to act upon. Parts: ``bits`` per word, ``words``.
    """
    turns = spoken(conversation)[-WINDOW:]
    counts = Counter(word for turn in turns for word in tokens(turn.text))
    total = counts.total()
    if total < 2:
        return reading(0.0, len(turns), {"bits": 0.0, "words": float(total)})
    nats = -math.fsum(count / total * math.log(count / total) for count in counts.values())
    return reading(nats / math.log(total), len(turns), {"bits": nats / math.log(2.0), "words": float(total)})
