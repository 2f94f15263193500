"""Measures how well the conversation metrics tell stale and drifting conversations from healthy ones, and how fast.

Run: ``python benchmarks/run.py conversation_metrics``. Conversations of eight turns are cut from the Russian and
English prose of the tests, and from the pages of ``docs/``; the classes are those of ``tests/metrics/windows.py``. An
AUC is the chance that a bad conversation reads higher than a healthy one. No language model is asked.
"""

import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from iskra_metrics.conversation import ConversationState
from iskra_metrics.drift import drift
from iskra_metrics.staleness import staleness
from table import Row

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests"))

from metrics.windows import (  # noqa: E402  # the tests are no package that is installed
    LANGUAGES,
    TURNS,
    Window,
    auc,
    dialogue,
    half_stale,
    half_worn,
    healthy,
    off_course,
    on_course,
    stale,
    subjects,
)

WINDOWS = 150
TURN_WORDS = 60
TIMED_WINDOWS = 30

Maker = Callable[[str, random.Random, int | None], Window]


def run(runs: int) -> list[Row]:
    """Measure and return the rows."""
    rows: list[Row] = []
    for language in LANGUAGES:
        rows += _staleness_rows(language)
        goal = 0.75 if language == "russian" else 0.90
        found = auc(_drifts(on_course, language), _drifts(off_course, language))
        rows.append(Row("", f"{language}: AUC of drift", found, None, "", goal, 0.95, "more"))
    above = sum(value > 0.35 for value in map(_stale, _pages())) / len(_pages())
    rows.append(Row("", "docs: share of windows that read stale", 100 * above, None, "%", 6.5, 1.0))
    for language in LANGUAGES:
        rows.append(
            Row("", f"{language}: ten metrics, all new, CPU", _milliseconds(language, runs, 0), None, "ms", 10, 5)
        )
        rows.append(
            Row(
                "",
                f"{language}: ten metrics, one new turn, CPU",
                _milliseconds(language, runs, TURNS - 1),
                None,
                "ms",
                10,
                3,
            )
        )
    return rows


def _staleness_rows(language: str) -> list[Row]:
    well = _values(healthy, language)
    bad = _values(stale, language)
    half = _values(half_stale, language)
    worn = _values(half_worn, language)
    short = auc(_values(healthy, language, 15), _values(stale, language, 15))
    false = 100 * sum(value > 0.35 for value in well) / WINDOWS
    found = 100 * sum(value > 0.35 for value in half) / WINDOWS
    return [
        Row("", f"{language}: AUC of stale windows", auc(well, bad), None, "", 0.97, 0.99, "more"),
        Row("", f"{language}: AUC of stale windows, turns of 15 words", short, None, "", 0.95, 0.98, "more"),
        Row("", f"{language}: AUC of half stale windows", auc(well, half), None, "", 0.85, 0.95, "more"),
        Row("", f"{language}: AUC of half stale, worn windows", auc(well, worn), None, "", 0.85, 0.95, "more"),
        Row("", f"{language}: healthy windows above .35", false, None, "%", 6.5, 1.0),
        Row("", f"{language}: half stale windows above .35", found, None, "%", 79, 95, "more"),
    ]


def _values(maker: Maker, language: str, words: int | None = None) -> list[float]:
    rng = random.Random(f"{maker.__name__} {language} {words}")
    return [_stale(maker(language, rng, words)) for _ in range(WINDOWS)]


def _stale(window: Window) -> float:
    return staleness(window).value


def _drifts(maker: Maker, language: str) -> list[float]:
    rng = random.Random(f"{maker.__name__} {language}")
    return [drift(maker(language, rng, None)).value for _ in range(WINDOWS)]


def _pages() -> list[Window]:
    """Return windows of eight paragraphs in a row out of the documentation."""
    windows = []
    for page in sorted((ROOT / "docs").rglob("*.md")):
        blocks = page.read_text(encoding="utf-8").split("\n\n")
        prose = [block for block in blocks if block[:1].isalpha() and len(block.split()) >= 20]
        windows += [dialogue(prose[start : start + TURNS]) for start in range(0, len(prose) - TURNS + 1, 2)]
    return windows


def _milliseconds(language: str, runs: int, known: int) -> float:
    """Return the CPU time of all metrics of a window, ``known`` turns of which were read before.

    The median of thirty windows, and of several such medians the least: the others tell of the machine's other work.
    """
    return 1e3 * min(_median_seconds(language, run, known) for run in range(runs))


def _median_seconds(language: str, run: int, known: int) -> float:
    rng = random.Random(f"{language} {run}")
    paragraphs = [paragraph for subject in subjects(language) for paragraph in subject]
    taken = []
    for number in range(TIMED_WINDOWS):
        mark = f"{language}{known}r{run}w{number}"
        window = dialogue([_turn(paragraphs, rng, f"{mark}t{turn}") for turn in range(TURNS)])
        if known:
            ConversationState().update(window[:known])
        begin = time.process_time()
        ConversationState().update(window)
        taken.append(time.process_time() - begin)
    return statistics.median(taken)


def _turn(paragraphs: Sequence[str], rng: random.Random, mark: str) -> str:
    """Return sixty words, one of them a mark that no other turn has, so that nothing is known of the turn."""
    words = " ".join(rng.sample(paragraphs, 2)).split()
    return " ".join([mark, *words[: TURN_WORDS - 1]])
