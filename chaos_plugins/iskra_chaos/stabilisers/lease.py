"""A stabiliser in force: what it changes, for how long, and that it can be taken back."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from iskra_chaos.balance.causes import TEMPERATURE_STEP, Stabiliser

ABOUT: dict[Stabiliser, tuple[str, str]] = {
    "voice_sam": ("Sam answers turns of voice:auto", "На ходы voice:auto отвечает Сэм"),
    "voice_anhantha": ("Anhantha answers turns of voice:auto", "На ходы voice:auto отвечает Анхантра"),
    "lower_temperature": (
        f"Answers are drawn {TEMPERATURE_STEP} cooler",
        f"Ответы строже: температура ниже на {TEMPERATURE_STEP}",
    ),
    "retune": (
        "The controller takes the smoothed metrics as 30 % nearer to their targets",
        "Регулятор считает сглаженные метрики на 30 % ближе к целевым",
    ),
    "pin_context": (
        "The model is reminded of the goal, the constraints, the facts and the open questions",
        "Модели напоминают о цели, ограничениях, фактах и открытых вопросах",
    ),
    "cooldown": ("No operation starts", "Новые операции не начинаются"),
}


class StabiliserLease(BaseModel):
    """One stabiliser, as the API shows it.

    Attributes:
        owner: Whose session it is.
        strength: What the controller asked for, in (0, 1].
        status: ``reverted`` where a person took it back.
        turns_left: Turns that it still lasts.
        lease_seconds: Seconds until it ends if no turn renews it.
        applied: Answers that it changed.
        changes: What it changes, in words for the person concerned.
        reason: Why it ended; empty while it acts.
    """

    id: str
    stabiliser: Stabiliser
    session_id: str
    owner: str
    strength: float = Field(gt=0.0, le=1.0)
    status: Literal["active", "ended", "reverted"] = "active"
    start_time: datetime
    turns_left: int = Field(ge=0)
    lease_seconds: float = 0.0
    applied: int = 0
    changes: str
    reason: str = ""


def lasting(strength: float) -> int:
    """Return the turns of a stabiliser: two to six."""
    return 2 + round(4 * strength)
