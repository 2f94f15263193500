"""What comes back where something is refused; for the routes' descriptions."""

from typing import Any, Literal

from pydantic import BaseModel

from iskra_chaos.ethics import Violation
from iskra_chaos.ethics.review import SuggestedModification


class Refusal(BaseModel):
    """A problem; where the ethics check refused (`code` is `ethics_refused`), with its review.

    Attributes:
        detail: What happened.
        mend: What to do about it.
        violations: The rules that objected, with their reasons.
        suggested_modifications: JSON Patches that make the same request pass.
        suggested_voice: Who should speak instead.
        help: Where a person in need finds help.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    mend: str
    correlation_id: str
    decision: Literal["modify", "reject"] | None = None
    violations: list[Violation] = []
    suggested_modifications: list[SuggestedModification] = []
    suggested_voice: str | None = None
    help: list[str] = []


REFUSED: dict[int | str, dict[str, Any]] = {
    403: {"model": Refusal, "description": "The ethics check refuses, a clearance is no good, or a permission lacks."}
}
"""Responses of routes that the ethics check guards."""
