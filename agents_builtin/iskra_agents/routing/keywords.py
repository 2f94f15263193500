"""Chooses an agent by the words of a message.

The rules are data (:mod:`iskra_agents.routing.keyword_table`) for the built-in agents; other agents are found by the
words of their name, examples and description.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from iskra_agents.routing.keyword_table import DEFAULT_AGENT, HINTS, OPENERS, STOP_WORDS
from iskra_sdk.turn import AgentCard

_LOOKED_AT = 4000  # characters; what a message is about stands near its beginning
_QUOTED = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|\"[^\"\n]*\"|«[^»\n]*»|“[^”\n]*”", re.DOTALL)
_WORD = re.compile(r"[^\W_][\w'’-]*|[.!?;\n]")
_MENTION = re.compile(r"(?<!\S)@([a-z][a-z0-9_-]*)", re.IGNORECASE)
_SENTENCE_END = frozenset(".!?;\n")

_NAME_WEIGHT = 2.5
_EXAMPLE_WEIGHT = 4.0  # an example repeated word for word; less by the share of the words that agree
_LEAST_EXAMPLE_SHARE = 0.34
_DESCRIPTION_WEIGHT = 0.5  # per word
_HALF_CONFIDENCE = 2.0  # the score at which confidence is one half, before the runner-up is looked at

_SUFFIX = re.compile(
    r"(?:ами|ями|ого|его|ому|ему|ыми|ими|ой|ей|ий|ый|ая|яя|ое|ее|ые|ие|ых|их|ую|юю|ом|ем|ам|ям|ах|ях|ов|ев|"
    r"ать|ять|ить|еть|ешь|ишь|ет|ит|ут|ют|ат|ят|а|я|ы|и|у|ю|е|о|ь|й|ing|ed|es|s)$"
)


@dataclass(frozen=True, slots=True)
class Route:
    """Where a message should go.

    Attributes:
        agent: Name of the agent.
        confidence: From 0 (nothing speaks for it; it is the default) to 1.
        why: For people who ask why; never contains the message.
    """

    agent: str
    confidence: float
    why: str


def mentioned(text: str, agents: Sequence[AgentCard]) -> str | None:
    """Return the agent that a message calls by name, as in ``@coder``."""
    names = {agent.name for agent in agents}
    return next((name.lower() for name in _MENTION.findall(text[:_LOOKED_AT]) if name.lower() in names), None)


def example_of(text: str, agents: Sequence[AgentCard]) -> str | None:
    """Return the one agent that names exactly this message among its examples, but for case and punctuation."""
    if len(text) > _LOOKED_AT:
        return None
    wanted = _bare(text)
    found = {agent.name for agent in agents if any(_bare(example) == wanted for example in agent.examples)}
    return found.pop() if len(found) == 1 else None


def _bare(text: str) -> list[str]:
    return [word for word in _WORD.findall(text.lower().replace("ё", "е")) if word not in _SENTENCE_END]


def card_evidence(text: str, agents: Sequence[AgentCard]) -> dict[str, float]:
    """Return for each agent how much its name, examples and description speak for it, from 0 up to below 1."""
    sentences = list(_sentences(_QUOTED.sub(" ", text[:_LOOKED_AT])))
    scores = {agent.name: _card_score(agent, sentences) for agent in agents}
    return {name: score / (score + _HALF_CONFIDENCE) for name, score in scores.items()}


def route(text: str, agents: Sequence[AgentCard]) -> Route:
    """Choose one of ``agents`` for a message by words alone. The same arguments give the same result.

    Args:
        text: The message.
        agents: The agents to choose from; where none fits the default one, ``ask``, or else the first.

    Raises:
        ValueError: There are no agents.
    """
    if not agents:
        raise ValueError("there are no agents to choose from")
    names = {agent.name for agent in agents}
    text = text[:_LOOKED_AT]
    if (called := mentioned(text, agents)) is not None:
        return Route(called, 1.0, f"the message calls @{called}")

    sentences = list(_sentences(_QUOTED.sub(" ", text)))
    scores = {agent.name: _card_score(agent, sentences) for agent in agents}
    spoken = [f" {' '.join(sentence)} " for sentence in sentences]
    reasons: dict[str, list[str]] = {}
    for hint in HINTS:
        if hint.agent in names and any(_occurs(hint.phrase, sentence, opens=hint.opens) for sentence in spoken):
            scores[hint.agent] += hint.weight
            reasons.setdefault(hint.agent, []).append(hint.phrase)

    best, second = [*sorted(scores.items(), key=lambda item: (-item[1], item[0])), ("", 0.0)][:2]
    if best[1] <= 0:
        default = DEFAULT_AGENT if DEFAULT_AGENT in names else agents[0].name
        return Route(default, 0.0, "nothing in the message speaks for an agent")
    margin = (best[1] - second[1]) / best[1]
    confidence = round(best[1] / (best[1] + _HALF_CONFIDENCE) * (0.5 + 0.5 * margin), 3)
    words = ", ".join(reasons.get(best[0], [])) or "its name, examples or description"
    return Route(best[0], confidence, f"speaking for it: {words}")


def _sentences(text: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of each sentence in lower case, without the polite words in front."""
    words: list[str] = []
    for token in (*_WORD.findall(text.lower().replace("ё", "е").replace("’", "'")), "."):
        if token in _SENTENCE_END:
            if words:
                yield _without_openers(words)
            words = []
        else:
            words.append(token)


