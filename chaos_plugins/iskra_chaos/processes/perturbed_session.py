"""A session with an operation in force: what acts on its model calls, and what is counted."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from iskra_chaos.operations.conversation import Conversation
from iskra_chaos.operations.perturbation import Perturbation
from iskra_chaos.processes.circle import Circle
from iskra_chaos.processes.held_branches import HeldBranches
from iskra_chaos.processes.process import ChaosProcess, ProcessStatus
from iskra_sdk.message import Message

STABILIZE_EN = (
    "Settle down again: say in one sentence where we stand, then go on with the task and end with the next step."
)
STABILIZE_RU = (
    "Теперь успокой разговор: скажи одной фразой, где мы сейчас, затем продолжи задачу и заверши следующим шагом."
)
_ACTING = frozenset({ProcessStatus.ACTIVE, ProcessStatus.STABILIZING})
_REMEMBERED = 100  # messages of the conversation


@dataclass(eq=False, slots=True)
class PerturbedSession:
    """An operation in force.

    Attributes:
        process: Its record.
        perturbation: What it changes.
        conversation: As it was when the operation started, with later messages as they come.
        turns_left: Answers it still lasts; 0 while it stabilises.
        expires: Monotonic time when its lease is over at the latest.
        rests: Turns that it still waits before it acts, for the conversation to rest from the one before.
        voice: It acts on answers in this voice only; empty for all.
        notice_shown: The user has been told.
        turns_seen: Turns that were counted.
        answers: Answers of turns that are not over.
        linked: New concepts that the latest answer links to two inputs.
        measured: Answers that the process's metrics are the mean of.
        held: Branches that the person may still choose among.
        circle: The tool calls of the turn that ``circle_turn`` names.
    """

    process: ChaosProcess
    perturbation: Perturbation
    conversation: Conversation
    turns_left: int
    expires: float = 0.0
    rests: int = 0
    voice: str = ""
    notice_shown: bool = False
    turns_seen: set[str] = field(default_factory=set)
    answers: dict[str, str] = field(default_factory=dict)
    linked: tuple[str, ...] = ()
    measured: int = 0
    held: HeldBranches | None = None
    circle: Circle | None = None
    circle_turn: str = ""

    @property
    def acts(self) -> bool:
        """Whether it changes anything yet."""
        return self.rests == 0 and self.process.status in _ACTING

    @property
    def holding(self) -> HeldBranches | None:
        """The branches that are held open, while nothing else is under way."""
        return self.held if self.process.status is ProcessStatus.ACTIVE else None

    @property
    def stabilizing(self) -> Perturbation:
        """What acts while the conversation calms down."""
        text = STABILIZE_RU if self.conversation.language == "ru" else STABILIZE_EN
        return Perturbation(turns=1, instruction=text, replaced=self.perturbation.replaced)

    def circle_of(self, turn_id: str) -> Circle:
        """Return the circle of a turn; each begins anew, because a user may ask for the same thing again."""
        if self.circle is None or self.circle_turn != turn_id:
            self.circle, self.circle_turn = Circle(self.perturbation.blocked_calls), turn_id
        return self.circle

    def hear(self, messages: Sequence[Message]) -> None:
        """Add messages to the conversation."""
        heard = [*self.conversation.messages, *messages][-_REMEMBERED:]
        self.conversation = replace(self.conversation, messages=heard)
