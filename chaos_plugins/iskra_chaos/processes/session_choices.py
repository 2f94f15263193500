"""What a session's owner has chosen: whether operations are welcome, and whether they may come by themselves."""

from dataclasses import asdict, dataclass, replace

from iskra_sdk.plugin_context import KeyValueState

_PREFIX = "session/"


@dataclass(frozen=True, slots=True)
class SessionChoices:
    """One session's choices.

    Attributes:
        opt_in: The owner asked for operations here; without it only the weakest are allowed.
        stopped: The owner said "stop"; nothing is done until that is taken back.
        automatic: The balance controller may start operations.
        sandbox: Nobody relies on what is said here: planted falsehoods are allowed. Set by an operator only.
        label: Experiments can be limited to sessions that carry it.
        answers: Answers so far, by which cooldowns are counted.
        last_operation: Number of the answer at which the last operation ended; 0 for none.
        last_reset: The same for the last ``fire_reset``.
    """

    opt_in: bool = False
    stopped: bool = False
    automatic: bool = False
    sandbox: bool = False
    label: str = ""
    answers: int = 0
    last_operation: int = 0
    last_reset: int = 0


_BEGINNING = SessionChoices()


class Choices:
    """All sessions' choices, written when they change."""

    def __init__(self, state: KeyValueState) -> None:
        self._state = state
        self._known: dict[str, SessionChoices] = {}

    async def load(self) -> None:
        """Read all that is kept, so that :meth:`known` knows it."""
        for key in await self._state.keys(_PREFIX):
            await self.of(key.removeprefix(_PREFIX))

    async def of(self, session_id: str) -> SessionChoices:
        """Return a session's choices."""
        if session_id not in self._known:
            kept = await self._state.get(f"{_PREFIX}{session_id}")
            names = SessionChoices.__dataclass_fields__
            found = {key: value for key, value in kept.items() if key in names} if isinstance(kept, dict) else {}
            self._known[session_id] = SessionChoices(**found)
        return self._known[session_id]

    def known(self, session_id: str) -> SessionChoices:
        """Return a session's choices if they were read already, else what everybody begins with."""
        return self._known.get(session_id, _BEGINNING)

    async def change(self, session_id: str, **changes: bool | int | str) -> SessionChoices:
        """Change some of a session's choices."""
        before = await self.of(session_id)
        after = replace(before, **changes)  # type: ignore[arg-type]  # the names are those of the fields
        if after != before:
            self._known[session_id] = after
            await self._state.put(f"{_PREFIX}{session_id}", asdict(after))
        return after

    async def forget(self, session_id: str) -> None:
        """Forget a session that is gone."""
        self._known.pop(session_id, None)
        await self._state.put(f"{_PREFIX}{session_id}", None)
