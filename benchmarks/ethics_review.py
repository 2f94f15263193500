"""Measures how the ethics check judges requests it was made with, and requests it was not, and how fast.

Run: ``python benchmarks/run.py ethics_review``. ``data/ethics_cases_held_out.tsv`` was written before the words it
measures were looked at; whoever changes rules, word lists or training sentences does not read it and fits nothing to
it.
The tuned tables and ``unseen.toml``, an older held-out one, are those of ``tests/chaos/ethics``. No model is asked.
"""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from chaos.ethics.operations import (  # the tests are no package that is installed
    LabelledCase,
    held_out_cases,
    labelled_cases,
)
from iskra_chaos.ethics import Rules, packaged_rules, review
from table import Row

_AT = datetime(2026, 1, 1, tzinfo=UTC)
_DECISIONS = ("approve", "modify", "reject")


def run(runs: int) -> list[Row]:
    """Measure, print what became of each kind of request, and return the rows."""
    rules = packaged_rules()
    held_out = held_out_cases()
    return [
        *_quality("tuned tables", [*labelled_cases("cases.toml"), *labelled_cases("heldout.toml")], rules),
        *_quality("older held-out table", labelled_cases("unseen.toml"), rules),
        *_quality("held-out table", held_out, rules),
        Row("", "reading rules and words", min(_reading() for _ in range(runs)) * 1e3, None, "ms", 200, 50),
        Row("", "one review, mean", min(_reviewing(held_out, rules) for _ in range(runs)) * 1e3, None, "ms", 5.0, 1.0),
    ]


def _quality(name: str, cases: Sequence[LabelledCase], rules: Rules) -> list[Row]:
    judged = [(case, review(case.operation, rules, language="en", at=_AT)) for case in cases]
    _show(name, [(case, given.decision) for case, given in judged])
    bad = [(case, given) for case, given in judged if case.expect != "approve"]
    to_reject = [given for case, given in judged if case.expect == "reject"]
    good = [given for case, given in judged if case.expect == "approve"]
    right_kind = sum(case.kinds <= {violation.kind for violation in given.violations} for case, given in bad)
    return [
        _share(f"{name}: objections found", sum(not given.approved for _, given in bad), bad, 90, 98),
        _share(f"{name}: for the right kind", right_kind, bad, 85, 95),
        _share(f"{name}: rejections found", sum(g.decision == "reject" for g in to_reject), to_reject, 80, 95),
        _share(f"{name}: rejected wrongly", sum(g.decision == "reject" for g in good), good, 2, 0, better="less"),
        _share(f"{name}: changed wrongly", sum(g.decision == "modify" for g in good), good, 10, 2, better="less"),
    ]


def _share(name: str, count: int, of: Sequence[object], commit: float, stretch: float, *, better: str = "more") -> Row:
    figure = 100 * count / max(1, len(of))
    return Row(
        "", f"{name} ({count} of {len(of)})", figure, None, "%", commit, stretch, "less" if better == "less" else "more"
    )


def _show(name: str, judged: Sequence[tuple[LabelledCase, str]]) -> None:
    """Print the decisions by what the label asks for and its kind."""
    counts = Counter((case.expect, kind, decision) for case, decision in judged for kind in case.kinds or {"-"})
    table = Table(title=f"What became of {len(judged)} requests, {name}", title_justify="left")
    table.add_column("label")
    table.add_column("kind")
    for decision in _DECISIONS:
        table.add_column(decision, justify="right")
    for expect, kind in sorted({(expect, kind) for expect, kind, _ in counts}):
        table.add_row(expect, kind, *(str(counts[expect, kind, decision] or "·") for decision in _DECISIONS))
    Console().print(table)


def _reading() -> float:
    begin = time.perf_counter()
    packaged_rules()
    return time.perf_counter() - begin


def _reviewing(cases: Sequence[LabelledCase], rules: Rules) -> float:
    review(cases[0].operation, rules, language="en", at=_AT)
    begin = time.perf_counter()
    for case in cases:
        review(case.operation, rules, language="en", at=_AT)
    return (time.perf_counter() - begin) / len(cases)
