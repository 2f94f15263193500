"""How much of what is said in a conversation speaks against something else said in it."""

from collections import Counter
from collections.abc import Sequence

from iskra_metrics.opposition import contradictions
from iskra_metrics.reading import Reading, reading
from iskra_metrics.text import sentences
from iskra_metrics.utterance import Utterance, spoken

WINDOW = 8
_FEWEST = 8  # statements: one pair among two is not a conversation full of contradictions


def contradiction(conversation: Sequence[Utterance]) -> Reading:
    """Return the share of statements of the last eight turns that contradict another one, counted among at least eight.

    Surface features only, see :mod:`iskra_metrics.opposition`: what takes knowledge of the world is missed. Parts:
    ``pairs``, ``statements``, the pairs of each kind (``negation``, ``antonym``, ``number``) and ``of_user``, the
    pairs in which the user says both.
    """
    turns = spoken(conversation)[-WINDOW:]
    statements = [(turn.role, sentence) for turn in turns for sentence in sentences(turn.text)]
    found = contradictions([sentence for _, sentence in statements])
    kinds = Counter(pair.kind for pair in found)
    involved = {index for pair in found for index in (pair.first, pair.second)}
    of_user = sum(statements[pair.first][0] == statements[pair.second][0] == "user" for pair in found)
    parts = {
        "pairs": float(len(found)),
        "statements": float(len(statements)),
        "negation": float(kinds["negation"]),
        "antonym": float(kinds["antonym"]),
        "number": float(kinds["number"]),
        "of_user": float(of_user),
    }
    return reading(len(involved) / max(_FEWEST, len(statements)), len(turns), parts)
