"""Asks for the messages that a person pinned: those no operation takes from the model."""

from iskra_sdk.errors import PluginDependencyError
from iskra_sdk.ids import MessageId, SessionId
from iskra_sdk.pins import Pins
from iskra_sdk.plugin_context import PluginContext


class Pinning:
    """The pins of sessions, from whichever plugin keeps them at the moment.

    Args:
        context: The plugin's.
    """

    def __init__(self, context: PluginContext) -> None:
        self._context = context

    async def of(self, session_id: str) -> frozenset[MessageId]:
        """Return the ids of a session's pinned messages; none while no plugin keeps pins.

        Raises:
            StoreError: They cannot be read.
        """
        try:
            # A Protocol names the service; mypy takes concrete classes only there.
            pins: Pins = self._context.service(Pins)  # type: ignore[type-abstract]
        except PluginDependencyError:
            return frozenset()
        return await pins.of_session(SessionId(session_id))