def _without_openers(words: Sequence[str]) -> tuple[str, ...]:
    start = 0
    while start < len(words) - 1 and words[start] in OPENERS:
        # «не» opens a polite question ("не мог бы ты"), but also «не работает».
        if words[start] == "не" and words[start + 1] not in OPENERS:
            break
        start += 1
    return tuple(words[start:])


def _occurs(phrase: str, sentence: str, *, opens: bool) -> bool:
    """Return whether a phrase stands in a sentence whose words have a space before and behind each."""
    needle, pattern = _needle(phrase)
    if pattern is not None:
        return (pattern.match(sentence) if opens else pattern.search(sentence)) is not None
    return sentence.startswith(needle) if opens else needle in sentence


@lru_cache(maxsize=2048)
def _needle(phrase: str) -> tuple[str, re.Pattern[str] | None]:
    """Return what to look for: a text, and a pattern where a text cannot say it."""
    phrase = f" {phrase.replace('ё', 'е')} ".replace("* ", "*")
    needle = phrase.removesuffix("*")
    if "*" not in needle:
        return needle, None
    return "", re.compile(re.escape(needle).replace(r"\*", "[^ ]* "))


def _card_score(agent: AgentCard, sentences: Sequence[tuple[str, ...]]) -> float:
    """Score an agent by what it says of itself: name, examples, description."""
    words = _content_words(word for sentence in sentences for word in sentence)
    if not words:
        return 0.0
    name, examples, description = _card_words(agent.name, tuple(agent.examples), agent.description)
    score = _NAME_WEIGHT if name and name <= words else 0.0
    shares = (len(words & example) / len(words | example) for example in examples if example)
    closest = max(shares, default=0.0)
    if closest >= _LEAST_EXAMPLE_SHARE:
        score += _EXAMPLE_WEIGHT * closest
    if agent.name not in _BUILT_IN:
        # The built-in agents have their table; their descriptions hold too many ordinary words.
        score += _DESCRIPTION_WEIGHT * len(words & (description | frozenset().union(*examples)))
    return score


_BUILT_IN = frozenset(hint.agent for hint in HINTS)


@lru_cache(maxsize=512)
def _card_words(
    name: str, examples: tuple[str, ...], description: str
) -> tuple[frozenset[str], tuple[frozenset[str], ...], frozenset[str]]:
    def words(text: str) -> frozenset[str]:
        return _content_words(word for sentence in _sentences(text) for word in sentence)

    return words(re.sub(r"[_-]", " ", name)), tuple(words(example) for example in examples), words(description)


def _content_words(words: Iterator[str]) -> frozenset[str]:
    return frozenset(_stem(word) for word in words if word not in STOP_WORDS)


def _stem(word: str) -> str:
    """Cut a common ending off, so that forms of one word agree; words of up to four letters stay."""
    return _SUFFIX.sub("", word) if len(word) > 4 else word
