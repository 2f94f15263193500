"""Plots of a journal as PNG images. Needs matplotlib, which is imported when the first one is drawn."""

import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 130
_WIDTH = 7.6  # inches
_LONGEST_LABEL = 40


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of a plot. Those for data are of Okabe and Ito's set, which colour-blind people can tell apart."""

    background: str
    ink: str
    grid: str
    control: str
    experiment: str
    good: str
    bad: str
    calm: str


LIGHT = Theme("#ffffff", "#1b1b1f", "#d5d5dc", "#0072B2", "#D55E00", "#007a5a", "#b3261e", "#8a8a94")
DARK = Theme("#17171b", "#ececf1", "#3c3c46", "#56B4E9", "#E69F00", "#4fd1a5", "#ff8a80", "#9a9aa6")

Plot = Callable[[Mapping[str, Any], Theme], bytes | None]


def latency(journal: Mapping[str, Any], theme: Theme) -> bytes | None:
    """Draw which share of requests was answered within which time, by arm; ``None`` without a load."""
    arms = {name: arm for name, arm in (_own(journal, "load") or {}).get("arms", {}).items() if arm["latency_curve"]}
    if not arms:
        return None
    from matplotlib.ticker import LogLocator, NullLocator

    with _figure(theme, 3.2) as (figure, axes):
        for name, style in (("control", "--"), ("experiment", "-")):
            if (arm := arms.get(name)) is None:
                continue
            curve = [max(1e-4, seconds) * 1000 for seconds in arm["latency_curve"]]
            shares = [100 * step / (len(curve) - 1) for step in range(len(curve))]
            colour = getattr(theme, name)
            axes.step(curve, shares, where="post", color=colour, linestyle=style, linewidth=1.8, label=f"{name} arm")
            axes.axvline(arm["p99"] * 1000, color=colour, linestyle=":", linewidth=1.2)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("milliseconds until the whole answer was there (dotted: 99th percentile)")
        axes.set_ylabel("% of requests")
        _legend(axes, theme, "lower right")
        return _png(figure)


def faults(journal: Mapping[str, Any], theme: Theme) -> bytes | None:
    """Draw how many calls each fault could meet, met and visibly changed; ``None`` without faults."""
    leases: Sequence[Mapping[str, Any]] = _own(journal, "faults") or ()
    if not leases:
        return None
    with _figure(theme, 1.5 + 0.6 * len(leases)) as (figure, axes):
        bars = (("requested", theme.calm, ""), ("applied", theme.control, "//"), ("observed", theme.experiment, ""))
        for offset, (counter, colour, hatch) in zip((-0.27, 0.0, 0.27), bars, strict=True):
            places = [row + offset for row in range(len(leases))]
            values = [lease[counter] for lease in leases]
            drawn = axes.barh(
                places, values, 0.25, color=colour, hatch=hatch, edgecolor=theme.background, label=counter
            )
            axes.bar_label(drawn, padding=3, color=theme.ink, fontsize=8)
        axes.set_yticks(range(len(leases)), labels=[_label(str(lease["name"])) for lease in leases], parse_math=False)
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.set_xlabel("calls")
        _legend(axes, theme, "above")
        return _png(figure)


def timeline(journal: Mapping[str, Any], theme: Theme) -> bytes | None:
    """Draw phases, faults and checks of the steady state over time; ``None`` without a timeline."""
    entries: Sequence[Mapping[str, Any]] = _own(journal, "timeline") or ()
    if not entries:
        return None
    end = max(float(journal.get("duration") or 0.0), *(entry["at"] for entry in entries), 0.001)
    phases = [entry for entry in entries if entry["kind"] == "phase" and entry["name"] != "method done"]
    fault_names = list(dict.fromkeys(entry["name"] for entry in entries if entry["kind"] == "fault"))
    rows = ["phase", *fault_names, "steady state"]
    with _figure(theme, 1.4 + 0.42 * len(rows)) as (figure, axes):
        for index, phase in enumerate(phases):
            until = phases[index + 1]["at"] if index + 1 < len(phases) else end
            colour = theme.experiment if phase["name"] == "method" else theme.calm
            axes.barh(0, until - phase["at"], 0.6, phase["at"], color=colour, edgecolor=theme.background)
        for row, name in enumerate(fault_names, 1):
            for began, ended in _spans([entry for entry in entries if entry["name"] == name], end):
                axes.barh(row, ended - began, 0.6, began, color=theme.control, hatch="//", edgecolor=theme.background)
        checks = [entry for entry in entries if entry["kind"] == "hypothesis"]
        for text, marker, colour in (("met", "o", theme.good), ("not met", "X", theme.bad)):
            if at := [entry["at"] for entry in checks if entry["text"] == text]:
                axes.scatter(at, [len(rows) - 1] * len(at), marker=marker, color=colour, s=46, label=text, zorder=3)
        for entry in entries:
            if entry["kind"] == "end":
                axes.axvline(entry["at"], color=theme.bad, linewidth=1.4, linestyle="--", label="cut short")
        axes.set_yticks(range(len(rows)), labels=[_label(row) for row in rows], parse_math=False)
        axes.invert_yaxis()
        axes.set_xlim(0, end * 1.02)
        axes.set_xlabel("seconds since the start (orange in the first row: the method)")
        if checks:
            _legend(axes, theme, "above")
        return _png(figure)


PLOTS: Mapping[str, Plot] = {"latency": latency, "faults": faults, "timeline": timeline}
"""Every plot by its name."""


def _own(journal: Mapping[str, Any], name: str) -> Any:
    return (journal.get("iskra") or {}).get(name)


def _spans(entries: Sequence[Mapping[str, Any]], end: float) -> Iterator[tuple[float, float]]:
    began: float | None = None
    for entry in entries:
        if entry["text"] == "started":
            began = entry["at"]
        elif began is not None:
            yield began, entry["at"]
            began = None
    if began is not None:
        yield began, end


def _label(text: str) -> str:
    printable = "".join(sign if sign.isprintable() else " " for sign in text)
    return printable if len(printable) <= _LONGEST_LABEL else f"{printable[: _LONGEST_LABEL - 1]}…"


@contextmanager
def _figure(theme: Theme, height: float) -> "Iterator[tuple[Figure, Axes]]":
    # A figure of its own, without pyplot: no window system, no state that two reports would share.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, facecolor=theme.background, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(facecolor=theme.background)
    axes.grid(axis="x", color=theme.grid, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=theme.ink, labelsize=9)
    for spine in axes.spines.values():
        spine.set_color(theme.grid)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set_color(theme.ink)
        axis.label.set_fontsize(9)
    yield figure, axes


def _legend(axes: "Axes", theme: Theme, place: Literal["above", "lower right"]) -> None:
    # Above the axes no sample of the legend can be taken for a point of the data.
    spot: dict[str, Any] = {"bbox_to_anchor": (1.0, 1.0), "ncols": 4} if place == "above" else {}
    axes.legend(
        loc="lower right", **spot, fontsize=9, facecolor=theme.background, edgecolor=theme.grid, labelcolor=theme.ink
    )


def _png(figure: "Figure") -> bytes:
    target = io.BytesIO()
    with warnings.catch_warnings():
        # Names may hold signs that the font lacks; a box in their place is good enough.
        warnings.simplefilter("ignore")
        figure.savefig(target, format="png", facecolor=figure.get_facecolor())
    return target.getvalue()
