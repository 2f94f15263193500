"""A turn's journal: replays the recorded steps of an interrupted turn, then numbers new ones."""

from collections.abc import Iterable

from iskra_sdk.errors import JournalMismatchError
from iskra_sdk.session_store import StepKind, StepRecord


class Journal:
    """The steps of one turn, in the order the agent takes them.

    Args:
        recorded: Steps that were committed before the turn was interrupted.
    """

    def __init__(self, recorded: Iterable[StepRecord] = ()) -> None:
        self._recorded = {step.index: step for step in recorded}
        self.next_index = 0

    @property
    def is_replaying(self) -> bool:
        """Whether the next step is a recorded one."""
        return self.next_index in self._recorded

    def take(self, kind: StepKind, name: str = "") -> tuple[int, StepRecord | None]:
        """Go on by one step and return its index, and its record if it was taken before.

        Raises:
            JournalMismatchError: The recorded step is another one.
        """
        index = self.next_index
        recorded = self._recorded.get(index)
        if recorded is not None and (recorded.kind is not kind or recorded.name != name):
            raise JournalMismatchError(
                f"Step {index} of the interrupted turn was {_describe(recorded.kind, recorded.name)}, but the agent "
                f"now takes {_describe(kind, name)}.",
                mend="The agent's code changed, or it does not repeat its steps. Send the message again.",
                facts={"step": index},
            )
        self.next_index += 1
        return index, recorded


def _describe(kind: StepKind, name: str) -> str:
    return f"a {kind} step" + (f" of {name!r}" if name else "")
