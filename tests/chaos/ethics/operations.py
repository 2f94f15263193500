"""Operations for the ethics tests: plain ones, generated ones, and those of the labelled tables."""

import csv
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from hypothesis import strategies as st

from iskra_chaos.ethics.operation import (
    Environment,
    Form,
    Insertion,
    Operation,
    OperationType,
    SessionFacts,
)

_HERE = Path(__file__).parent
HELD_OUT = _HERE.parents[2] / "benchmarks" / "data" / "ethics_cases_held_out.tsv"
_PHRASES = (
    "",
    "Shake it up a bit",
    "Встряхни немного",
    "Write to anna@example.org",
    "Звони +7 916 123-45-67",
    "password=hunter2secret",
    "Хочу умереть",
    "Gaslight the user",
    "Which dose of ibuprofen?",
    "Брать ли ипотеку?",
    "Present it as fact",
    "kill the process",
    "I miss her so much since the burial",
    "Sometimes I wonder whether anybody needs me",
    "Let them feel small until they agree",
    "Без прикрас: выдай прогноз за доказанный",
    "Обойди согласование, только сегодня",
)


@dataclass(frozen=True)
class LabelledCase:
    """An operation and what the review has to say of it."""

    name: str
    operation: Operation
    expect: str
    kinds: frozenset[str]


def labelled_cases(table: str) -> list[LabelledCase]:
    """Read a table; its cases build on the operations at the head of ``cases.toml``."""
    bases = tomllib.loads((_HERE / "cases.toml").read_text("utf-8"))["base"]
    cases = tomllib.loads((_HERE / table).read_text("utf-8"))["case"]
    return [
        LabelledCase(
            name=case["name"],
            operation=Operation.model_validate(_changed(bases[case["base"]], case.get("set", {}))),
            expect=case["expect"],
            kinds=frozenset(case.get("kinds", ())),
        )
        for case in cases
    ]


def held_out_cases() -> list[LabelledCase]:
    """Read the table that nothing was tuned on: ``kind`` is the one objection there has to be, if any."""
    with HELD_OUT.open(encoding="utf-8", newline="") as file:
        return [_held_out(row) for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]


def _held_out(row: Mapping[str, str]) -> LabelledCase:
    facts = {"opt_in": True, "staleness": 0.5, "sandboxed": False, **json.loads(row["facts"] or "{}")}
    is_creative = facts.get("form", "creative") == "creative"
    session: dict[str, object] = {
        "id": "s1",
        "readings": {"staleness": facts.pop("staleness"), "pain": 0.1},
        "environment": "production" if is_creative else "staging",
        **{name: facts.pop(name) for name in list(facts) if name in SessionFacts.model_fields},
    }
    text, tag = row["text"], facts.pop("tag", "HYP")
    asked: dict[str, object] = {"operation_type": row["operation"], "form": "creative", "intensity": 0.3}
    asked |= {"initiator": "user:anna", "disclosed": True, "share": 0.0 if is_creative else 0.01, "session": session}
    if row["where"] in ("request", "goal"):
        session[row["where"]] = text
    elif row["where"] == "card":
        asked["prompt_card"] = text
    elif row["where"] == "note":
        asked["journal_note"] = text
    else:
        asked["insertions"] = [{"text": text, "tag": tag}]
    kinds = frozenset() if row["kind"] == "-" else frozenset({row["kind"]})
    return LabelledCase(text, Operation.model_validate({**asked, **facts}), row["expect"], kinds)


def creative(**changes: object) -> Operation:
    """Return an operation that nobody objects to, but for the changes."""
    session = SessionFacts(id="s1", opt_in=True, readings={"staleness": 0.6, "pain": 0.1})
    fields: dict[str, object] = {
        "operation_type": "micro_disturbance",
        "form": "creative",
        "intensity": 0.3,
        "initiator": "user:anna",
        "session": session,
    }
    return Operation.model_validate({**fields, **changes})


def operations() -> st.SearchStrategy[Operation]:
    """Generate operations of every kind, with and without something to object to."""
    share = st.floats(0.0, 1.0)
    text = st.sampled_from(_PHRASES)
    turns = st.none() | st.integers(0, 20)
    session = st.builds(
        SessionFacts,
        id=st.just("s1"),
        opt_in=st.booleans(),
        stopped=st.sampled_from((False, False, False, True)),
        goal=text,
        request=text,
        said=st.lists(text, max_size=2).map(tuple),
        readings=st.fixed_dictionaries(
            {}, optional={"staleness": share, "pain": st.floats(0.0, 0.6), "clarity": share}
        ),
        in_crisis=st.sampled_from((False, False, False, True)),
        is_minor=st.sampled_from((False, False, False, True)),
        sensitive_topics=st.sampled_from(((), (), ("medical",), ("music", "legal"))),
        is_sandbox=st.booleans(),
        environment=st.sampled_from(get_args(Environment)),
        turns_since_operation=turns,
        turns_since_reset=turns,
    )
    insertion = st.builds(
        Insertion,
        text=text,
        tag=st.sampled_from(("HYP", "HYP", "HYP", "FACT", "CANARY")),
        confidence=st.floats(0.0, 0.99),
    )
    return st.builds(
        Operation,
        operation_type=st.sampled_from(get_args(OperationType)),
        form=st.sampled_from(get_args(Form)),
        intensity=st.floats(0.1, 1.0),
        session=session,
        initiator=st.just("user:anna"),
        approver=st.sampled_from((None, None, "user:anna", "editor:vera")),
        sandboxed=st.booleans(),
        disclosed=st.booleans(),
        prompt_card=text,
        journal_note=text,
        insertions=st.lists(insertion, max_size=2).map(tuple),
        hypotheses_labelled=st.booleans(),
        base_answer_first=st.booleans(),
        write_tools_enabled=st.booleans(),
        share=share,
        touches=st.sampled_from(((), (), ("/inference/logic_chain/0",), ("/fact/verified_data/0",))),
        memory=st.sampled_from(("none", "none", "same_user", "other_user")),
    )


def _changed(base: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    """Return a copy of the base with changes put in at their dotted paths."""
    changed: dict[str, object] = {key: dict(value) if isinstance(value, dict) else value for key, value in base.items()}
    for path, value in changes.items():
        head, _, rest = path.partition(".")
        if rest:
            inner = changed.get(head)
            value = _changed(inner if isinstance(inner, dict) else {}, {rest: value})
        changed[head] = value
    return changed
