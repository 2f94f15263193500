"""The rows that benchmarks print."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One figure beside its floor.

    Attributes:
        goal: Number of the goal in the performance page, or empty.
        name: What was measured.
        ours: Our figure.
        floor: The floor's figure in the same run, or ``None``.
        unit: Unit of both.
        commit: Bound of the ratio, or of our figure where there is no floor.
        stretch: The bound we would like.
        better: Whether more or less is better.
    """

    goal: str
    name: str
    ours: float
    floor: float | None
    unit: str
    commit: float
    stretch: float
    better: Literal["more", "less"] = "less"

    @property
    def judged(self) -> float:
        """What the bounds are about: the ratio to the floor, or our figure."""
        return self.ours / self.floor if self.floor else self.ours

    @property
    def verdict(self) -> str:
        """Whether the figure keeps its bounds."""
        for bound, word in ((self.stretch, "stretch"), (self.commit, "goal")):
            if self.judged >= bound if self.better == "more" else self.judged <= bound:
                return word
        return "missed"


def figure(value: float | None) -> str:
    """Return a number with three meaningful digits."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def show(title: str, rows: Iterable[Row]) -> None:
    """Print rows as a table."""
    table = Table(title=title, title_justify="left")
    for column in ("goal", "what", "ours", "floor", "unit", "ratio", "commit", "stretch", "verdict"):
        table.add_column(column, justify="left" if column in ("goal", "what", "unit", "verdict") else "right")
    sign = {"more": "≥ ", "less": "≤ "}
    for row in rows:
        table.add_row(
            row.goal,
            row.name,
            figure(row.ours),
            figure(row.floor),
            row.unit,
            figure(row.judged) if row.floor else "–",
            sign[row.better] + figure(row.commit),
            sign[row.better] + figure(row.stretch),
            row.verdict,
        )
    Console(width=150).print(table)
