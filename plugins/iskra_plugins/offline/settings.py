"""Settings of the plugin ``offline``."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class OfflineSettings(BaseModel):
    """How the offline provider answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens_per_second: Annotated[float, Field(ge=0, le=10_000)] = 0
    """Speed of its streams in words, so that streaming can be seen; 0 for as fast as they are read."""
