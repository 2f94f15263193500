import asyncio
import copy
import itertools
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from chaos.experiments.experiment_documents import call, experiment
from chaos.experiments.target_server import target_server
from iskra_chaos.experiments.reports import plots
from iskra_chaos.experiments.reports.report import html_report, write_report
from iskra_chaos.experiments.runner import Runner

HOSTILE = '</title><script>alert(1)</script><img src=x onerror="alert(2)">$\\frac{1}{0}$ & \u202e"\' 🦆'
VOID = {"meta", "img", "source", "link", "br"}


class Page(HTMLParser):
    """Reads a page and checks on the way that every element is closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.texts.setdefault(self.open[-1], []).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def finished() -> dict[str, Any]:
    """The journal of a run with everything in it, and a title that would like to be more than text."""
    with target_server() as target:
        return asyncio.run(_run(target.url))


@pytest.fixture(scope="module")
def report(finished: dict[str, Any]) -> str:
    return html_report(finished)


@pytest.fixture
def journal(finished: dict[str, Any]) -> dict[str, Any]:
    """A copy that a test may change."""
    return copy.deepcopy(finished)


@pytest.fixture
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes its time, and not every test is about plots."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)


async def _run(url: str) -> dict[str, Any]:
    iskra = {
        "faults": [
            {"point": "work", "kind": "error", "strategy": {"name": "intermittent", "probability": 0.4}},
            {"point": "work", "kind": "delay", "name": HOSTILE, "starts_after": 0.01},
        ],
        "load": {"path": "/work", "requests": 60, "clients": 4},
        "arms": {"by": "request"},
        "guards": [{"name": f"guard {HOSTILE}", "measure": "error_rate", "most": 1.0, "every": 0.05}],
        "sequential": {"p0": 0.01, "p1": 0.999},
        "expect": [call(HOSTILE, "error_rate", tolerance=[0, 0.001])],
    }
    plan = experiment(url, [call(HOSTILE, "wait", arguments={"seconds": 0.05})], [], iskra)
    document = {**plan.document, "title": HOSTILE, "description": f"One {HOSTILE}\n\nTwo."}
    document["controls"] = [{"name": HOSTILE}]
    runner = Runner(url, "t", heartbeat=0.05, handle_signals=False)
    return (await runner.run(plan.from_document(document))).redacted()


def test_the_report_is_one_html_page_that_loads_nothing(report: str) -> None:
    page = Page(report)
    assert page.all("html") == [{"lang": "en"}]
    assert page.all("script") == []
    assert len(page.all("h1")) == 1
    assert all((image["src"] or "").startswith("data:image/png;base64,") for image in page.all("img"))
    assert not any(name in ("link", "iframe", "object") for name, _ in page.elements)
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)


def test_hostile_names_are_text_and_nothing_else(report: str) -> None:
    page = Page(report)
    assert page.texts["title"] == [HOSTILE]
    assert page.texts["h1"] == [HOSTILE]
    assert "<script" not in report
    assert "onerror=" not in re.sub(r"onerror=(&quot;|\\&quot;)", "", report)
    assert any(HOSTILE in cell for cell in page.texts["th"])


def test_plots_are_there_for_day_and_night_with_words_for_those_who_do_not_see_them(report: str) -> None:
    page = Page(report)
    images, dark = page.all("img"), page.all("source")
    assert len(images) == len(dark) == len(plots.PLOTS) == 3
    assert all(image["alt"] for image in images)
    assert all(source["media"] == "(prefers-color-scheme: dark)" for source in dark)
    assert all(image["src"] != source["srcset"] for image, source in zip(images, dark, strict=True))


def test_tables_say_what_their_cells_mean(report: str) -> None:
    page = Page(report)
    assert len(page.all("caption")) == len(page.all("table")) >= 8
    assert all(cell.get("scope") in ("col", "row") for cell in page.all("th"))
    levels = [int(name[1]) for name, _ in page.elements if re.fullmatch("h[1-6]", name)]
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_the_numbers_of_the_journal_are_in_the_report(journal: dict[str, Any], report: str) -> None:
    page = Page(report)
    for fault in journal["iskra"]["faults"]:
        assert {str(fault[name]) for name in ("requested", "applied", "observed")} <= set(page.texts["td"])
    assert f"{journal['iskra']['load']['arms']['control']['requests']}" in page.texts["td"]


@pytest.mark.usefixtures("no_plots")
@pytest.mark.parametrize("verdict", ["held", "deviated", "aborted", "failed", "invalid"])
def test_each_verdict_is_told_in_plain_words(journal: dict[str, Any], verdict: str) -> None:
    told = journal
    told["iskra"]["verdict"] = verdict
    told["iskra"]["reasons"] = ["because of <this>"]
    page = Page(html_report(told))
    assert {"class": f"verdict {verdict}"} in page.all("section")
    assert "because of <this>" in page.texts["li"]


@pytest.mark.usefixtures("no_plots")
def test_what_could_not_be_taken_back_is_an_alert(journal: dict[str, Any]) -> None:
    assert not any(attributes.get("role") == "alert" for _, attributes in Page(html_report(journal)).elements)
    journal["iskra"]["critical"] = ["'x' could not be taken back"]
    page = Page(html_report(journal))
    assert any(attributes.get("role") == "alert" for _, attributes in page.elements)


@pytest.mark.usefixtures("no_plots")
def test_a_journal_of_the_chaos_toolkit_has_a_report_too(journal: dict[str, Any]) -> None:
    foreign = {key: value for key, value in journal.items() if key != "iskra"}
    page = Page(html_report(foreign))
    assert page.all("img") == []
    assert "Checks of the steady state" in page.texts["caption"]


@pytest.mark.usefixtures("no_plots")
def test_an_unfinished_journal_has_a_report(journal: dict[str, Any]) -> None:
    del journal["duration"], journal["end"]
    journal["run"] = []
    journal["iskra"]["load"] = None
    Page(html_report(journal))


@pytest.mark.usefixtures("no_plots")
def test_without_matplotlib_the_tables_remain(journal: dict[str, Any]) -> None:
    page = Page(html_report(journal))
    assert page.all("img") == []
    assert page.all("table")


def test_plots_are_written_as_files_when_asked_for(journal: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "out" / "report.html"
    assert write_report(journal, path) == [path]
    written = write_report(journal, path, png=True)
    assert [file.name for file in written] == [
        "report.html", "report-latency.png", "report-faults.png", "report-timeline.png"
    ]  # fmt: skip
    for image in written[1:]:
        assert image.read_bytes().startswith(b"\x89PNG\r\n")
    Page(path.read_text(encoding="utf-8"))
