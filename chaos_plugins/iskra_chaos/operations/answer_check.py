"""Checks an answer that was given under an operation, without a model: what a person asked for must still be there."""

import json
import re
from collections.abc import Sequence

from iskra_chaos.operations.asked_form import AskedForm, Counted, asked_form
from iskra_chaos.operations.exactness import inexact_parts
from iskra_metrics.fact_hash import changed_facts, current, gives_values
from iskra_metrics.text import language_of, sentences, words
from iskra_sdk.message import Message

CHECKS = (
    "is_not_empty",
    "is_whole",
    "does_not_loop",
    "is_json",
    "has_code_block",
    "is_list",
    "is_no_list",
    "keeps_language",
    "keeps_length",
    "keeps_facts",
    "draws_nothing_exact",
)
"""The names of the checks, in the order in which they are reported."""

_ENDED_BADLY = frozenset({"length", "content_filter"})
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)
_BLOCK = re.compile(r"^[ \t]*(```|~~~)[^\n]*\n(.*?)^[ \t]*\1[ \t]*$", re.MULTILINE | re.DOTALL)
_ITEM = re.compile(r"^[ \t]*(?:[-*+•–]|\d{1,3}[.)])[ \t]+\S", re.MULTILINE)
_EQUAL_SENTENCES = 3
_LONGEST_RUN = 12  # words
_FEWEST_LETTERS = 20  # by which a language is told
_FACTS_OF = 8  # latest messages whose numbers, names and dates count as given


def failed_checks(
    messages: Sequence[Message], answer: str, finish_reason: str | None, *, is_warmer: bool = False
) -> list[str]:
    """Return the names of the checks that an answer does not pass, of :data:`CHECKS`.

    Args:
        messages: Of the call, as it would be without the operation.
        answer: Its text.
        finish_reason: How the stream ended; ``None`` where it broke off.
        is_warmer: It was drawn by a warmer sampler than the call asked for.
    """
    if not answer.strip():
        return ["is_not_empty"]
    form = asked_form(messages)
    failed = {
        "is_whole": finish_reason is None or finish_reason in _ENDED_BADLY or len(_FENCE.findall(answer)) % 2 == 1,
        "does_not_loop": _loops(answer),
        "is_json": form.json and not _is_json(answer),
        "has_code_block": form.fence and _BLOCK.search(answer) is None,
        "is_list": form.listed is True and len(_ITEM.findall(answer)) < 2,
        "is_no_list": form.listed is False and len(_ITEM.findall(answer)) >= 2,
        "keeps_language": not _is_in(form, answer),
        "keeps_length": not _is_as_long(form, answer),
        "keeps_facts": bool(changed_facts(_given(messages), _prose(answer))),
        "draws_nothing_exact": is_warmer and bool(inexact_parts(answer, [message.text for message in messages])),
    }
    return [name for name in CHECKS if failed.get(name)]


def _is_json(answer: str) -> bool:
    block = _BLOCK.fullmatch(answer.strip())
    try:
        json.loads(block[2] if block else answer)
    except ValueError:
        return False
    return True


def _loops(answer: str) -> bool:
    """Tell whether an answer says a sentence three times, or a run of words over and over."""
    text = _prose(answer)
    said = [" ".join(words(sentence)) for sentence in sentences(text)]
    long = [sentence for sentence in said if len(sentence.split()) >= 3]
    if any(long.count(sentence) >= _EQUAL_SENTENCES for sentence in set(long)):
        return True
    spoken = words(text)
    for length in range(1, min(_LONGEST_RUN, len(spoken) // 3) + 1):
        needed = length * (5 if length == 1 else 3)  # equal neighbours at this distance: one run less than is said
        equal = 0
        for at in range(length, len(spoken)):
            equal = equal + 1 if spoken[at] == spoken[at - length] else 0
            if equal >= needed:
                return True
    return False


def _is_in(form: AskedForm, answer: str) -> bool:
    text = _prose(answer)
    if form.language is None or sum(character.isalpha() for character in text) < _FEWEST_LETTERS:
        return True
    return form.json or language_of(text) == form.language


def _is_as_long(form: AskedForm, answer: str) -> bool:
    most, exactly = form.most or {}, form.exactly or {}
    counts = {unit: _count(unit, answer) for unit in {*most, *exactly}}
    return all(counts[unit] <= limit for unit, limit in most.items()) and all(
        counts[unit] == wanted for unit, wanted in exactly.items()
    )


def _count(unit: Counted, answer: str) -> int:
    match unit:
        case "words":
            return len(words(answer))
        case "sentences":
            return len(sentences(answer))
        case "characters":
            return len(answer.strip())
        case "lines":
            return sum(bool(line.strip()) for line in answer.splitlines())
        case "paragraphs":
            return len(re.findall(r"\S(?:.|\n(?!\s*\n))*", answer.strip()))
        case _:
            return len(_ITEM.findall(answer))


def _given(messages: Sequence[Message]) -> list[str]:
    """Return what the user and tools stated with numbers, names or dates, without what was corrected later."""
    said = [message for message in messages if message.role in ("user", "tool")][-_FACTS_OF:]
    stated = [
        sentence
        for message in said
        for sentence in sentences(message.text)
        if not sentence.rstrip().endswith("?") and gives_values(sentence)
    ]
    return current(stated)


def _prose(answer: str) -> str:
    return _BLOCK.sub("\n", answer)
