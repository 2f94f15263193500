"""Settings of the plugin ``adaptive_approvals``."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class AdaptiveSettings(BaseModel):
    """When a rule is offered, and how long it holds."""

    model_config = ConfigDict(extra="forbid")

    offer_after: int = Field(default=5, ge=3, le=10, description="Approvals in a row after which a rule is offered.")
    caution_after: int = Field(
        default=3, ge=1, le=10, description="Rejections after which a question says so, and ten approvals are needed."
    )
    expires_days: float = Field(default=30, gt=0, le=365, description="Days after which a rule must be earned anew.")
    silent_risks: Annotated[list[Literal["write"]], Field(max_length=1)] = Field(
        default_factory=list,
        description="Risks for which a rule comes into force without being accepted; `execute` and `external` never.",
    )
