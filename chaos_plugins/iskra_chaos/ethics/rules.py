"""The ethics rules as data: their shape, how a condition is tested, and how the packaged file is read.

A condition names a fact or a word list and what to compare it with; there is no expression language, so a rules file
cannot run anything.
"""

import tomllib
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from iskra_chaos.ethics.classifier import LABELS, MODEL_FILE, Likelihood
from iskra_chaos.ethics.facts import Fact, Facts, fact_names
from iskra_chaos.ethics.operation import Operation
from iskra_chaos.ethics.terms import TermList, Terms
from iskra_sdk.errors import ConfigurationError

Language = Literal["ru", "en"]
Kind = Literal[
    "consent",
    "vulnerability",
    "sensitive_domain",
    "truthfulness",
    "manipulation",
    "transparency",
    "privacy",
    "integrity",
    "irreversibility",
    "proportionality",
]
Severity = Literal["low", "medium", "high", "critical"]
Outcome = Literal["modify", "reject"]
Stage = Literal["basic", "chaos"]

# What a modification may replace: parts of the request, and never what the server knows of the session or the people.
_MENDABLE = frozenset(
    (
        "intensity",
        "sandboxed",
        "disclosed",
        "prompt_card",
        "journal_note",
        "insertions",
        "hypotheses_labelled",
        "base_answer_first",
        "share",
        "delay_turns",
        "memory",
    )
)


class _Datum(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, allow_inf_nan=False)


class InTwoLanguages(_Datum):
    """A text in Russian and English; ``$name`` stands for the value of a fact."""

    ru: str = Field(min_length=1)
    en: str = Field(min_length=1)

    def filled(self, language: Language, facts: Facts) -> str:
        """Return the text with the facts' values in place."""
        template = Template(self.ru if language == "ru" else self.en)
        values = {name: _shown(facts.fact(name).value) for name in template.get_identifiers()}
        return template.substitute(values)


class Condition(_Datum):
    """One test. Exactly one of ``fact``, ``mentions``, ``likely``, ``any`` and ``all`` is given.

    Attributes:
        fact: Name of a fact, compared by exactly one of the next fields; a string given for a bound names another fact.
        mentions: Name of a word list that some text of the operation has to mention.
        likely: Labels of the classifier; ``at_least`` is the probability that a sentence has to be one of them.
        within: Only texts whose JSON pointer begins so are read for ``mentions`` and ``likely``.
        said: What the person wrote before is read, too.
    """

    fact: str | None = None
    equals: bool | str | int | None = None
    one_of: tuple[str, ...] | None = None
    above: float | str | None = None
    at_least: float | str | None = None
    below: float | str | None = None
    differs_from: str | None = None
    contains_any: tuple[str, ...] | None = None
    mentions: str | None = None
    likely: tuple[str, ...] | None = None
    within: str = ""
    said: bool = False
    any: "tuple[Condition, ...] | None" = None
    all: "tuple[Condition, ...] | None" = None

    @model_validator(mode="after")
    def _is_one_test(self) -> Self:
        comparisons = (self.equals, self.one_of, self.above, self.at_least, self.below, self.differs_from)
        given = sum(part is not None for part in (*comparisons, self.contains_any))
        heads = sum(part is not None for part in (self.fact, self.mentions, self.likely, self.any, self.all))
        if heads != 1 or given != (self.fact is not None or self.likely is not None):
            raise ValueError("a condition is a fact with one comparison, likely with at_least, mentions, any or all")
        if self.likely is not None and not (set(self.likely) <= set(LABELS) and isinstance(self.at_least, float)):
            raise ValueError(f"likely takes labels of {', '.join(LABELS)} and at_least")
        for name in (self.fact, self.differs_from, self.above, self.at_least, self.below):
            if isinstance(name, str) and name not in fact_names() and not name.startswith("reading."):
                raise ValueError(f"there is no fact {name!r}")
        return self

    def shown_by(self, facts: Facts) -> str | None:
        """Return the JSON pointer of what makes the condition true, or ``None`` where it is false."""
        if self.mentions is not None:
            mention = facts.mention(self.mentions, self.within, said=self.said)
            return None if mention is None else mention.pointer
        if self.likely is not None:
            likely = facts.likely(self.likely, self.within, said=self.said)
            return likely.pointer if self._holds(likely, facts) else None
        if self.any is not None:
            return next((shown for part in self.any if (shown := part.shown_by(facts)) is not None), None)
        if self.all is not None:
            return last_shown(self.all, facts)
        fact = facts.fact(self.fact or "")
        return fact.pointer if self._holds(fact, facts) else None

    def _holds(self, fact: Fact, facts: Facts) -> bool:
        value = fact.value
        if self.equals is not None:
            return value == self.equals
        if self.one_of is not None:
            return value in self.one_of
        if self.contains_any is not None:
            return isinstance(value, tuple) and not set(self.contains_any).isdisjoint(value)
        if self.differs_from is not None:
            return value != facts.fact(self.differs_from).value
        if not isinstance(value, int | float):
            return False
        if self.above is not None:
            return value > _bound(self.above, facts)
        if self.at_least is not None:
            return value >= _bound(self.at_least, facts)
        return self.below is not None and value < _bound(self.below, facts)


