"""What an admin can set."""

from datetime import time
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class ChaosSettings(BaseModel):
    """Settings of the chaos plugin."""

    model_config = ConfigDict(extra="forbid")

    environment: Literal["production", "staging", "test"] = Field(
        default="production", description="Where this server runs; bounds how many sessions a fault may reach."
    )
    creative: bool = Field(default=True, description="People may have their own conversations perturbed.")
    automatic: bool = Field(
        default=False,
        description="The balance controller may start operations and stabilisers in sessions whose owner welcomes it.",
    )
    all_sessions: bool = Field(
        default=False,
        description="Measure and balance every session after every turn, not only those where operations are welcome, "
        "in force, or were looked at.",
    )
    quiet_hours: str | None = Field(
        default=None,
        description="When the balance controller holds back, such as `22:00-07:00` in the server's time zone.",
    )
    faults: bool = Field(default=False, description="Operators may inject faults into this server.")
    operations_per_owner: int = Field(
        default=50, ge=1, description="Operations and experiments that one owner may have in force at a time."
    )
    starts_per_minute: int = Field(
        default=60, ge=1, description="Operations and experiments that one owner may start within a minute."
    )
    second_factor: bool = Field(
        default=False, description="Faults, calibration and stopping everything need the claim `mfa`."
    )
    ethics_judge: str | None = Field(
        default=None,
        max_length=200,
        description="Alias of a language model that is asked about operations from level 2 on that the rules approve; "
        "it can only object.",
    )
    min_p: bool = Field(
        default=False,
        description="The models know the parameter `min_p`; without it no answer is drawn above temperature 1.",
    )

    @field_validator("quiet_hours")
    @classmethod
    def _are_hours(cls, hours: str | None) -> str | None:
        parts = hours.split("-") if hours else []
        try:
            times = [time.fromisoformat(part) for part in parts]
        except ValueError:
            times = []
        if hours and (len(times) != 2 or times[0] == times[1] or any(each.tzinfo for each in times)):
            raise ValueError(f"{hours!r} are no hours: write two times such as `22:00-07:00`, or null")
        return hours
