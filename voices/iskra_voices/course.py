"""The course of a collaboration: its way, its speakers, and what each round brought."""

from dataclasses import dataclass, field
from typing import Literal

from iskra_voices.choice import Signals
from iskra_voices.definitions.iskra import attributes
from iskra_voices.wire import Contribution, CriterionResult, LeftOut, VoiceConflict

Way = Literal["sequential", "parallel", "emergent"]


@dataclass(slots=True)
class Course:
    """How a collaboration goes: who speaks, what was said so far, and what came of it.

    Attributes:
        speakers: In speaking order, the primary voice first; Iskra, who closes, is none of them.
        left_out: Who was to speak and did not, with the reason.
        signals: How the conversation stood when it began.
        given: All contributions but the closing ones.
        synthesis: Iskra's latest closing; ``None`` before the first.
        conflicts: Those of the latest round.
        results: The success criteria after the latest round.
        rounds: Rounds in which the voices have spoken; only the last may lack its closing.
    """

    way: Way
    speakers: list[str]
    left_out: list[LeftOut]
    signals: Signals
    given: list[Contribution] = field(default_factory=list)
    synthesis: Contribution | None = None
    conflicts: list[VoiceConflict] = field(default_factory=list)
    results: list[CriterionResult] = field(default_factory=list)
    rounds: int = 0

    @property
    def is_closed(self) -> bool:
        """Whether Iskra closed the last round."""
        return self.synthesis is not None and self.synthesis.round == self.rounds

    def name_the_silent(self, reason: str) -> None:
        """Name those who were to speak and did not, for a reason that nobody gave yet."""
        named = {each.voice_type for each in self.given} | {each.voice_type for each in self.left_out}
        self.left_out += [LeftOut(voice_type=name, reason=reason) for name in self.speakers if name not in named]

    def heard(self, number: int) -> dict[str, str]:
        """Return what each voice said in a round, in the order in which they first spoke."""
        said: dict[str, str] = {}
        for each in self.given:
            if each.round == number:
                said[each.voice_type] = "\n".join(filter(None, (said.get(each.voice_type), each.text)))
        return said

    def figures(self, *, succeeded: bool) -> dict[str, object]:
        """Return how well the voices worked together, for whoever sums it up.

        ``efficiency`` is the share of contributions whose points the synthesis names, ``conflicts_resolved`` the share
        of conflicts that it speaks of; each is there, with how many they are, only where there was something to count.
        """
        figures: dict[str, object] = {"succeeded": succeeded}
        closing = self.synthesis.text if self.synthesis is not None else ""
        if self.given:
            useful = sum(attributes(closing, each.voice_type, each.text) for each in self.given)
            figures["efficiency"] = round(useful / len(self.given), 4)
            figures["contributions"] = len(self.given)
        if self.conflicts:
            figures["conflicts_resolved"] = round(
                sum(bool(each.resolution) for each in self.conflicts) / len(self.conflicts), 4
            )
            figures["conflicts"] = len(self.conflicts)
        return figures
