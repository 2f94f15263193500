"""What a session's owner has chosen: whether operations are welcome, and whether they may come by themselves."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from iskra_sdk.plugin_context import KeyValueState

_PREFIX = "session/"
_INTERNAL = frozenset({"last_operation", "last_reset", "crisis_left"})


@dataclass(frozen=True, slots=True)
class SessionChoices:
    """One session's choices, and what has to be remembered of it beside them.

    Attributes:
        opt_in: The owner asked for operations here; without it only the weakest are allowed.
        stopped: The owner said "stop"; nothing is done until that is taken back.
        automatic: The balance controller may start operations.
        sandbox: Nobody relies on what is said here: planted falsehoods are allowed. Set by an operator only.
        label: Experiments can be limited to sessions that carry it.
        last_operation: Number of the turn at which the last operation ended; 0 for none.
        last_reset: The same for the last ``fire_reset``.
        crisis_left: Calm messages of the user until a crisis counts as over; 0 where there was none.
    """

    opt_in: bool = False
    stopped: bool = False
    automatic: bool = False
    sandbox: bool = False
    label: str = ""
    last_operation: int = 0
    last_reset: int = 0
    crisis_left: int = 0

    @property
    def wire(self) -> dict[str, object]:
        """What the owner chose, as it goes over the wire."""
        return {name: value for name, value in asdict(self).items() if name not in _INTERNAL}


_BEGINNING = SessionChoices()


class Choices:
    """The choices of all sessions whose owners made any, written when they change.

    Sessions where nothing was chosen take no memory and are never written.
    """

    def __init__(self, state: KeyValueState) -> None:
        self._state = state
        self._known: dict[str, SessionChoices] = {}

    async def load(self) -> None:
        """Read all that is kept; until then everybody has what everybody begins with."""
        names = SessionChoices.__dataclass_fields__
        for key in await self._state.keys(_PREFIX):
            session_id = key.removeprefix(_PREFIX)
            before = self._known.get(session_id)
            kept = await self._state.get(key)
            if isinstance(kept, Mapping) and self._known.get(session_id) is before:  # not changed while it was read
                found = {name: value for name, value in kept.items() if name in names}
                self._known[session_id] = SessionChoices(**found)

    def of(self, session_id: str) -> SessionChoices:
        """Return a session's choices."""
        return self._known.get(session_id, _BEGINNING)

    async def change(self, session_id: str, **changes: bool | int | str) -> SessionChoices:
        """Change some of a session's choices; they count at once, and are written when this returns."""
        before = self.of(session_id)
        after = replace(before, **changes)  # type: ignore[arg-type]  # the names are those of the fields
        if after == before:
            return after
        if after == _BEGINNING:
            await self.forget(session_id)
            return after
        self._known[session_id] = after
        await self._state.put(f"{_PREFIX}{session_id}", asdict(after))
        return after

    async def forget(self, session_id: str) -> None:
        """Forget a session that is gone."""
        if self._known.pop(session_id, None) is not None:
            await self._state.put(f"{_PREFIX}{session_id}", None)
