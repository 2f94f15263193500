"""How easy the answers of a conversation are to follow."""

import re
from collections.abc import Sequence

from iskra_metrics.instructions import is_instruction
from iskra_metrics.reading import Reading, clamp, reading
from iskra_metrics.text import excerpt, normal, sentences, tokens
from iskra_metrics.utterance import Utterance, spoken

ANSWERS = 4
WINDOW = 8

_PLAIN = 0.75  # structure of an answer too short to need any
_NEEDS_STRUCTURE = 80  # words
_SHORTEST, _LONGEST = 6.0, 22.0  # words of a sentence that reads well
_TOO_LONG = 45.0

_STRUCTURE = re.compile(r"^\s*(?:[-*+•]\s|\d{1,3}[.)]\s|#{1,6}\s|```|\|)")
_TERM = re.compile(r"`([^`\n]{2,40})`|«([^«»\n]{2,40})»|\b([A-ZА-ЯЁ]{2,}[0-9]*)\b")
_DEFINES = re.compile(
    r"^[`»\"*]*\s*(?:\(|—|–|:|- |=|это\b|называ|означа|то есть|т\. ?е\.|is an?\b|are\b|means\b|stands for|refers to|"
    r"i\.e\.)"
)
_CONFUSED = re.compile(
    r"\b(?:не понял\w*|не понима\w+|непонятн\w*|не ясно|неясн\w*|запутал\w*|запутан\w*|что (?:ты|вы) име\w+ в виду|"
    r"в смысле|"
    r"о чем (?:ты|вы|это)|поясни\w*|можно (?:проще|понятнее)|объясни\w* (?:проще|еще|иначе|снова)|"
    r"confus\w+|unclear|don't (?:understand|get it|follow)|do not understand|didn't (?:understand|get)|not clear|"
    r"what do you mean|lost me|makes no sense|doesn't make sense|i'm lost|huh|come again|can you (?:clarify|"
    r"rephrase))\b|\?\?"
)
_LAST_SENTENCES = 3


def clarity(conversation: Sequence[Utterance]) -> Reading:
    """Return the mean of five parts, each in [0, 1], over the last four answers and the user's turns beside them.

    ``structure`` (lists, headings and steps, where an answer is long enough to need them), ``sentences`` (mean length
    from 6 to 22 words, the idea of Flesch's formulas), ``terms`` (abbreviations, quoted and code terms that are
    explained, or were said before), ``followed`` (one less the share of user turns with a marker of confusion) and
    ``next_step`` (the latest answer ends with what to do next, or asks). Where the assistant has said nothing the
    user's turns are read.
    """
    turns = [turn for turn in spoken(conversation)[-2 * WINDOW :] if tokens(turn.text)]
    answers = [excerpt(turn.text) for turn in spoken(turns, "assistant")[-ANSWERS:]]
    asked = [turn.text for turn in spoken(turns, "user")[-ANSWERS:]]
    answers = answers or asked
    if not answers:
        return reading(0.0, 0)
    confused = sum(bool(_CONFUSED.search(_plain(text))) for text in asked)
    said_before = {word for text in asked for word in tokens(text)}
    parts = {
        "structure": _mean([_structure(text) for text in answers]),
        "sentences": _mean([_sentence_band(text) for text in answers]),
        "terms": _defined_terms(answers, said_before),
        "followed": 1.0 - confused / len(asked) if asked else 1.0,
        "next_step": float(_has_next_step(answers[-1])),
    }
    return reading(_mean(list(parts.values())), len(turns[-WINDOW:]), parts)


def _structure(text: str) -> float:
    if len(tokens(text)) < _NEEDS_STRUCTURE:
        return _PLAIN
    lines = [line for line in text.splitlines() if line.strip()]
    marked = sum(bool(_STRUCTURE.match(line)) for line in lines)
    paragraphs = clamp((len(lines) - 1) / 4.0)
    return clamp(0.4 * paragraphs + 1.2 * marked / len(lines))


def _sentence_band(text: str) -> float:
    length = len(tokens(text)) / max(1, len(sentences(text)))
    if length < _SHORTEST:
        return 0.5 + 0.5 * length / _SHORTEST
    return clamp((_TOO_LONG - length) / (_TOO_LONG - _LONGEST))


def _defined_terms(answers: Sequence[str], said_before: set[str]) -> float:
    """Return the share of terms that are explained where they stand, were used by the user, or are used again."""
    defined: dict[str, bool] = {}
    for text in answers:
        for match in _TERM.finditer(text):
            term = next(group for group in match.groups() if group)
            known = set(tokens(term)) <= said_before or bool(
                _DEFINES.match(text[match.end() : match.end() + 24].lower())
            )
            in_brackets = text[max(0, match.start() - 2) : match.start()].endswith("(")
            defined[term.lower()] = defined.get(term.lower(), False) or known or in_brackets
    return sum(defined.values()) / len(defined) if defined else 1.0


def _has_next_step(text: str) -> bool:
    if text.rstrip(" *_\n").endswith("?"):
        return True
    return any(is_instruction(sentence) for sentence in sentences(text)[-_LAST_SENTENCES:])


def _plain(text: str) -> str:
    return normal(excerpt(text)).replace("ё", "е").replace("’", "'")


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
