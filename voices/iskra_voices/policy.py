"""What a voice is: a manner of speaking whose every demand is also a check of the answer."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from iskra_metrics.text import Language, normal

logger = logging.getLogger(__name__)

Purpose = Literal[
    "chaos_coordination",
    "ethical_approval",
    "structure_recovery",
    "emotional_healing",
    "chaos_synchronization",
    "synthesis_integration",
]


@dataclass(frozen=True, slots=True)
class Scene:
    """What a check may look at besides the answer.

    Attributes:
        asked: The user's latest message.
        said: What user and assistant said up to now, oldest first, the latest message included.
        facts: Statements that no answer may contradict: what tools returned.
        verified: Verified facts of the session.
        given: What the user stated with numbers, names, dates or quotations.
        claims: Numbered statements of the conversation by id, e.g. ``C1``.
        contributions: What each voice said in this round, by its id.
        conflicts: Pairs of voices that contradict each other in this round.
        pain: The metric, in [0, 1].
        in_crisis: The latest message speaks of self-harm or of having nothing to live for.
        resources: Where somebody in a crisis finds people, in the language of the conversation.
        language: Of the user's latest message that has letters.
    """

    asked: str = ""
    said: Sequence[str] = ()
    facts: Sequence[str] = ()
    verified: Sequence[str] = ()
    given: Sequence[str] = ()
    claims: Mapping[str, str] = field(default_factory=dict)
    contributions: Mapping[str, str] = field(default_factory=dict)
    conflicts: Sequence[tuple[str, str]] = ()
    pain: float = 0.0
    in_crisis: bool = False
    resources: str = ""
    language: Language = "en"


@dataclass(frozen=True, slots=True)
class Check:
    """One demand on an answer.

    Attributes:
        name: Unique within its voice.
        demand: The demand as a sentence; it stands in the prompt, and in the request to mend an answer that breaks it.
        holds: Whether an answer meets it.
    """

    name: str
    demand: str
    holds: Callable[[str, Scene], bool]


@dataclass(frozen=True, slots=True)
class Policy:
    """How one voice speaks.

    Attributes:
        name: The canonical id.
        russian: Its name in Russian.
        aliases: Other names, in lower case.
        purpose: What it is for.
        description: One sentence for people.
        description_ru: The same in Russian.
        manner: How it speaks, the first lines of its prompt.
        checks: Its demands, in the order of the prompt.
        example: An answer that shows the form, in the prompt.
        parameters: Sampling parameters that it changes.
    """

    name: str
    russian: str
    aliases: Sequence[str]
    purpose: Purpose
    description: str
    description_ru: str
    manner: str
    checks: Sequence[Check]
    example: str
    parameters: Mapping[str, object] = field(default_factory=dict)

    @property
    def preamble(self) -> str:
        """The part of the system prompt that makes a model speak so."""
        demands = "\n".join(f"- {check.demand}" for check in self.checks)
        return (
            f"{self.manner}\nAnswer in the language of the user. Where only code or JSON is wanted, give just that; "
            f"every other answer meets all of these demands:\n{demands}\nThe form, for example:\n{self.example}"
        )

    def broken(self, answer: str, scene: Scene) -> list[Check]:
        """Return the demands that an answer does not meet; a check that itself fails counts as met."""
        return [check for check in self.checks if not _holds(check, answer, scene)]


def _holds(check: Check, answer: str, scene: Scene) -> bool:
    try:
        return check.holds(answer, scene)
    except Exception:
        logger.warning("check of an answer failed", extra={"check": check.name}, exc_info=True)
        return True


def plain_name(name: str) -> str:
    """Return a voice's name as it is compared: NFC, lower case, no unseen characters, no brackets around it."""
    return normal(name).strip().strip("[]").strip()
