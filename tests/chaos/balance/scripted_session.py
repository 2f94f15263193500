"""A session with an agent that falls into repeating itself until operations shake it out, read by the real metrics."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from iskra_chaos.balance.causes import CauseGate, Choice, Circumstances, opens_gate
from iskra_chaos.balance.controller import Intensity, PIController
from iskra_chaos.balance.tension import TensionAverage
from iskra_metrics.conversation import ConversationState
from iskra_metrics.utterance import Utterance

_SYLLABLES = ("ba", "de", "fi", "go", "lu", "ma", "ne", "pi", "ro", "su", "ta", "vo", "ka", "re", "mi", "zu")
_SENTENCES = 5
_WORDS = 9


@dataclass
class ScriptedAgent:
    """Answers with sentences; the share it takes over from its last answer grows with its habit.

    Attributes:
        habit_growth: What the habit gains per turn without an operation; 0 for an agent that never gets stale.
    """

    random: Random
    habit_growth: float = 0.2
    habit: float = 0.0
    last: list[str] = field(default_factory=list)

    def answer(self, choice: Choice | None) -> str:
        """Answer once; an operation breaks the habit the more, the stronger it is."""
        if choice is None:
            self.habit = min(1.0, self.habit + self.habit_growth)
        else:
            self.habit *= 1.0 - min(1.0, 2.0 * choice.intensity)
        kept = round(self.habit * _SENTENCES) if self.last else 0
        self.last = self.last[:kept] + [self.sentence() for _ in range(_SENTENCES - kept)]
        return " ".join(self.last)

    def sentence(self) -> str:
        """Return a sentence of words that hardly occur again."""
        words = ("".join(self.random.choices(_SYLLABLES, k=3)) for _ in range(_WORDS))
        return " ".join(words).capitalize() + "."


@dataclass(frozen=True)
class Turn:
    """What was read in a turn and what was decided by it."""

    chaos: float
    stability: float
    confidence: float
    circumstances: Circumstances
    wanted: Intensity
    choice: Choice | None


@dataclass
class Balance:
    """The parts put together as a loop would: average, controller, gate."""

    average: TensionAverage
    controller: PIController = field(default_factory=PIController)
    gate: CauseGate = field(default_factory=CauseGate)
    is_off: bool = False

    def decide(
        self, chaos: float, stability: float, confidence: float, circumstances: Circumstances
    ) -> tuple[Intensity, Choice | None]:
        """Decide about the next turn."""
        tension = self.average.update(chaos, stability)
        may_act = opens_gate(circumstances) and not self.is_off
        wanted = self.controller.step(tension, may_act=may_act, confidence=confidence)
        return wanted, self.gate.choose(wanted, circumstances)


def live(agent: ScriptedAgent, balance: Balance, turns: int) -> list[Turn]:
    """Let a user and the agent talk."""
    conversation: list[Utterance] = []
    state = ConversationState()
    choice: Choice | None = None
    lived = []
    for _ in range(turns):
        conversation.append(Utterance("user", agent.sentence()))
        conversation.append(Utterance("assistant", agent.answer(choice)))
        readings = state.update(conversation)
        circumstances = Circumstances(staleness=readings.staleness.value, drift=0.0)
        chaos, stability = readings.chaos.value, readings.stability.value
        confidence = readings.staleness.confidence
        wanted, choice = balance.decide(chaos, stability, confidence, circumstances)
        lived.append(Turn(chaos, stability, confidence, circumstances, wanted, choice))
    return lived


def replayed(recording: Sequence[Turn], balance: Balance) -> list[tuple[Intensity, Choice | None]]:
    """Feed a recorded session to a balance again."""
    return [balance.decide(turn.chaos, turn.stability, turn.confidence, turn.circumstances) for turn in recording]
