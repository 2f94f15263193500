"""Reviews an operation by the rules: approve, modify (with patches that would make it pass) or reject."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from iskra_chaos.ethics.errors import EthicsRefusedError
from iskra_chaos.ethics.facts import Facts
from iskra_chaos.ethics.operation import Operation, operation_hash
from iskra_chaos.ethics.rules import Kind, Language, Rule, Rules, Severity, Stage, patch_of

Decision = Literal["approve", "modify", "reject"]
Reviewer = Literal["iskriv", "kain", "iskra"]

# Iskriv asks what is meant, Kain what will come of it; Iskra puts both together.
_REVIEWERS: Mapping[Kind, Reviewer] = {
    "consent": "iskriv",
    "truthfulness": "iskriv",
    "manipulation": "iskriv",
    "transparency": "iskriv",
    "integrity": "iskriv",
    "vulnerability": "kain",
    "sensitive_domain": "kain",
    "privacy": "kain",
    "irreversibility": "kain",
    "proportionality": "kain",
}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Violation(_Part):
    """An objection; ``evidence_path`` is a JSON pointer into the operation."""

    rule: str
    kind: Kind
    severity: Severity
    evidence_path: str
    message: str


class SuggestedModification(_Part):
    """A JSON Patch (RFC 6902) of the operation and why it helps."""

    patch: list[dict[str, object]]
    reason: str


class ReviewerPart(_Part):
    """One reviewer's verdict and the rules it rests on."""

    verdict: Decision
    rules: list[str]


class Review(_Part):
    """What came of it.

    Attributes:
        suggested_modifications: Applied in this order, all of them make the operation pass; empty unless ``modify``.
        operation_hash: The operation that was reviewed.
        expires_at: After this no clearance is issued for it.
        suggested_voice: Who should speak instead of the operation.
        help: Where a person in need finds help.
        judge: Whether a language model was asked, too, and what it said; ``silent`` if it did not answer.
    """

    approved: bool
    decision: Decision
    violations: list[Violation] = Field(default_factory=list)
    suggested_modifications: list[SuggestedModification] = Field(default_factory=list)
    reviewers: dict[Reviewer, ReviewerPart]
    rules_version: str
    expires_at: datetime
    operation_hash: str
    suggested_voice: str | None = None
    help: list[str] = Field(default_factory=list)
    judge: Literal["not_asked", "silent", "no_objection", "objected"] = "not_asked"

    @model_validator(mode="after")
    def _does_not_contradict_itself(self) -> Self:
        if self.approved != (self.decision == "approve") or (self.approved and self.violations):
            raise ValueError("only a review without violations approves")
        return self

    def require_approval(self) -> None:
        """Do nothing if the operation is approved.

        Raises:
            EthicsRefusedError: It is not.
        """
        if self.approved:
            return
        reasons = " ".join(violation.message for violation in self.violations)
        mend = " ".join(part.reason for part in self.suggested_modifications)
        raise EthicsRefusedError(
            f"The operation was not cleared: {reasons}",
            mend=f"Apply the suggested modifications and ask again: {mend}" if mend else "Ask for something else.",
            facts=self.model_dump(mode="json"),
        )


@dataclass(frozen=True, slots=True)
class Audit:
    """A review and, if it asked for modifications, the one re-audit after them.

    Attributes:
        operation: The operation that may go on, modified where that was asked for.
        first: The review of the operation as it came.
        final: The review that counts.
    """

    operation: Operation
    first: Review
    final: Review


@dataclass(frozen=True, slots=True)
class _Objection:
    rule: Rule
    pointer: str


def review(operation: Operation, rules: Rules, *, language: Language, at: datetime) -> Review:
    """Review an operation in two stages; a basic rejection ends it.

    Args:
        at: Now, as the server's clock has it; the review holds from here for ``rules.valid_for`` seconds.

    An operation that was modified once (``revision`` 1) is approved or rejected, never sent back again.
    """
    remembered: dict[str, dict[str, str]] = {}
    facts = rules.facts(operation, remembered)
    objections = _objections(facts, rules)
    modifications: list[SuggestedModification] | None = []
    if objections:
        modifications = None
        if operation.revision == 0 and all(objection.rule.outcome == "modify" for objection in objections):
            modifications = _modifications(operation, rules, language, remembered)
    decision: Decision = "approve" if not objections else "reject" if modifications is None else "modify"
    return Review(
        approved=decision == "approve",
        decision=decision,
        violations=[_violation(objection, language, facts) for objection in objections],
        suggested_modifications=modifications or [],
        reviewers=_parts(objections, decision),
        rules_version=rules.version,
        expires_at=at + timedelta(seconds=rules.valid_for),
        operation_hash=operation_hash(operation),
        suggested_voice=next((objection.rule.voice for objection in objections if objection.rule.voice), None),
        help=list(dict.fromkeys(o.rule.help.filled(language, facts) for o in objections if o.rule.help is not None)),
    )


