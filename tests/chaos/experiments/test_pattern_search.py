"""Regular expressions of tolerances: read as Python reads them, and never for ever."""

import re

import pytest

from chaos.experiments.experiment_documents import experiment, http
from chaos.experiments.target_server import TargetServer
from iskra_chaos.experiments.errors import ExperimentError
from iskra_chaos.experiments.files import pattern_search
from iskra_chaos.experiments.files.pattern_search import is_found
from iskra_chaos.experiments.runner import Runner


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("^o.$", "ok"),
        ("^o.$", "ok\n"),
        ("^o.$", "ok\n\n"),
        (r"\d+\s\w+\b", "12 stalls"),
        (r"^\w+$", "ярмарка"),
        (r"^\w+$", "a b"),
        ("(?i)ЯРМ", "ярмарка"),
        ("яр.арка", "ярмарка"),
        (r"^\d$", "\u0663"),
        (r"a\sb", "a\x1cb"),
        (r"(ab)\1", "abab"),
        (r"(ab)\1", "abba"),
        (r"ready(?! not)", "ready now"),
        ("x{,2}y", "xy"),
        ("^x{,2}y", "x{,2}y"),
        (r"end\Z", "the end"),
        ("a++b", "aaab"),
        ("", ""),
        ("a|", "b"),
        ("\\ud800", "a\ud800"),
    ],
)
async def test_a_pattern_means_what_it_means_in_python(pattern: str, text: str) -> None:
    assert await is_found(pattern, text) is (re.search(pattern, text) is not None)


@pytest.mark.parametrize("pattern", [r"^(a+)+$", r"^(\w*)*-$", "(a|a)*c"])
async def test_a_repetition_in_a_repetition_takes_no_longer_than_its_text(pattern: str) -> None:
    assert not await is_found(pattern, "a" * 5_000 + "b")


async def test_what_re2_cannot_read_has_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern_search, "SEARCH_SECONDS", 0.5)
    with pytest.raises(ExperimentError, match="too many ways to match"):
        await is_found(r"^(?=a)(a+)+$", "a" * 5_000 + "b")


async def test_a_pattern_without_an_end_fails_its_activity_and_not_the_runner(
    target: TargetServer, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pattern_search, "SEARCH_SECONDS", 0.5)
    target.state.values["text"] = "a" * 5_000 + "b"
    tolerance = {"type": "regex", "pattern": r"(?=a)(a+)+$", "target": "body"}
    probe = http("text", f"{target.url}/value/text", tolerance=tolerance)
    journal = await runner.run(experiment(target.url, [probe]))
    (record,) = journal.document["run"]
    assert (record["status"], record["tolerance_met"]) == ("failed", False)
    assert "tries too many ways to match" in record["exception"][0]
    assert journal.verdict in ("deviated", "failed")
