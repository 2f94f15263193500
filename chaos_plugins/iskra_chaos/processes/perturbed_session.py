"""A session with an operation in force: what acts on its model calls, and what is counted."""

from dataclasses import dataclass, field

from iskra_chaos.operations.conversation import Conversation
from iskra_chaos.operations.perturbation import Perturbation
from iskra_chaos.processes.process import ChaosProcess

STABILIZE_EN = (
    "Settle down again: say in one sentence where we stand, then go on with the task and end with the next step."
)
STABILIZE_RU = (
    "Теперь успокой разговор: скажи одной фразой, где мы сейчас, затем продолжи задачу и заверши следующим шагом."
)


@dataclass(slots=True)
class PerturbedSession:
    """An operation in force.

    Attributes:
        process: Its record.
        perturbation: What it changes.
        conversation: As it was when the operation started, with later messages as they come.
        rests: Turns that it still waits before it acts, for the conversation to rest from the one before.
        turns_left: Answers it still lasts; 0 while it stabilises.
        expires: Monotonic time when its lease is over at the latest.
        notice_shown: The user has been told.
        blocks_left: Circling tool calls that it still refuses.
        calls: The tool calls since it started, oldest first: fingerprint with the result, and without.
    """

    process: ChaosProcess
    perturbation: Perturbation
    conversation: Conversation
    turns_left: int
    expires: float
    rests: int = 0
    notice_shown: bool = False
    blocks_left: int = 0
    turns_seen: set[str] = field(default_factory=set)
    answers: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)

    @property
    def acts(self) -> bool:
        """Whether it changes anything yet."""
        return self.rests == 0 and self.process.is_running

    @property
    def stabilizing(self) -> Perturbation:
        """What acts while the conversation calms down."""
        text = STABILIZE_RU if self.conversation.language == "ru" else STABILIZE_EN
        return Perturbation(turns=1, instruction=text, replaced=self.perturbation.replaced)