def audit(operation: Operation, rules: Rules, *, language: Language, at: datetime) -> Audit:
    """Review, apply what is suggested, and review once more: the second review approves or rejects."""
    first = review(operation, rules, language=language, at=at)
    if first.decision != "modify":
        return Audit(operation, first, first)
    changed = modified(operation, first.suggested_modifications).model_copy(update={"revision": 1})
    return Audit(changed, first, review(changed, rules, language=language, at=at))


def modified(operation: Operation, modifications: Sequence[SuggestedModification]) -> Operation:
    """Return the operation with suggested modifications applied in order.

    Raises:
        ValueError: A patch is not one that a review suggests.
    """
    changed = operation
    for modification in modifications:
        for change in modification.patch:
            member = str(change["path"]).removeprefix("/")
            if change["op"] != "replace" or member not in Operation.model_fields:
                raise ValueError(f"reviews suggest no such change: {change['op']} {change['path']}")
            changed = Operation.model_validate({**dict(changed), member: change["value"]})
    return changed


def tightened(given: Review, violations: Sequence[Violation]) -> Review:
    """Return the review with further objections, such as a model's: any of them turns it into a rejection.

    Nothing that is passed here can make a review milder.
    """
    if not violations:
        return given
    return given.model_copy(
        update={
            "approved": False,
            "decision": "reject",
            "violations": [*given.violations, *violations],
            "suggested_modifications": [],
            "reviewers": {
                **given.reviewers,
                "iskra": ReviewerPart(
                    verdict="reject", rules=[violation.rule for violation in (*given.violations, *violations)]
                ),
            },
        }
    )


def _objections(facts: Facts, rules: Rules) -> list[_Objection]:
    basic = _objections_of("basic", facts, rules)
    if any(objection.rule.outcome == "reject" for objection in basic):
        return basic
    return basic + _objections_of("chaos", facts, rules)


def _objections_of(stage: Stage, facts: Facts, rules: Rules) -> list[_Objection]:
    return [
        _Objection(rule, pointer)
        for rule in rules.rules
        if rule.stage == stage and (pointer := rule.evidence(facts)) is not None
    ]


def _modifications(
    operation: Operation, rules: Rules, language: Language, remembered: dict[str, dict[str, str]]
) -> list[SuggestedModification] | None:
    """Return what makes the operation pass, or ``None`` where one modification leads to an objection for good.

    One change can call for another (a lower intensity allows a smaller share), so the changed operation is looked at
    again until nobody objects. Each rule gets one try.
    """
    suggested: list[SuggestedModification] = []
    tried: set[str] = set()
    changed = operation
    while objections := _objections(facts := rules.facts(changed, remembered), rules):
        rule = objections[0].rule
        if rule.mend is None or rule.id in tried or any(o.rule.outcome == "reject" for o in objections):
            return None
        tried.add(rule.id)
        modification = SuggestedModification(
            patch=[dict(change) for change in patch_of(rule.mend, facts)],
            reason=rule.mend.reason.filled(language, facts),
        )
        suggested.append(modification)
        changed = modified(changed, [modification])
    return suggested


def _violation(objection: _Objection, language: Language, facts: Facts) -> Violation:
    rule = objection.rule
    return Violation(
        rule=rule.id,
        kind=rule.kind,
        severity=rule.severity,
        evidence_path=objection.pointer,
        message=rule.message.filled(language, facts),
    )


def _parts(objections: Sequence[_Objection], decision: Decision) -> dict[Reviewer, ReviewerPart]:
    parts: dict[Reviewer, ReviewerPart] = {}
    for reviewer in ("iskriv", "kain"):
        own = [objection.rule for objection in objections if _REVIEWERS[objection.rule.kind] == reviewer]
        rejects = any(rule.outcome == "reject" for rule in own)
        verdict: Decision = "reject" if rejects else "modify" if own else "approve"
        parts["iskriv" if reviewer == "iskriv" else "kain"] = ReviewerPart(
            verdict=verdict, rules=[rule.id for rule in own]
        )
    parts["iskra"] = ReviewerPart(verdict=decision, rules=[objection.rule.id for objection in objections])
    return parts
