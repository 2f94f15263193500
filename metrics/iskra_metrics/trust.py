"""How far the answers of a conversation can be relied on."""

import re
from collections.abc import Sequence
from functools import lru_cache

from iskra_metrics.civility import distrust, insults
from iskra_metrics.claims import hedges
from iskra_metrics.instructions import is_instruction
from iskra_metrics.reading import Reading, reading
from iskra_metrics.text import excerpt, sentences, stems, tokens
from iskra_metrics.utterance import Utterance, spoken

WINDOW = 8
START = 0.80
"""Trust where nothing speaks for it or against it."""

_SUPPORTED = 0.5  # share of a claim's stems that one source holds
_PRIOR_CLAIMS = 2  # claims of which .80 are grounded, counted along, so that one claim does not decide
_DISTRUST_COST = 0.15
_MOST_DISTRUST = 3
_SHORTEST_QUOTE = 3  # words; shorter quotation marks hold names and terms

_QUOTE = re.compile(r"«([^«»]{1,400})»|“([^“”]{1,400})”|\"([^\"\n]{1,400})\"|^>[ \t]*(.{1,400})$", re.MULTILINE)
_CHECKABLE = re.compile(r"\d|https?://|(?<=[^\W\d_] )[A-ZА-ЯЁ][^\W\d_]{2,}")
_NUMBER = re.compile(r"\d+")


def trust(conversation: Sequence[Utterance]) -> Reading:
    """Return .40 grounded + .35 faithful + .25 civil, less .15 for each of at most three words of distrust.

    ``grounded`` is the share of the assistant's checkable claims (sentences with a number, a name or an address that
    ask and order nothing) which are hedged, or whose numbers and half of whose stems are found in one earlier message
    of the user or a tool; ``faithful`` the share of its quotations of three words or more that stand word for word in
    an earlier message; ``civil`` one less the share of messages with an insult. A share of nothing is .80. The
    assistant's last eight turns count, against the whole conversation. Parts: these three, ``distrust`` (a count),
    ``claims`` and ``quotes``.
    """
    recent = conversation[-4 * WINDOW :]
    supported = claims = found = quotes = 0
    answers = 0
    for position in range(len(recent) - 1, -1, -1):
        answer = recent[position]
        if answer.role != "assistant":
            continue
        answers += 1
        if answers > WINDOW:
            break
        text = excerpt(answer.text)
        sources = [earlier for earlier in recent[:position] if earlier.role != "assistant"]
        for sentence in sentences(text):
            if _CHECKABLE.search(sentence) and not sentence.endswith("?") and not is_instruction(sentence):
                claims += 1
                supported += is_grounded(sentence, [source.text for source in sources])
        for quote in quotations(text):
            quotes += 1
            found += any(_holds(earlier.text, quote) for earlier in recent[:position])
    turns = spoken(recent)[-WINDOW:]
    rude = sum(bool(insults(turn.text)) for turn in turns)
    doubted = sum(len(distrust(turn.text)) for turn in turns if turn.role == "user")
    parts = {
        "grounded": (supported + _PRIOR_CLAIMS * START) / (claims + _PRIOR_CLAIMS),
        "faithful": found / quotes if quotes else START,
        "civil": 1.0 - rude / len(turns) if turns else 1.0,
        "distrust": float(doubted),
        "claims": float(claims),
        "quotes": float(quotes),
    }
    value = 0.40 * parts["grounded"] + 0.35 * parts["faithful"] + 0.25 * parts["civil"]
    return reading(value - _DISTRUST_COST * min(_MOST_DISTRUST, doubted), len(turns), parts)


def is_grounded(claim: str, sources: Sequence[str]) -> bool:
    """Tell whether ``claim`` is hedged, or one of ``sources`` holds its numbers and half of its stems."""
    if hedges(claim):
        return True
    numbers, wanted = _facts(claim)
    for source in sources:
        known_numbers, known = _facts(excerpt(source))
        if numbers <= known_numbers and len(wanted & known) >= _SUPPORTED * len(wanted):
            return True
    return False


@lru_cache(maxsize=512)
def _facts(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the numbers and the stems of a text."""
    return frozenset(_NUMBER.findall(text)), frozenset(word for word in stems(text) if not word.isdecimal())


def quotations(text: str) -> list[str]:
    """Return what a text quotes, in quotation marks or on lines that begin with ``>``, of three words or more."""
    found = ("".join(match.groups("")) for match in _QUOTE.finditer(text))
    return [quote for quote in found if len(tokens(quote)) >= _SHORTEST_QUOTE]


def _holds(text: str, quote: str) -> bool:
    return f" {' '.join(tokens(quote))} " in f" {' '.join(tokens(text))} "
