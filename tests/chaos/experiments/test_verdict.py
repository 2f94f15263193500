from typing import Any

import pytest

from iskra_chaos.experiments.verdict import Ending, Findings, journal_status, judge


def fault(observed: int, minimum: int = 1) -> dict[str, Any]:
    return {"name": "llm 429", "observed": observed, "minimum_observed": minimum}


@pytest.mark.parametrize(
    ("findings", "verdict", "status"),
    [
        (Findings(judgements=3), "held", "completed"),
        (Findings(judgements=3, faults=[fault(5)]), "held", "completed"),
        (Findings(judgements=3, deviations=["d"], faults=[fault(5)]), "deviated", "failed"),
        (Findings(judgements=3, faults=[fault(0)]), "invalid", "completed"),
        (Findings(judgements=3, faults=[fault(4, minimum=5)]), "invalid", "completed"),
        (Findings(judgements=3, faults=[fault(0, minimum=0)]), "held", "completed"),
        (Findings(judgements=3, faults=[fault(9), fault(0)]), "invalid", "completed"),
        (Findings(judgements=3, deviations=["d"], faults=[fault(0)]), "invalid", "failed"),
        (Findings(judgements=3, unseen=["it was away"]), "invalid", "completed"),
        (Findings(judgements=3, deviations=["d"], unseen=["it was away"]), "invalid", "failed"),
        (Findings(), "invalid", "completed"),
        (Findings(is_dry=True, judgements=1), "invalid", "completed"),
        (Findings(judgements=1, ending=Ending("aborted", "guard")), "aborted", "aborted"),
        (Findings(judgements=1, ending=Ending("interrupted", "SIGINT")), "aborted", "interrupted"),
        (Findings(judgements=1, ending=Ending("failed", "409")), "failed", "failed"),
        (Findings(judgements=1, ending=Ending("deviated", "sprt"), deviations=["sprt"]), "deviated", "failed"),
        (Findings(judgements=1, failures=["x"], deviations=["d"]), "failed", "failed"),
        (Findings(judgements=1, ending=Ending("aborted", "guard"), failures=["x"]), "aborted", "aborted"),
        (Findings(judgements=1, ending=Ending("aborted", "guard"), failed_undo=["u"]), "failed", "aborted"),
        (Findings(judgements=1, failed_undo=["u"]), "failed", "failed"),
    ],
)
def test_verdicts(findings: Findings, verdict: str, status: str) -> None:
    given = judge(findings)
    assert given.name == verdict
    assert given.reasons
    assert journal_status(findings) == status


def test_all_reasons_are_given_and_the_decisive_ones_first() -> None:
    findings = Findings(deviations=["it was slow"], faults=[fault(0)], judgements=2)
    first, second = judge(findings).reasons
    assert "was observed 0 times" in first
    assert second == "it was slow"
