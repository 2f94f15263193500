"""Whether an answer leaves known facts as they are: each fact's canonical form is hashed as given and as restated.

The canonical form of a statement is what it is about (content stems), the values it gives (numbers with their units,
dates, times, names, quotations) and whether it is denied. Wording, order and inflection make no difference. It sees
what stands on the surface: numbers written in words, and facts that take knowledge to recognise, are not compared.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from iskra_metrics.fact_values import Value, without_values
from iskra_metrics.opposition import contradictions
from iskra_metrics.text import sentences, stems

MOST_FACTS = 100
MOST_SENTENCES = 200
_LONGEST = 600  # characters of a statement

_SUPPOSED = re.compile(
    r"\b(?:if|suppose|supposing|imagine|assume|assuming|assumption|pretend|were|would|hypothetically|"
    r"если|представь\w*|допустим|допущение|предположим|вообрази\w*|пусть|будь|бы)\b|\[(?:HYP|ГИП)\]",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Canonical:
    """What a statement says, without how.

    Attributes:
        about: Stems of its content words, values left out.
        values: What it gives.
        is_denied: It says that this is not so.
    """

    about: frozenset[str]
    values: frozenset[Value]
    is_denied: bool = False

    @property
    def digest(self) -> str:
        """SHA-256 of the form, as hexadecimal digits."""
        values = sorted([value.kind, value.unit, value.text] for value in self.values)
        text = json.dumps([sorted(self.about), values, self.is_denied], ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ChangedFact:
    """A fact that an answer gives otherwise.

    Attributes:
        fact: As it was known.
        sentence: Of the answer.
        before: Digest of the fact.
        after: Digest of the fact as the sentence has it.
    """

    fact: str
    sentence: str
    before: str
    after: str


def canonical(statement: str) -> Canonical:
    """Return the canonical form of a statement."""
    rest, values = without_values(statement[:_LONGEST])
    return Canonical(frozenset(stems(rest)), frozenset(values))


def restated(fact: str, sentence: str) -> Canonical | None:
    """Return the canonical form of a fact as a sentence gives it; ``None`` where the sentence is about something else.

    A sentence is about a fact if it has two of its content stems, and half of them. A value of the fact that the
    sentence leaves out and replaces by another of its kind is changed; one that it only leaves out is not.
    """
    known, said = canonical(fact), canonical(sentence)
    shared = len(known.about & said.about)
    if not shared or shared < min(2, len(known.about)) or shared < math.ceil(len(known.about) / 2):
        return None
    values = known.values
    for value in known.values:
        alike = {other for other in said.values if value.is_comparable(other)}
        given = {other for other in alike if any(other.is_same(each) for each in known.values)}
        is_left_out = not any(value.is_same(other) for other in alike)
        if is_left_out and alike - given:
            values = (values - {value}) | (alike - given)
    opposed = any(found.kind != "number" for found in contradictions([fact[:_LONGEST], sentence[:_LONGEST]]))
    return replace(known, values=values, is_denied=opposed)


def changed_facts(facts: Sequence[str], answer: str, *, counts_suppositions: bool = True) -> list[ChangedFact]:
    """Return the facts whose hash is another one in the answer, in their order, each once.

    Args:
        facts: Statements; the last 100 are looked at.
        answer: Its first 200 sentences are looked at; questions state nothing.
        counts_suppositions: A sentence that only supposes ("if", "imagine", ``[HYP]``) states something too.
    """
    said = [
        sentence
        for sentence in sentences(answer)[:MOST_SENTENCES]
        if not sentence.rstrip().endswith("?") and (counts_suppositions or not _SUPPOSED.search(sentence))
    ]
    return [changed for fact in facts[-MOST_FACTS:] if (changed := _first_change(fact, said)) is not None]


def current(facts: Iterable[str]) -> list[str]:
    """Return the facts, oldest first, without those that a later one gives otherwise: people correct themselves."""
    kept: list[str] = []
    for fact in facts:
        kept = [earlier for earlier in kept if _first_change(earlier, [fact]) is None]
        kept.append(fact)
    return kept


def gives_values(statement: str) -> bool:
    """Tell whether a statement has a number, a date, a name or a quotation."""
    return bool(without_values(statement[:_LONGEST])[1])


def _first_change(fact: str, said: Sequence[str]) -> ChangedFact | None:
    before = canonical(fact).digest
    for sentence in said:
        form = restated(fact, sentence)
        if form is not None and form.digest != before:
            return ChangedFact(fact, sentence, before, form.digest)
    return None
