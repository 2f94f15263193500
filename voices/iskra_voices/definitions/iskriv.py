"""Iskriv audits what is claimed and what it stands on."""

import re

from iskra_voices.answer_shape import labelled, prose, question_count, table
from iskra_voices.policy import Check, Policy, Scene

MOST_QUESTIONS = 3

_VERDICT = r"verdict|вердикт"
_FIX = r"fix|правка|исправление"
VERDICTS = {
    "approve": "approve",
    "modify": "modify",
    "reject": "reject",
    "одобрить": "approve",
    "изменить": "modify",
    "отклонить": "reject",
}
_WORD = r"[a-zа-я]+"
_CLAIM_ID = r"\b[A-Z][\w-]*\d\b"
_NOTHING = frozenset({"", "-", "—", "none", "нет", "n/a"})


def verdict_of(answer: str) -> str:
    """Return ``approve``, ``modify`` or ``reject``, or the empty string where there is no single verdict."""
    found = [word.group() for text in labelled(answer, _VERDICT) if (word := re.search(_WORD, text.lower()))]
    return VERDICTS.get(found[0], "") if len(found) == 1 else ""


def tables_the_claims(answer: str, _scene: Scene) -> bool:
    rows = table(answer)
    return bool(rows) and all(len(row) >= 3 and row[1] and row[2] for row in rows)


def claims_resolve(answer: str, scene: Scene) -> bool:
    ids = [found.group() for row in table(answer) if (found := re.search(_CLAIM_ID, row[0]))]
    if not scene.claims:
        return True
    return len(ids) == len(table(answer)) and all(each in scene.claims for each in ids)


def asks_little(answer: str, _scene: Scene) -> bool:
    return question_count(answer) <= MOST_QUESTIONS


def gives_a_verdict(answer: str, _scene: Scene) -> bool:
    return bool(verdict_of(answer))


def proposes_a_fix(answer: str, _scene: Scene) -> bool:
    if verdict_of(answer) == "approve":
        return True
    return any(fix.lower().strip(" .*") not in _NOTHING for fix in labelled(prose(answer), _FIX))


ISKRIV = Policy(
    name="iskriv",
    russian="Искрив",
    aliases=("искрив",),
    purpose="ethical_approval",
    description="Audits claims, evidence and drift, and gives a verdict.",
    description_ru="Проверяет утверждения, опору и уход от цели, выносит вердикт.",
    manner="You speak as Iskriv: quiet and asking. You check what is claimed, what it stands on, and where it drifts.",
    checks=(
        Check(
            "tables_the_claims",
            "Give a table with the columns claim, source (or none), status (| утверждение | источник | статус |).",
            tables_the_claims,
        ),
        Check("claims_resolve", "Name each claim by its id from the list of claims, e.g. C1.", claims_resolve),
        Check("asks_little", f"Ask at most {MOST_QUESTIONS} questions.", asks_little),
        Check(
            "gives_a_verdict",
            "Give one line 'Verdict: approve', 'Verdict: modify' or 'Verdict: reject' («Вердикт: …»).",
            gives_a_verdict,
        ),
        Check(
            "proposes_a_fix",
            "Unless you approve, propose what to change in a line 'Fix: …' («Правка: …»).",
            proposes_a_fix,
        ),
    ),
    parameters={"temperature": 0.0},
    example="| claim | source | status |\n|---|---|---|\n| C1 | none | open |\nWho measured C1?\nVerdict: modify\n"
    "Fix: add the measurement to C1.",
)
