"""Experiments made in place, for tests that need a certain part of one."""

from pathlib import Path
from typing import Any

from iskra_chaos.experiments.files.document import Experiment

DOCUMENTS = Path(__file__).parent / "documents"
PROBES = "iskra_chaos.experiments.probes"
SAMPLES = "chaos.experiments.sample_actions"


def http(name: str, url: str, method: str = "GET", **more: Any) -> dict[str, Any]:
    kind = "probe" if method == "GET" else "action"
    provider = {"type": "http", "url": url, "method": method, "timeout": 10}
    if "arguments" in more:
        provider["arguments"] = more.pop("arguments")
    return {"type": kind, "name": name, "provider": provider, **more}


def call(name: str, func: str, module: str = PROBES, kind: str = "probe", **more: Any) -> dict[str, Any]:
    provider: dict[str, Any] = {"type": "python", "module": module, "func": func}
    for key in ("arguments", "secrets", "timeout"):
        if key in more:
            provider[key] = more.pop(key)
    return {"type": kind, "name": name, "provider": provider, **more}


def healthy(url: str) -> dict[str, Any]:
    """A hypothesis: the target answers its health route with 200."""
    return {"title": "The service is well", "probes": [http("health", f"{url}/health", tolerance=200)]}


def break_it(url: str) -> dict[str, Any]:
    return http("break", f"{url}/value/health", "POST", arguments="bad")


def mend_it(url: str) -> dict[str, Any]:
    return http("mend", f"{url}/value/health", "POST", arguments="good")


def experiment(
    url: str = "",
    method: list[dict[str, Any]] | None = None,
    rollbacks: list[dict[str, Any]] | None = None,
    iskra: dict[str, Any] | None = None,
    **more: Any,
) -> Experiment:
    """An experiment; with a ``url`` its hypothesis is the health of the target there."""
    document: dict[str, Any] = {"title": "A test", "description": "Of the runner.", "method": method or []}
    if url:
        document["steady-state-hypothesis"] = healthy(url)
    if rollbacks is not None:
        document["rollbacks"] = rollbacks
    if iskra is not None:
        recovery = {"recovery": {"within": 0, "every": 0.01}}
        document["extensions"] = [{"name": "iskra", **recovery, **iskra}]
    return Experiment.from_document({**document, **more})
