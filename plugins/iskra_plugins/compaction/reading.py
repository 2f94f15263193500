"""Reads single messages of a session back."""

from collections.abc import Callable

from iskra_sdk import PluginContext, Principal, Tool, ToolContext, tool
from iskra_sdk.errors import ToolError
from iskra_sdk.ids import SessionId
from iskra_sdk.session_store import StoredMessage
from iskra_sdk.untrusted import unmark

_PAGE = 500
_LONGEST = 24_000  # characters


async def find_message(
    context: PluginContext, principal: Principal, session_id: SessionId, message_id: str
) -> StoredMessage | None:
    """Return a message of a session, ``None`` if it has none with this id.

    Raises:
        SessionNotFoundError: No such session for this principal.
    """
    after = 0
    while True:
        page = await context.sessions.messages(principal, session_id, after=after, limit=_PAGE)
        for stored in page:
            if stored.id == message_id:
                return stored
        if len(page) < _PAGE:
            return None
        after = page[-1].position


def read_message_tool(context: Callable[[], PluginContext]) -> Tool:
    """Return the tool ``read_message``."""

    async def read(message_id: str, call: ToolContext, offset: int = 0) -> str:
        """Read an earlier message of this conversation whole, for instance one that a record names.

        Args:
            message_id: Its id, e.g. turn_01m7.2
            offset: Characters of it to skip.
        """
        stored = await find_message(context(), call.principal, call.session_id, message_id.strip())
        if stored is None:
            raise ToolError(
                f"This conversation has no message {message_id[:80]!r}.", mend="Use an id that the record names."
            )
        text = unmark(stored.message.text)
        calls = "\n".join(f"[calls {asked.name} {asked.arguments}]" for asked in stored.message.tool_calls)
        whole = "\n".join(part for part in (text, calls) if part)
        begin = min(max(0, offset), len(whole))
        end = min(len(whole), begin + _LONGEST)
        rest = f"\n[characters {begin} to {end} of {len(whole)}]" if (begin, end) != (0, len(whole)) else ""
        return f"{stored.message.role} ({stored.created_at:%Y-%m-%d %H:%M}):\n{whole[begin:end]}{rest}"

    return tool(name="read_message", risk="read", reads=("message:{message_id}",), timeout=15.0)(read)
