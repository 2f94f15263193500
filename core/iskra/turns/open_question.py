"""A question of a turn that waits for its user."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from iskra.approvals import speaks_russian
from iskra_sdk.errors import BadInputError
from iskra_sdk.message import clean_text
from iskra_sdk.session_store import StepRecord


@dataclass(slots=True)
class OpenQuestion:
    """A question that waits for the user's answer."""

    question: str
    options: Sequence[str]
    step: StepRecord
    answer: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def choose(self, text: str) -> str:
        """Return the option a text means, by number or wording; any text where there are no options.

        Raises:
            BadInputError: It means none of them.
        """
        text = clean_text(text).strip()
        if not self.options:
            return text
        if text.rstrip(".)").isdecimal() and 1 <= int(text.rstrip(".)")) <= len(self.options):
            return self.options[int(text.rstrip(".)")) - 1]
        for option in self.options:
            if option.casefold() == text.casefold():
                return option
        listing = ", ".join(f"{number}. {option}" for number, option in enumerate(self.options, 1))
        if speaks_russian(self.question):
            raise BadInputError(f"Варианта {text!r} нет.", mend=f"Ответьте одним из вариантов: {listing}.")
        raise BadInputError(f"{text!r} is none of the options.", mend=f"Answer with one of: {listing}.")
