"""Reads plain requests: which orders a text holds, in which order, and what in it was not understood.

Nothing is guessed. A clause is an order only if it fits a template as a whole; a clause with a negation never is one.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from iskra_plugins.offline.intents import (
    ABOUT_ITSELF,
    EXPLAIN,
    GREETINGS,
    INTENTS,
    NEEDS_A_MODEL,
    NEGATIONS,
    POLITE,
    Intent,
)
from iskra_plugins.offline.quoting import Masked, mask
from iskra_plugins.offline.templates import compile_all, match

LONGEST_TEXT = 20_000
"""Characters; what is longer was pasted, and is not read as a request."""
_LONGEST_CLAUSE = 600
_MOST_CLAUSES = 40

_BULLET = re.compile(r"^[ \t]*(?:\d{1,2}[.)]|[-*•])\s+", re.MULTILINE)
_SENTENCE_END = re.compile(r"(?<=[^\s.!?…/\\])[.!?…]+(?=\s|$)|[;\n]+")
_COLON = re.compile(r":(?=\s|$)")
_COMMA = re.compile(r",(?=\s|$)")
_BUT = re.compile(
    r"(?: ,)? (?:but|instead|rather|но|вместо этого|зато|лучше) "
    r"| , (?:(?:just|only|только|просто) |а (?!затем|потом|также|после|ещ[её]))",
    re.IGNORECASE,
)
_THEN = re.compile(
    r"(?P<comma> ,)?(?P<and> (?:and|а|и))? "
    r"(?:then|after that|afterwards|затем|потом|после этого|далее|после чего)(?: ,)? ",
    re.IGNORECASE,
)
_AND = re.compile(r"(?: ,)? (?:and also|and|as well as|plus|or|а также|и|или) | , ", re.IGNORECASE)
_NOT = re.compile(rf"(?<!\S)(?:{'|'.join(map(re.escape, NEGATIONS))})(?!\S)", re.IGNORECASE)
_POLITE = re.compile(
    rf"(?:(?:{'|'.join(re.escape(word) for word in sorted(POLITE, key=len, reverse=True))})(?: ,)?(?: |$))+",
    re.IGNORECASE,
)
_PLEASE = re.compile(r"(?: ,)? (?:please|kindly|пожалуйста)(?: ,)?(?= )", re.IGNORECASE)
_TRAILING = re.compile(r"(?:(?: ,)? (?:please|thanks|thank you|пожалуйста|спасибо|,))+$", re.IGNORECASE)


class Kind(StrEnum):
    """What a clause is."""

    ORDER = "order"
    UNFINISHED = "unfinished"
    FORBIDDEN = "forbidden"
    EXPLAIN = "explain"
    NEEDS_A_MODEL = "needs_a_model"
    GREETING = "greeting"
    ABOUT_ITSELF = "about_itself"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Clause:
    """A part of a request.

    Attributes:
        kind: What it is.
        said: Its words, for people.
        intent: What is wanted, for orders and unfinished ones.
        slots: What the template took out, quotes removed.
        follows: It begins a new step; otherwise it goes with the clause before.
    """

    kind: Kind
    said: str
    intent: Intent | None = None
    slots: Mapping[str, Sequence[str]] = field(default_factory=dict)
    follows: bool = True


@dataclass(frozen=True, slots=True)
class _Segment:
    text: str
    carries_negation: bool  # joined to what stands before so closely that a negation there holds here too


def read_request(text: str) -> Sequence[Clause]:
    """Return the clauses of a text in order; empty where the text is too long to be a request."""
    if len(text) > LONGEST_TEXT:
        return ()
    masked = mask(text.replace("’", "'"))
    clauses: list[Clause] = []
    is_negated = False
    for segment in _segments(masked.text):
        is_negated = is_negated and segment.carries_negation
        for clause in _clauses(segment.text, masked, is_negated=is_negated):
            clauses.append(clause)
            is_negated = is_negated or clause.kind is Kind.FORBIDDEN
            if len(clauses) > _MOST_CLAUSES:
                return ()
    return clauses


def prepare() -> None:
    """Compile the grammar; :func:`read_request` does it otherwise, when it is first needed."""
    compile_all(table for intent in INTENTS for table in (intent.templates, intent.unfinished))
    compile_all((EXPLAIN, NEEDS_A_MODEL, GREETINGS, ABOUT_ITSELF))


def language_of(text: str) -> str:
    """Return ``ru`` if the words outside quotes hold a Cyrillic letter, ``en`` if they hold a Latin one, else empty."""
    words = mask(text[:LONGEST_TEXT]).text
    if re.search("[а-яё]", words, re.IGNORECASE):
        return "ru"
    return "en" if re.search("[a-z]", words, re.IGNORECASE) else ""


def _segments(text: str) -> Iterator[_Segment]:
    """Cut where one sentence or order certainly ends."""
    for sentence in _SENTENCE_END.split(_BULLET.sub("\n", text)):
        flat = " " + " ".join(_COMMA.sub(" , ", _COLON.sub(" ", sentence)).split())
        for part in _BUT.split(_PLEASE.sub("", f"{flat} ")):
            start, carries = 0, False
            spaced = f" {part.strip()} "
            for joint in _THEN.finditer(spaced):
                yield _Segment(spaced[start : joint.start()].strip(" ,"), carries)
                start, carries = joint.end(), joint["and"] is not None and joint["comma"] is None
            yield _Segment(spaced[start:].strip(" ,"), carries)


def _clauses(text: str, masked: Masked, *, is_negated: bool) -> Iterator[Clause]:
    """Classify a segment as a whole or, if it fits nothing, by the parts between its conjunctions."""
    if not text:
        return
    whole = _classify(text, masked)
    if whole.kind is not Kind.OTHER and not _holds_later_negation(text) and not _is_loose(whole, text):
        yield _forbid(whole) if is_negated else whole
        return
    parts = [part for part in _AND.split(f" {text} ") if part.strip(" ,")]
    classified = _join_unknown([part.strip(" ,") for part in parts], masked)
    if len(classified) == 1 or all(clause.kind is Kind.OTHER for clause in classified):
        yield _forbid(whole) if is_negated and whole.kind is not Kind.OTHER else whole
        return
    for number, clause in enumerate(classified):
        is_negated = is_negated or clause.kind is Kind.FORBIDDEN
        joined = clause if number == 0 else _with_previous(clause)
        yield _forbid(joined) if is_negated else joined


def _join_unknown(parts: Sequence[str], masked: Masked) -> list[Clause]:
    """Classify parts, giving a part that is nothing by itself back to the one before ("a.txt and b.txt")."""
    result: list[tuple[str, Clause]] = []
    for part in parts:
        clause = _classify(part, masked)
        if clause.kind is Kind.OTHER and result:
            longer = f"{result[-1][0]} and {part}"
            joined = _classify(longer, masked)
            if joined.kind is Kind.ORDER or result[-1][1].kind is not Kind.ORDER:
                result[-1] = (longer, joined)
                continue
        result.append((part, clause))
    return [clause for _, clause in result]


def _is_loose(clause: Clause, text: str) -> bool:
    """Whether a clause was recognised by an open-ended template although it holds more than one order."""
    if clause.kind is Kind.ORDER:
        return "rest" in clause.slots or "command" in clause.slots
    return clause.kind in (Kind.UNFINISHED, Kind.NEEDS_A_MODEL, Kind.EXPLAIN) and _AND.search(f" {text} ") is not None


def _holds_later_negation(text: str) -> bool:
    parts = _AND.split(f" {text} ")
    return len(parts) > 1 and not _NOT.search(parts[0]) and any(_NOT.search(part) for part in parts[1:])


def _classify(text: str, masked: Masked) -> Clause:
    said = masked.unmask(text).replace(" , ", ", ")
    if len(text) > _LONGEST_CLAUSE:
        return Clause(Kind.OTHER, said)
    kind, intent, slots = _recognise(_TRAILING.sub("", text).strip(" ,"))
    values = {
        slot: tuple(masked.unmask(part).replace(" , ", ", ") for part in _items(slot, value))
        for slot, value in slots.items()
    }
    return Clause(kind, said, intent, values)


def _recognise(text: str) -> tuple[Kind, Intent | None, Mapping[str, str]]:
    # The polite words belong to a few templates ("hi there", "can you help"), so both forms are tried.
    polite = _POLITE.match(text)
    forms = [form for form in ((text[polite.end() :] if polite else ""), text) if form]
    negated = any(_NOT.search(form) for form in forms[:1])
    for form in forms:
        for intent in INTENTS:
            slots = match(intent.templates, form)
            if slots is not None and not negated:
                return Kind.ORDER, intent, slots
            if slots is not None:
                return Kind.FORBIDDEN, intent, {}
    if negated:
        without = " ".join(_NOT.sub(" ", forms[0]).split())
        return (Kind.FORBIDDEN if without and _is_order(without) else Kind.OTHER), None, {}
    for form in forms:
        for kind, templates in ((Kind.GREETING, GREETINGS), (Kind.ABOUT_ITSELF, ABOUT_ITSELF)):
            if match(templates, form) is not None:
                return kind, None, {}
    for intent in INTENTS:
        if match(intent.unfinished, forms[0]) is not None:
            return Kind.UNFINISHED, intent, {}
    for kind, templates in ((Kind.EXPLAIN, EXPLAIN), (Kind.NEEDS_A_MODEL, NEEDS_A_MODEL)):
        if match(templates, forms[0]) is not None:
            return kind, None, {}
    return Kind.OTHER, None, {}


_INFINITIVES = re.compile(
    r"^(?:(?:do|to|ever|you|ты|вы|надо|нужно|ничего|anything|need to|want to|dare)\s+)+", re.IGNORECASE
)
_ORDER_STEMS = re.compile(
    r"^(?:read|show|open|print|list|write|writing|save|creat|run|execut|launch|delet|remov|chang|edit|touch|search|find|"
    r"call|use|modify|install|overwrit|reading|saving|"
    r"чита|прочит|прочт|покаж|показ|откры|запис|запиш|пиш|писа|сохран|созда|выполн|запуск|запуст|удал|меня|измен|"
    r"иска|ищ|найд|вызыв|использ|трога|стира|перезапис)\S*",
    re.IGNORECASE,
)


def _is_order(text: str) -> bool:
    polite = _POLITE.match(text)
    form = _INFINITIVES.sub("", text[polite.end() :] if polite else text)
    return _ORDER_STEMS.search(form) is not None


def _items(slot: str, value: str) -> Sequence[str]:
    if slot != "path":
        return (value,)
    return [item for item in re.split(r" ,(?: and| и| а также)? | (?:and|и|&|а также) ", value) if item]


def _forbid(clause: Clause) -> Clause:
    return Clause(Kind.FORBIDDEN, clause.said, follows=clause.follows)


def _with_previous(clause: Clause) -> Clause:
    return Clause(clause.kind, clause.said, clause.intent, clause.slots, follows=False)
