"""The facts of an operation by name: what rules compare, and where in the operation each one stands."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from iskra_chaos.ethics.classifier import NOTHING, Likelihood
from iskra_chaos.ethics.operation import Operation, SessionFacts
from iskra_chaos.ethics.private_data import redacted
from iskra_chaos.ethics.terms import Terms
from iskra_metrics.distress import in_crisis

FactValue = object
_SAID = "/session/said"
LEVEL_TWO, LEVEL_THREE = 0.4, 0.7
_JUSTIFIED_ABOVE_STALENESS = 0.3
_LEAST_INTENSITY = 0.1
_SHARE_CAPS = {"production": 0.01, "staging": 0.25, "test": 1.0}
_TURNS_BETWEEN_OPERATIONS = 3
_TURNS_BETWEEN_RESETS = 10
# Branches of a JSON document that no operation may edit; "/fact" itself contains the verified data.
_PROTECTED = frozenset(("verified_data", "audit", "ethics", "limits", "rules", "permissions", "clearances"))
_HOLDS_PROTECTED = frozenset(("", "fact"))


@dataclass(frozen=True, slots=True)
class Fact:
    """A value and the JSON pointer of the part of the operation that shows it."""

    value: FactValue
    pointer: str


class Facts:
    """Everything that rules may ask about one operation, worked out when first asked for.

    Args:
        operation: The operation.
        terms: The word lists.
        likelihood: What the classifier thinks of texts.
        remembered: Finds in texts that were read before: a modified operation has mostly the same texts.
    """

    def __init__(
        self,
        operation: Operation,
        terms: Terms,
        likelihood: Likelihood,
        remembered: dict[str, dict[str, str]] | None = None,
    ) -> None:
        self.operation = operation
        self.remembered = {} if remembered is None else remembered
        self._terms = terms
        self._likelihood = likelihood

    def fact(self, name: str) -> Fact:
        """Return a fact; names are those of :func:`fact_names`."""
        if name in _DERIVED:
            return _DERIVED[name](self.operation)
        if name.startswith("reading."):
            metric = name.removeprefix("reading.")
            return Fact(self.operation.session.readings.get(metric, 0.0), f"/session/readings/{metric}")
        if name.startswith("session."):
            field = name.removeprefix("session.")
            return Fact(getattr(self.operation.session, field), f"/session/{field}")
        return Fact(getattr(self.operation, name), f"/{name}")

    def mention(self, terms: str, within: str = "", *, said: bool = False) -> Fact | None:
        """Return the words of a list that occur in a text whose pointer begins with ``within``, or ``None``.

        What the person wrote before is read only if ``said``.
        """
        for pointer, found in self._finds:
            if terms in found and pointer.startswith(within) and (said or not pointer.startswith(_SAID)):
                return Fact(found[terms], pointer)
        return None

    def likely(self, labels: Sequence[str], within: str = "", *, said: bool = False) -> Fact:
        """Return how likely it is that a sentence is one of the labels rather than nothing to object to.

        The sentence for which it is likeliest counts, of the texts whose pointer begins with ``within``; other labels
        are left out of the comparison. The value is in [0, 1], and 0 where there is no classifier.
        """
        best = Fact(0.0, within)
        for pointer, text in _texts(self.operation):
            if not pointer.startswith(within) or (pointer.startswith(_SAID) and not said):
                continue
            for probabilities in self._likelihood.of(text):
                wanted = sum(probabilities[label] for label in labels)
                likely = wanted / (wanted + probabilities[NOTHING])
                if likely > float(str(best.value)):
                    best = Fact(likely, pointer)
        return best

    @cached_property
    def _finds(self) -> list[tuple[str, dict[str, str]]]:
        finds = []
        for pointer, text in _texts(self.operation):
            if text not in self.remembered:
                self.remembered[text] = self._terms.found(text)
            finds.append((pointer, self.remembered[text]))
        return finds


def fact_names() -> frozenset[str]:
    """Return the names that rules may use, without those of the readings (``reading.<metric>``)."""
    own = (name for name in Operation.model_fields if name != "session")
    return frozenset((*own, *(f"session.{name}" for name in SessionFacts.model_fields), *_DERIVED))


def _texts(operation: Operation) -> Iterator[tuple[str, str]]:
    if operation.session.request:
        yield "/session/request", operation.session.request
    for number, text in enumerate(operation.session.said):
        yield f"{_SAID}/{number}", text
    if operation.session.goal:
        yield "/session/goal", operation.session.goal
    if operation.prompt_card:
        yield "/prompt_card", operation.prompt_card
    for number, insertion in enumerate(operation.insertions):
        yield f"/insertions/{number}/text", insertion.text


def _level(operation: Operation) -> Fact:
    level = 1 + (operation.intensity >= LEVEL_TWO) + (operation.intensity >= LEVEL_THREE)
    return Fact(level, "/intensity")


def _is_in_crisis(operation: Operation) -> Fact:
    if operation.session.in_crisis:
        return Fact(True, "/session/in_crisis")
    return Fact(in_crisis(operation.session.request), "/session/request")


def _in_sandbox(operation: Operation) -> Fact:
    return Fact(operation.sandboxed or operation.session.is_sandbox, "/sandboxed")


def _justified_intensity(operation: Operation) -> Fact:
    staleness = operation.session.readings.get("staleness", 0.0)
    return Fact(max(_LEAST_INTENSITY, round(min(1.0, staleness + _JUSTIFIED_ABOVE_STALENESS), 6)), "/intensity")


def _allowed_share(operation: Operation) -> Fact:
    cap = _SHARE_CAPS[operation.session.environment]
    return Fact(min(cap, math.floor((0.01 + 0.09 * operation.intensity) * 1e6 + 0.5) / 1e6), "/share")


def _needed_delay(operation: Operation) -> Fact:
    """Turns the operation has to wait so that the conversation rests in between."""
    waits = [0]
    if operation.session.turns_since_operation is not None:
        waits.append(_TURNS_BETWEEN_OPERATIONS - operation.session.turns_since_operation)
    if operation.operation_type == "fire_reset" and operation.session.turns_since_reset is not None:
        waits.append(_TURNS_BETWEEN_RESETS - operation.session.turns_since_reset)
    return Fact(max(waits), "/delay_turns")


def _is_approved_by_another(operation: Operation) -> Fact:
    return Fact(bool((operation.approver or "").strip()) and not _is_self_approved(operation).value, "/approver")


def _is_self_approved(operation: Operation) -> Fact:
    approver = (operation.approver or "").strip().casefold()
    return Fact(bool(approver) and approver == operation.initiator.strip().casefold(), "/approver")


def _touches_protected(operation: Operation) -> Fact:
    for number, pointer in enumerate(operation.touches):
        parts = [part.replace("~1", "/").replace("~0", "~").casefold() for part in pointer.strip().split("/")]
        if parts[-1] in _HOLDS_PROTECTED or not _PROTECTED.isdisjoint(parts):
            return Fact(True, f"/touches/{number}")
    return Fact(False, "/touches")


def _shows_unproven_fact(operation: Operation) -> Fact:
    for number, insertion in enumerate(operation.insertions):
        if insertion.tag == "FACT" and insertion.text not in operation.verified_facts:
            return Fact(True, f"/insertions/{number}/tag")
    return Fact(False, "/insertions")


def _is_certain(operation: Operation) -> Fact:
    for number, insertion in enumerate(operation.insertions):
        if insertion.confidence >= 1.0:
            return Fact(True, f"/insertions/{number}/confidence")
    return Fact(False, "/insertions")


def _has_canary(operation: Operation) -> Fact:
    for number, insertion in enumerate(operation.insertions):
        if insertion.tag == "CANARY":
            return Fact(True, f"/insertions/{number}/tag")
    return Fact(operation.injection_type == "contradiction_points", "/injection_type")


def _has_card(operation: Operation) -> Fact:
    return Fact(bool(operation.prompt_card.strip()), "/prompt_card")


def _prompt_card_redacted(operation: Operation) -> Fact:
    return Fact(redacted(operation.prompt_card), "/prompt_card")


def _journal_note_redacted(operation: Operation) -> Fact:
    return Fact(redacted(operation.journal_note), "/journal_note")


def _insertions_redacted(operation: Operation) -> Fact:
    clean = tuple(insertion.model_copy(update={"text": redacted(insertion.text)}) for insertion in operation.insertions)
    return Fact(clean, "/insertions")


_DERIVED: Mapping[str, Callable[[Operation], Fact]] = {
    "level": _level,
    "is_in_crisis": _is_in_crisis,
    "in_sandbox": _in_sandbox,
    "justified_intensity": _justified_intensity,
    "allowed_share": _allowed_share,
    "needed_delay": _needed_delay,
    "is_approved_by_another": _is_approved_by_another,
    "is_self_approved": _is_self_approved,
    "touches_protected": _touches_protected,
    "shows_unproven_fact": _shows_unproven_fact,
    "is_certain": _is_certain,
    "has_canary": _has_canary,
    "has_card": _has_card,
    "prompt_card_redacted": _prompt_card_redacted,
    "journal_note_redacted": _journal_note_redacted,
    "insertions_redacted": _insertions_redacted,
}