class Mending(_Datum):
    """A replacement that makes the rule's objection go away.

    Attributes:
        path: JSON pointer of a member of the request.
        value: The new value, or, with ``fact``, none.
        fact: Name of the fact whose value is taken.
    """

    path: str
    value: bool | float | int | str | None = None
    fact: str | None = None
    reason: InTwoLanguages

    @model_validator(mode="after")
    def _is_mendable(self) -> Self:
        if self.path.removeprefix("/") not in _MENDABLE:
            raise ValueError(f"{self.path!r} is not a part of the request that may be replaced")
        if (self.value is None) == (self.fact is None) or (self.fact is not None and self.fact not in fact_names()):
            raise ValueError("a mending takes either a value or the name of a fact")
        return self


class Rule(_Datum):
    """An objection.

    Attributes:
        stage: ``basic`` rules come first; if one rejects, the ``chaos`` rules are not asked.
        when: All of these have to hold. The last one tells where the evidence is.
        unless: Any one of these lifts the objection.
        mend: For a ``modify`` rule, what lifts it.
        voice: Who should speak instead, where somebody is to be cared for.
    """

    id: str = Field(pattern=r"^[a-z_]+\.[a-z0-9-]+$")
    kind: Kind
    stage: Stage
    outcome: Outcome
    severity: Severity
    when: tuple[Condition, ...] = Field(min_length=1)
    unless: tuple[Condition, ...] = ()
    message: InTwoLanguages
    mend: Mending | None = None
    voice: str | None = None
    help: InTwoLanguages | None = None

    @model_validator(mode="after")
    def _mends_what_it_wants_modified(self) -> Self:
        if (self.outcome == "modify") != (self.mend is not None):
            raise ValueError("a modify rule has a mend, and a reject rule has none")
        return self

    def evidence(self, facts: Facts) -> str | None:
        """Return the JSON pointer of the evidence, or ``None`` where there is no objection."""
        shown = last_shown(self.when, facts)
        if shown is None or any(condition.shown_by(facts) is not None for condition in self.unless):
            return None
        return shown


class _RulesFile(_Datum):
    version: str = Field(min_length=1)
    valid_for: Annotated[float, Field(gt=0.0, le=3_600.0)]
    rule: tuple[Rule, ...] = Field(min_length=1)


class _TermListDatum(_Datum):
    phrases: tuple[str, ...] = Field(min_length=1)
    exceptions: tuple[str, ...] = ()
    negatable: bool = False


class Rules:
    """All rules with their word lists.

    Args:
        rules: The content of a rules file.
        terms: The content of a word list file.
        classifier: The classifier's file; where it cannot be read, word lists alone decide.

    Attributes:
        version: Changes with every change of the data.
        valid_for: Seconds a review holds.

    Raises:
        ConfigurationError: The data cannot be used; the message names the rule or list.
    """

    def __init__(self, rules: str, terms: str, classifier: Path = MODEL_FILE) -> None:
        try:
            parsed = _RulesFile.model_validate(tomllib.loads(rules))
            lists = {name: _TermListDatum.model_validate(data) for name, data in tomllib.loads(terms).items()}
            self.terms = Terms(
                {name: TermList(data.phrases, data.exceptions, data.negatable) for name, data in lists.items()}
            )
            _refuse_unknown_lists(parsed.rule, self.terms)
        except (ValidationError, ValueError) as exc:
            raise ConfigurationError(
                f"The ethics rules cannot be used: {exc}", mend="Mend the rules file; nothing is cleared without it."
            ) from exc
        self.rules: Sequence[Rule] = parsed.rule
        self._likelihood = Likelihood(classifier)
        digest = sha256("\0".join((rules, terms, self._likelihood.source)).encode()).hexdigest()
        self.version = f"{parsed.version}+{digest[:8]}"
        self.valid_for = parsed.valid_for

    def facts(self, operation: Operation, remembered: dict[str, dict[str, str]] | None = None) -> Facts:
        """Return the facts of an operation as these rules see them."""
        return Facts(operation, self.terms, self._likelihood, remembered)


def packaged_rules() -> Rules:
    """Read the rules that come with the plugin; once per process is enough."""
    folder = files("iskra_chaos.ethics")
    return Rules((folder / "rules.toml").read_text("utf-8"), (folder / "terms.toml").read_text("utf-8"))


def last_shown(conditions: Sequence[Condition], facts: Facts) -> str | None:
    """Return where the last of the conditions is shown, or ``None`` unless all hold."""
    shown = None
    for condition in conditions:
        shown = condition.shown_by(facts)
        if shown is None:
            return None
    return shown


def _bound(bound: float | str, facts: Facts) -> float:
    value = facts.fact(bound).value if isinstance(bound, str) else bound
    return float(value) if isinstance(value, int | float) else float("nan")


def _refuse_unknown_lists(rules: Sequence[Rule], terms: Terms) -> None:
    seen: set[str] = set()
    for rule in rules:
        if rule.id in seen:
            raise ValueError(f"two rules are called {rule.id!r}")
        seen.add(rule.id)
        for condition in (*rule.when, *rule.unless):
            _refuse_unknown_list(rule.id, condition, terms)


def _refuse_unknown_list(rule: str, condition: Condition, terms: Terms) -> None:
    if condition.mentions is not None and condition.mentions not in terms:
        raise ValueError(f"{rule}: there is no word list {condition.mentions!r}")
    for part in (*(condition.any or ()), *(condition.all or ())):
        _refuse_unknown_list(rule, part, terms)


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def patch_of(mending: Mending, facts: Facts) -> list[Mapping[str, object]]:
    """Return the mending as a JSON Patch (RFC 6902)."""
    value = mending.value if mending.fact is None else facts.fact(mending.fact).value
    if isinstance(value, tuple):
        value = [item.model_dump(mode="json") if isinstance(item, BaseModel) else item for item in value]
    return [{"op": "replace", "path": mending.path, "value": value}]
