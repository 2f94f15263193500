"""The report of an experiment: one HTML file that needs nothing else, in words for people who have never run one."""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from iskra_chaos.experiments.reports.style import STYLE

_VERDICTS: Mapping[str, tuple[str, str]] = {
    "held": ("✓ The hypothesis held", "Under the fault the system stayed within everything that was expected of it."),
    "deviated": (
        "✗ The system deviated",
        "Under the fault the system left what was expected of it. A weakness was found, which is what experiments are "
        "for.",
    ),
    "aborted": (
        "■ The experiment was aborted",
        "A guard, a person or a signal ended it early. What was done was taken back; there is no result.",
    ),
    "failed": (
        "! The experiment itself failed",
        "Something about the experiment went wrong, so it says nothing about the system.",
    ),
    "invalid": (
        "? The result is invalid",
        "The fault was never seen to have an effect, or nothing was checked. Whatever else was measured proves "
        "nothing.",
    ),
}

_PLOTS: Mapping[str, tuple[str, str]] = {
    "latency": (
        "How long answers took",
        "Each curve climbs to 100 %: the further left it lies, the faster the answers. The control arm did not meet "
        "the fault, the experiment arm did.",
    ),
    "faults": (
        "What the faults did",
        "Requested: calls that passed while the fault was there. Applied: calls where it fired. Observed: calls where "
        "its effect reached the caller.",
    ),
    "timeline": (
        "What happened when",
        "The first row shows the phases, then each fault while it was there, then the checks of the steady state.",
    ),
}

_WORDS: Mapping[str, str] = {
    "steady state": "what the system looks like when it is well, as a list of checks",
    "hypothesis": "the claim that the steady state lasts although something breaks",
    "method": "what was done to the system, and the load it was under meanwhile",
    "tolerance": "which results of a check are still fine",
    "control arm": "requests that did not meet the fault, for comparison",
    "experiment arm": "requests that did",
    "99th percentile": "99 of 100 requests were answered in this time or less",
    "guard": "a limit that ends the experiment at once",
    "rollback": "taking back what was done; it runs however the experiment ends",
}


def html_report(journal: Mapping[str, Any]) -> str:
    """Return the report of a journal as one HTML document.

    Everything that comes from the journal is escaped; the page loads nothing and runs no script. Without matplotlib
    it has its tables and no plots.
    """
    own: Mapping[str, Any] = journal.get("iskra") or {}
    experiment: Mapping[str, Any] = journal.get("experiment") or {}
    title = str(experiment.get("title", "An experiment"))
    sections = [
        _verdict(journal, own),
        _paragraphs(str(experiment.get("description", ""))),
        _steady_states(journal, own),
        _faults(own.get("faults") or ()),
        _load(own.get("load")),
        _sequential(own.get("sequential_test")),
        _plots(journal),
        _activities("What was done", journal.get("run") or ()),
        _activities("What was expected afterwards", own.get("expectations") or ()),
        _guards(own.get("guards") or ()),
        _undone(own.get("undo") or (), journal.get("rollbacks") or ()),
        _not_run(own.get("controls_not_run") or ()),
        _timeline(own.get("timeline") or ()),
        _glossary(),
        _details("The experiment as it was written", experiment),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<header><p>Chaos experiment, {escape(str(journal.get('start', '')))}</p>\n<h1>{escape(title)}</h1></header>\n"
        + "\n".join(section for section in sections if section)
        + "\n</main>\n</body>\n</html>\n"
    )


