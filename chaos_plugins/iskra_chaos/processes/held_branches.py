"""Ways to answer that are held open for some turns after one of them was shown: the person may take another."""

from collections.abc import Sequence
from dataclasses import dataclass

from iskra_chaos.operations.branch_choice import number_in
from iskra_chaos.operations.perturbation import Perturbation
from iskra_chaos.operations.quoting import quoted
from iskra_chaos.processes.process import ChaosProcess
from iskra_metrics.text import Language
from iskra_sdk.errors import BadInputError

HOLD = 2
"""Turns after the one of the branches."""

_GO_ON = {
    "en": "Of several ways to answer your latest message the person chose this one. Take it as what you said, in place "
    "of what you showed, and go on from it:\n",
    "ru": "Из нескольких вариантов твоего последнего ответа человек выбрал этот. Считай, что ты сказал именно его, а "
    "не показанный, и продолжай от него:\n",
}

_WRITE_OUT = {
    "en": "Of the ways to answer that you named, the person chose this one. Answer their question in this way, in "
    "full:\n",
    "ru": "Из вариантов, которые ты назвал, человек выбрал этот. Ответь на его вопрос именно так, целиком:\n",
}


@dataclass(eq=False, slots=True)
class HeldBranches:
    """The branches of one answer.

    Attributes:
        turn_id: The turn of that answer.
        texts: The answers in full by number; 0 is the one that was shown.
        turns_left: Turns in which the person may still choose.
        chosen: What the person chose.
        is_said: It was shown in the conversation in full.
        is_followed: An answer went on from the chosen branch.
        are_sketches: All but the first are a line each: the model that named them has yet to write them out.
    """

    turn_id: str
    texts: Sequence[str]
    turns_left: int = HOLD
    chosen: int | None = None
    is_said: bool = False
    is_followed: bool = False
    are_sketches: bool = False

    def acts_on(self, text: str) -> bool:
        """Tell whether an answer to a message is anything but the plain one."""
        return self.asked_for(text) is not None or (self.chosen is not None and not self.is_said)

    def asked_for(self, text: str) -> int | None:
        """Return the branch that a message chooses; ``None`` where it chooses none of these."""
        number = number_in(text) if self.chosen is None else None
        return number if number is not None and 0 < number < len(self.texts) else None

    def choose(self, process: ChaosProcess, number: int, *, is_said: bool = False) -> str:
        """Take a branch and return its text.

        Args:
            process: Whose record says which branch was taken.
            number: As it was offered; 0 keeps the one that was shown.
            is_said: The conversation shows it in full; otherwise the next answer goes on from it.

        Raises:
            BadInputError: No branch was offered under this number.
        """
        if not 0 <= number < len(self.texts):
            raise BadInputError(
                f"There is no branch {number}.",
                mend=f"Name one from 0, the one that was shown, to {len(self.texts) - 1}.",
                facts={"field": "branch", "why": "no_such_branch"},
            )
        self.chosen, self.is_said = number, is_said or number == 0
        process.intermediate_results = [
            {**each, "chosen": each.get("number") == number} for each in process.intermediate_results
        ]
        return self.texts[number]

    def going_on(self, language: str) -> Perturbation | None:
        """Return what lets the next answer go on from the chosen branch; ``None`` before the choice."""
        if self.chosen is None:
            return None
        self.is_followed = True
        says = _WRITE_OUT if self.are_sketches else _GO_ON
        spoken: Language = "ru" if language == "ru" else "en"
        # A model wrote it, perhaps of what tools returned: it may not give orders from the system prompt.
        return Perturbation(turns=1, instruction=says[spoken] + quoted([self.texts[self.chosen]], "assistant", spoken))
