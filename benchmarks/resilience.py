"""Runs the shipped resilience experiments in full size against a real server process.

Run: ``python benchmarks/run.py resilience``; ``ISKRA_BENCH_EXPERIMENTS=r1,r8`` picks some. The model behind the server
takes as long for an answer as a real one where an experiment compares latencies, and no time elsewhere. One line for
each experiment says how it ended; the rows are its figures beside the bounds of the hypothesis.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from table import Row

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from chaos.resilience.proving_ground import (  # the tests are no package that is installed
    Outcome,
    ProvingGround,
    free_port,
    proving_ground,
    started_again,
)
from chaos.resilience.scripted_model import ScriptedModel
from chaos.resilience.switchable_proxy import switchable_proxy
from fake_upstream import fake_upstream

BREAKER_REST = 5.0
_LONGEST = 3600.0  # seconds of R10, whose rounds read ever more messages
ANSWER = 2.0
"""Seconds of an answer, for R1."""

_EFFECTS = Path(__file__).parents[1] / "tests" / "chaos" / "resilience" / "effects_plugin.py"


def run(runs: int) -> list[Row]:
    """Run the experiments, each once, and return their figures."""
    wanted = os.environ.get("ISKRA_BENCH_EXPERIMENTS", "").split(",")
    rows = []
    for name, experiment in EXPERIMENTS.items():
        if wanted != [""] and name.split("-")[0] not in wanted:
            continue
        with tempfile.TemporaryDirectory() as folder:
            outcome, seen = experiment(Path(folder), name)
        print(f"{name}: {outcome.verdict}, faults observed: {seen:,}", flush=True)
        if outcome.verdict != "held":
            print(outcome.printed, file=sys.stderr)
        held = outcome.verdict == "held" and seen > 0
        rows.append(Row("", f"{name} holds", float(held), None, "", 1, 1, "more"))
        rows += _figures(name, outcome)
    return rows


def _figures(name: str, outcome: Outcome) -> list[Row]:
    """Return the rows of the figures that an experiment has."""
    outputs = outcome.outputs()
    rows = []
    for about, (bound, unit) in FIGURES.get(name, {}).items():
        value = outputs.get(about)
        if isinstance(value, Mapping):
            value = value.get("status")
        if isinstance(value, int | float):
            rows.append(Row("", f"{name}: {about}", float(value), None, unit, bound, bound))
    storm = outputs.get("storm")
    if isinstance(storm, Mapping):
        figures = storm["storm"]
        rows.append(Row("", f"{name}: slowest of {figures['clients']}", figures["slowest_resume"], None, "s", 5, 2))
        rows.append(Row("", f"{name}: gaps and doubles", figures["gaps"] + figures["doubles"], None, "", 0, 0))
    pairs = outputs.get("every pair")
    if isinstance(pairs, Mapping):
        figures = pairs["pairwise"]
        about = f"{name}: rounds that break a promise, of {figures['rounds']} for {figures['pairs']} pairs"
        rows.append(Row("", about, len(figures["broken"]), None, "", 0, 0))
    return rows


FIGURES: Mapping[str, Mapping[str, tuple[float, str]]] = {
    "r1-provider-errors": {
        "errors that users see": (0.005, ""),
        "99th percentile by that of the control arm": (2.0, ""),
        "retries for each request": (1.3, ""),
    },
    "r2-cut-streams": {"answers that were cut and said nothing of it": (0, "")},
    "r3-provider-down": {
        "failures in a row that opened its circuit": (5, ""),
        "seconds until its circuit is closed": (10, "s"),
        "slowest turn, failover included": (2, "s"),
        "errors that users see": (0, ""),
    },
    "r4-malformed-tool-calls": {"turns that ended neither well nor with a typed error": (0, "")},
    "r5-lying-tools": {
        "answers that give a wrong value, or none": (0, ""),
        "share of lies that were neither verified nor flagged": (0.2, ""),
    },
    "r6-unruly-events": {
        "messages that the server has lost": (0, ""),
        "messages without an effect": (0, ""),
        "messages with more than one effect": (0, ""),
        "effects out of the order of their session": (0, ""),
    },
    "r7-killed-server": {
        "seconds until the server is ready again": (5, "s"),
        "acknowledged messages that were lost": (0, ""),
        "sessions that do not go on": (0, ""),
    },
    "r9-store-trouble": {"99th percentile of reads": (0.5, "s"), "write": (0, "")},
    "r11-killed-runner": {"seconds until no fault is left": (3.1, "s")},
}
"""Experiment → what it returned → the bound of its hypothesis and the unit; a dictionary counts by its ``status``."""

Run = Callable[[Path, str], tuple[Outcome, int]]


def _plain(
    folder: Path, name: str, seconds: float = 0.0, values: Mapping[str, Any] | None = None
) -> tuple[Outcome, int]:
    with _ground(folder, seconds) as ground:
        outcome = ground.run(name, values=values, timeout=_LONGEST)
    return outcome, outcome.observed


def _ground(folder: Path, seconds: float = 0.0, **more: Any) -> Any:
    plugins = {"effects": _EFFECTS.read_text(encoding="utf-8")}
    return proving_ground(folder, model=ScriptedModel(seconds), plugins=plugins, breaker_rest=BREAKER_REST, **more)


def _provider_errors(folder: Path, name: str) -> tuple[Outcome, int]:
    return _plain(folder, name, ANSWER)


def _provider_down(folder: Path, name: str) -> tuple[Outcome, int]:
    with ExitStack() as stack:
        behind = stack.enter_context(fake_upstream(ScriptedModel(0.2)))
        proxy = stack.enter_context(switchable_proxy(behind.url))
        ground: ProvingGround = stack.enter_context(_ground(folder, 0.2, primary_url=f"{proxy.url}/v1"))
        host = urlsplit(proxy.switch).netloc
        outcome = ground.run(name, "--allow-host", host, values={"switch": proxy.switch})
        return outcome, proxy.refused


def _killed_server(folder: Path, name: str) -> tuple[Outcome, int]:
    with _ground(folder, 0.05, port=free_port()) as ground, started_again(ground):
        outcome = ground.run(name, "--allow-processes", values={"pid": ground.server.process.pid})
    gone = outcome.outputs().get("the process that was killed is gone") or {}
    return outcome, int(gone.get("status") == 1)


def _store_trouble(folder: Path, name: str) -> tuple[Outcome, int]:
    return _plain(folder, name, values={"database": str(folder / "data" / "iskra.db")})


def _pairs_of_faults(folder: Path, name: str) -> tuple[Outcome, int]:
    # These faults come and go within the method, so the journal knows them from there.
    outcome, _ = _plain(folder, name)
    found = outcome.outputs().get("every pair") or {"pairwise": {"observed": {}}}
    return outcome, sum(found["pairwise"]["observed"].values())


def _killed_runner(folder: Path, name: str) -> tuple[Outcome, int]:
    with _ground(folder) as ground:
        values = {"iskra": f"{sys.executable} -m iskra", "folder": str(folder)}
        outcome = ground.run(name, "--allow-processes", values=values)
    return outcome, int(outcome.outputs().get("how often its faults were seen to reach a caller") or 0)


EXPERIMENTS: Mapping[str, Run] = {
    "r1-provider-errors": _provider_errors,
    "r2-cut-streams": _plain,
    "r3-provider-down": _provider_down,
    "r4-malformed-tool-calls": _plain,
    "r5-lying-tools": _plain,
    "r6-unruly-events": _plain,
    "r7-killed-server": _killed_server,
    "r8-socket-storm": _plain,
    "r9-store-trouble": _store_trouble,
    "r10-pairs-of-faults": _pairs_of_faults,
    "r11-killed-runner": _killed_runner,
}