def write_report(journal: Mapping[str, Any], path: Path, *, png: bool = False) -> list[Path]:
    """Write the report, and with ``png`` each plot as a file beside it; return what was written.

    Raises:
        ImportError: Plots were asked for, and matplotlib is not installed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html_report(journal), encoding="utf-8", errors="xmlcharrefreplace")
    written = [path]
    if png:
        from iskra_chaos.experiments.reports.plots import LIGHT, PLOTS

        for name, draw in PLOTS.items():
            if (image := draw(journal, LIGHT)) is not None:
                target = path.with_name(f"{path.stem}-{name}.png")
                target.write_bytes(image)
                written.append(target)
    return written


def _verdict(journal: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    name = str(own.get("verdict") or ("deviated" if journal.get("deviated") else journal.get("status") or "failed"))
    heading, meaning = _VERDICTS.get(name, (name, ""))
    reasons = "".join(f"<li>{escape(str(reason))}</li>" for reason in own.get("reasons") or ())
    critical = "".join(f"<li>{escape(str(text))}</li>" for text in own.get("critical") or ())
    alarm = (
        f'<div role="alert" class="critical"><h3>Look at this first: something could not be taken back</h3>'
        f"<ul>{critical}</ul></div>"
        if critical
        else ""
    )
    took = f"<p>It took {_seconds(journal['duration'])}.</p>" if journal.get("duration") is not None else ""
    kind = name if name in _VERDICTS else "failed"
    return (
        f'<section class="verdict {kind}"><h2>{escape(heading)}</h2><p>{escape(meaning)}</p><ul>{reasons}</ul>{took}'
        f"</section>{alarm}"
    )


def _paragraphs(text: str) -> str:
    parts = "".join(f"<p>{escape(part)}</p>" for part in text.split("\n\n") if part.strip())
    return f"<section><h2>What was tried</h2>{parts}</section>" if parts else ""


def _steady_states(journal: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    states: Mapping[str, Any] = journal.get("steady_states") or {}
    checks = [("before", states.get("before"))]
    checks += [(f"during, check {number}", state) for number, state in enumerate(states.get("during") or (), 1)]
    checks += [("after", states.get("after")), ("after rollback", own.get("steady_state_after_rollback"))]
    rows = [
        (when, record["activity"].get("name"), record["activity"].get("tolerance"), record.get("output"), _met(record))
        for when, state in checks
        if state
        for record in state["probes"]
    ]
    back = own.get("recovery_seconds")
    note = f"<p>The steady state was back {_seconds(back)} after everything was taken back.</p>" if back else ""
    hypothesis = (journal.get("experiment") or {}).get("steady-state-hypothesis") or {}
    table = _table(
        "Checks of the steady state",
        ("when", "check", "allowed", "found", "result"),
        [(when, name, _short(allowed), _short(found), met) for when, name, allowed, found, met in rows],
    )
    heading = "Was the system well?"
    claim = f"<p>Claim: {escape(str(hypothesis['title']))}</p>" if hypothesis.get("title") else ""
    return f"<section><h2>{heading}</h2>{claim}{table}{note}</section>" if table else ""


def _faults(faults: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            fault["name"],
            fault["point"],
            fault["kind"],
            fault["requested"],
            fault["applied"],
            fault["observed"],
            " – ".join(str(part) for part in (fault["state"], fault["reason"]) if part),
        )
        for fault in faults
    ]
    head = ("fault", "where", "kind", "requested", "applied", "observed", "in the end")
    table = _table("Faults and how often they were seen", head, rows)
    return f"<section><h2>Faults</h2>{table}</section>" if table else ""


def _load(load: Mapping[str, Any] | None) -> str:
    if not load or not load.get("arms"):
        return ""
    rows = [
        (
            name,
            arm["requests"],
            f"{arm['failures']} ({arm['error_rate']['estimate']:.2%})",
            f"{arm['error_rate']['low']:.2%} to {arm['error_rate']['high']:.2%}",
            _seconds(arm["p50"]),
            _seconds(arm["p95"]),
            _seconds(arm["p99"]),
            ", ".join(f"{reason} × {count}" for reason, count in arm["reasons"].items()),
        )
        for name, arm in load["arms"].items()
    ]
    head = ("arm", "requests", "failed", "error rate, 95 % sure", "median", "95th", "99th percentile", "failures were")
    ratio = load.get("p99_ratio")
    note = (
        f"<p>The experiment arm's 99th percentile was {ratio['estimate']:.2f} times that of the control arm; with "
        f"95 % confidence between {ratio['low']:.2f} and {ratio['high']:.2f} times.</p>"
        if ratio
        else ""
    )
    table = _table(f"Requests of {load['clients']} clients", head, rows)
    return f"<section><h2>Load</h2>{table}{note}</section>"


def _sequential(test: Mapping[str, Any] | None) -> str:
    if not test:
        return ""
    decision = {
        "reject": "decided that the error rate is too high",
        "accept": "decided that the error rate is acceptable",
        "continue": "came to no decision",
    }[test["decision"]]
    return (
        f"<section><h2>Sequential test</h2><p>After {test['requests']} requests, {test['failures']} of them failed, "
        f"the test {decision} (acceptable {test['p0']:.2%}, too high {test['p1']:.2%}).</p></section>"
    )


def _plots(journal: Mapping[str, Any]) -> str:
    try:
        import matplotlib  # noqa: F401 - whether plots can be drawn at all
    except ImportError:
        return "<section><h2>Plots</h2><p>There are none: matplotlib is not installed.</p></section>"
    from iskra_chaos.experiments.reports.plots import DARK, LIGHT, PLOTS

    figures = []
    for name, draw in PLOTS.items():
        light, dark = draw(journal, LIGHT), draw(journal, DARK)
        if light is None or dark is None:
            continue
        heading, words = _PLOTS[name]
        figures.append(
            f"<figure><h3>{escape(heading)}</h3><picture>"
            f'<source media="(prefers-color-scheme: dark)" srcset="{_data(dark)}">'
            f'<img src="{_data(light)}" alt="{escape(heading)}; the numbers are in the tables of this page."></picture>'
            f"<figcaption>{escape(words)}</figcaption></figure>"
        )
    return f"<section><h2>Plots</h2>{''.join(figures)}</section>" if figures else ""


def _data(image: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(image).decode()}"


def _activities(heading: str, records: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            record["activity"].get("type", ""),
            record["activity"].get("name", ""),
            _met(record),
            _seconds(record.get("duration")),
            _short(record.get("exception") or record.get("output")),
        )
        for record in records
    ]
    table = _table(heading, ("kind", "name", "result", "took", "found"), rows)
    return f"<section><h2>{escape(heading)}</h2>{table}</section>" if table else ""


def _guards(guards: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (guard["name"], guard["checks"], _short(guard["last"]), "ended the experiment" if guard["hit"] else "fine")
        for guard in guards
    ]
    table = _table("Limits that were watched", ("guard", "looked at", "saw last", "result"), rows)
    return f"<section><h2>Guards</h2>{table}</section>" if table else ""


def _undone(undo: Sequence[Mapping[str, Any]], rollbacks: Sequence[Mapping[str, Any]]) -> str:
    rows = [(entry["name"], entry["status"], _seconds(entry["duration"]), entry["exception"]) for entry in undo]
    rows += [
        (
            record["activity"].get("name", ""),
            record["status"],
            _seconds(record.get("duration")),
            _short(record.get("exception") or ""),
        )
        for record in rollbacks
    ]
    table = _table("In the order in which it was done", ("what", "result", "took", "problem"), rows)
    return f"<section><h2>What was taken back</h2>{table}</section>" if table else ""


def _not_run(controls: Sequence[Mapping[str, Any]]) -> str:
    table = _table(
        "Controls of the file that were not run",
        ("control", "of", "why"),
        [(control["name"], control["level"], control["reason"]) for control in controls],
    )
    return f"<section><h2>Not run</h2>{table}</section>" if table else ""


def _timeline(entries: Sequence[Mapping[str, Any]]) -> str:
    rows = [(f"{entry['at']:.2f} s", entry["kind"], entry["name"], entry["text"]) for entry in entries]
    table = _table("Seconds since the start", ("when", "kind", "what", "note"), rows)
    return f"<section><details><summary>Everything in order</summary>{table}</details></section>" if table else ""


def _glossary() -> str:
    items = "".join(f"<dt>{escape(word)}</dt><dd>{escape(meaning)}</dd>" for word, meaning in _WORDS.items())
    return f"<section><details><summary>What the words mean</summary><dl>{items}</dl></details></section>"


def _details(heading: str, document: object) -> str:
    text = json.dumps(document, ensure_ascii=False, indent=2, default=str)
    return f"<section><details><summary>{escape(heading)}</summary><pre>{escape(text)}</pre></details></section>"


def _table(caption: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    body = "".join(
        "<tr>"
        + f'<th scope="row">{escape(str(row[0]))}</th>'
        + "".join(f"<td>{escape(str(cell))}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    if not body:
        return ""
    columns = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    # Wide tables scroll by themselves; a focusable region can be scrolled with the keyboard.
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _met(record: Mapping[str, Any]) -> str:
    if record.get("status") == "failed":
        return "✗ failed"
    met = record.get("tolerance_met")
    return "done" if met is None else "✓ within" if met else "✗ outside"


def _short(value: object) -> str:
    if isinstance(value, Mapping) and {"status", "headers", "body"} <= value.keys():
        # An answer's headers say little, and all of them are in the journal.
        value = f"status {value['status']}: {_short(value['body'])}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 300 else f"{text[:299]}…"


def _seconds(value: object) -> str:
    if not isinstance(value, int | float):
        return ""
    return f"{value * 1000:.1f} ms" if value < 1.0 else f"{value:.2f} s"
