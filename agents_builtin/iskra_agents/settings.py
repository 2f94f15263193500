"""Settings of the plugin ``agents``."""

from pydantic import BaseModel, ConfigDict, Field


class AgentsSettings(BaseModel):
    """How the orchestrator chooses."""

    model_config = ConfigDict(extra="forbid")

    routing_model: str = Field(
        default="default",
        description="Alias of the model that is asked where the local classifier is unsure; empty: no model is asked.",
    )
    more_tools: dict[str, list[str]] = Field(
        default_factory=dict,
        description="Agent → globs of further tools that it may use, e.g. those of an MCP server.",
    )
    asks_when_unsure: bool = Field(
        default=True,
        description="Ask the user who should answer when no layer is sure; otherwise the likeliest agent answers.",
    )
