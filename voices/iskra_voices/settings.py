"""Settings of the plugin ``voices``."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

CRISIS_HELP_EN = (
    "You can talk to somebody now: 112 or your local emergency number; in the US call or text 988; "
    "elsewhere see findahelpline.com."
)
CRISIS_HELP_RU = (
    "С вами могут поговорить прямо сейчас: 112; телефон доверия 8-800-2000-122 (бесплатно по России); "
    "в других странах findahelpline.com."
)


class VoicesSettings(BaseModel):
    """How voices speak and what is kept of conversations."""

    model_config = ConfigDict(extra="forbid")

    repairs: bool = Field(
        default=True, description="Check each answer of a voice, and ask the model once to mend one that falls short."
    )
    sampler: bool = Field(default=True, description="Let a voice change sampling parameters such as `temperature`.")
    presence: bool = Field(
        default=False, description="A voice sees the messages of those turns only in which it answered."
    )
    optional_voices: list[Literal["maki", "sibyl"]] = Field(
        default_factory=list, description="Voices beyond the seven that are offered too."
    )
    all_sessions: bool = Field(
        default=False,
        description="Compute metrics after every turn of every session, not only where a voice answers or "
        "somebody looks.",
    )
    collaboration_model: str = Field(
        default="default", description="Router alias of the model that voices use when they work together."
    )
    collaboration_seconds: float = Field(
        default=120.0, gt=0, le=600, description="Seconds that a collaboration may take."
    )
    collaborations_at_once: int = Field(
        default=4, ge=1, le=64, description="Collaborations that work at the same time; others wait, by priority."
    )
    crisis_help_en: str = Field(
        default=CRISIS_HELP_EN, max_length=500, description="Where somebody in a crisis finds help, in English."
    )
    crisis_help_ru: str = Field(default=CRISIS_HELP_RU, max_length=500, description="The same in Russian.")

    def crisis_help(self, language: str) -> str:
        """Return where to find help, in a language."""
        return self.crisis_help_ru if language == "ru" else self.crisis_help_en
