"""Settings of the plugin ``caches``."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator


class CacheSettings(BaseModel):
    """What is kept, where, and for how long."""

    model_config = ConfigDict(extra="forbid")

    tool_results: bool = Field(default=True, description="Keep results of tools that only read and say what.")
    tool_seconds: float = Field(default=300, gt=0, description="Seconds that a tool's result counts at most.")
    tool_bytes: int = Field(default=32_000_000, ge=100_000, description="Room for results of tools, in bytes.")
    runs_ahead: bool = Field(
        default=False, description="Run reads that are likely to come next while the model still thinks."
    )
    ahead_calls: int = Field(default=3, ge=1, le=10, description="Reads that are run ahead after one read.")
    ahead_seconds: float = Field(default=2.0, gt=0, le=30, description="Seconds they may take together.")
    answers: bool = Field(default=False, description="Keep answers of models to requests with `temperature` 0.")
    answer_aliases: list[str] = Field(
        default_factory=list, description="Aliases whose answers are kept whatever the temperature."
    )
    shared_answers: bool = Field(default=False, description="Users share answers; otherwise everybody has their own.")
    answer_seconds: float = Field(default=3600, gt=0, description="Seconds that an answer counts at most.")
    answer_bytes: int = Field(default=64_000_000, ge=100_000, description="Room for answers, in bytes.")
    backend: Literal["memory", "redis"] = Field(
        default="memory", description="Where values are kept; `redis` outlives a restart and is shared."
    )
    redis_url: SecretStr | None = Field(
        default=None, description="Where Redis is, e.g. `redis://:password@localhost:6379/0`, `rediss://…`, `unix://…`."
    )
    redis_prefix: str = Field(
        default="iskra",
        pattern=r"^[A-Za-z0-9_.-]{1,64}$",
        description="What keys in Redis begin with; servers with the same prefix share what they keep.",
    )
    redis_timeout: float = Field(
        default=0.1, gt=0, le=1, description="Seconds that one look into Redis may take before it counts as a miss."
    )

    @model_validator(mode="after")
    def _has_a_url(self) -> "CacheSettings":
        if self.backend == "redis" and self.redis_url is None:
            raise ValueError("the backend redis needs a redis_url")
        return self
