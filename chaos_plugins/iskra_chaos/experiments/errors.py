"""What can be wrong with an experiment, apart from what it finds::

BadInputError
└── ExperimentError            the file cannot be run as it is written: change it
    └── ActivityRefusedError   it asks for code, hosts or programs that were not allowed
IskraError
└── ActivityError              one probe or action failed; the run goes on or is undone
"""

from collections.abc import Sequence

from iskra_sdk.errors import BadInputError, IskraError


class ExperimentError(BadInputError):
    """The experiment cannot be run as it is written."""

    code = "experiment"


class ActivityRefusedError(ExperimentError):
    """The experiment asks for something that it was not allowed to do; nothing of it has run.

    Attributes:
        refused: One sentence for each thing that was refused.
    """

    code = "activity_refused"
    http_status = 403

    def __init__(self, refused: Sequence[str]) -> None:
        super().__init__(
            f"The experiment was refused before anything ran: {'; '.join(refused)}.",
            mend="Read what the file would do, then allow the modules, hosts or programs that you trust.",
            facts={"refused": list(refused)},
        )
        self.refused = tuple(refused)


class ActivityError(IskraError):
    """A probe or an action failed."""

    code = "activity"
