"""Voices: how an answer sounds, whoever gives it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Voice:
    """A manner of speaking, chosen as the model ``voice:<name>``; the orchestrator answers in it.

    Attributes:
        name: Unique in the server.
        preamble: Put before the agent's system prompt.
        description: One sentence for people.
        aliases: Other names it answers to, in any script.
        parameters: Model parameters that override the agent's, e.g. ``{"temperature": 1.1}``.
        switched_off: Empty, or a sentence that says how the voice is switched on. Such a voice is not offered; whoever
            asks for it by any of its names is told the sentence.
    """

    name: str
    preamble: str
    description: str = ""
    aliases: Sequence[str] = ()
    parameters: Mapping[str, object] = field(default_factory=dict)
    switched_off: str = ""
