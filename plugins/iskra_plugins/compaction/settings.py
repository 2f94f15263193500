"""Settings of the plugin ``compaction``."""

from pydantic import BaseModel, ConfigDict, Field


class CompactionSettings(BaseModel):
    """How summaries are made."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(default="default", description="Alias of the model that writes summaries; empty: none does.")
    seconds: float = Field(default=30, gt=0, le=50, description="Seconds it may take; then the summary is extracted.")
    transcript_characters: int = Field(default=40_000, ge=2_000, description="Characters that it gets to read.")
