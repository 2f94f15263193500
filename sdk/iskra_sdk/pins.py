"""What the plugin that keeps pins offers to others."""

from typing import Protocol

from iskra_sdk.ids import MessageId, SessionId


class Pins(Protocol):
    """Knows which messages people pinned, for plugins that leave messages out of what a model sees.

    The built-in plugin ``compaction`` provides it. A server may run without it, so a plugin that can do without pins
    asks each time, and takes ``PluginDependencyError`` for "there are none"::

        async def pinned_in(session_id: SessionId) -> frozenset[MessageId]:
            try:
                pins = context.service(Pins)
            except PluginDependencyError:
                return frozenset()
            return await pins.of_session(session_id)
    """

    async def of_session(self, session_id: SessionId) -> frozenset[MessageId]:
        """Return the ids of a session's pinned messages; empty for a session that has none or does not exist.

        It asks nobody for permission: whether somebody may know of the session is for the caller to check.

        Raises:
            StoreError: They cannot be read.
        """
