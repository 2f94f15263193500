"""Puts the parts of the plugin together after the start: their modules are heavy.

They are imported one by one, with the event loop in between; a thread would still be at it when the plugin is unloaded.
"""

import asyncio
import importlib
from collections.abc import Mapping

from iskra_metrics.reading import Reading
from iskra_sdk.event import Event
from iskra_sdk.plugin_context import PluginContext
from iskra_sdk.principal import Principal
from iskra_voices.catalogue import VoiceCatalogue
from iskra_voices.settings import VoicesSettings

_START_SECONDS = 2.0
"""The start of the server goes first."""
_HEAVY = (
    *(
        f"iskra_metrics.{name}"
        for name in ("text", "claims", "civility", "distress", "trust", "clarity", "conversation")
    ),
    *(f"iskra_voices.{name}" for name in ("wire", "conversation_readings", "activation", "casting", "speaking")),
    *(f"iskra_voices.{name}" for name in ("success_criteria", "ensemble", "collaboration")),
)


class Parts:
    """The parts, which know one another."""

    def __init__(self, context: PluginContext, catalogue: VoiceCatalogue, settings: VoicesSettings) -> None:
        from iskra_voices.activation import Activation
        from iskra_voices.casting import Casting
        from iskra_voices.collaboration import Collaboration
        from iskra_voices.conversation_readings import ConversationReadings
        from iskra_voices.session_records import SessionRecords
        from iskra_voices.speaking import Speaking
        from iskra_voices.telling import Telling

        telling = Telling(context)
        self.records: SessionRecords = SessionRecords(context.state)
        self.readings: ConversationReadings = ConversationReadings(
            context, self.records, telling, all_sessions=settings.all_sessions
        )
        self.activation: Activation = Activation(context, catalogue, self.records, self.readings, telling)
        self.collaboration: Collaboration = Collaboration(
            context, catalogue, self.records, self.readings, telling, settings
        )
        casting = Casting(context, catalogue, self.records, self.readings, self.activation, settings)
        self.speaking: Speaking = Speaking(telling, casting)


class Assembly:
    """What the hooks of one generation share.

    Args:
        context: The plugin's.
    """

    def __init__(self, context: PluginContext) -> None:
        self.settings = VoicesSettings.model_validate(context.settings.model_dump())
        self.catalogue = VoiceCatalogue(self.settings.optional_voices)
        self._context = context
        self._parts: Parts | None = None
        self._assembling = asyncio.Lock()

    async def parts(self) -> Parts:
        """Return the parts, put together at the first call."""
        if self._parts is None:
            async with self._assembling:
                if self._parts is None:
                    for module in _HEAVY:
                        importlib.import_module(module)
                        await asyncio.sleep(0)
                    self._parts = Parts(self._context, self.catalogue, self.settings)
        return self._parts

    async def of_session(self, principal: Principal, session_id: str) -> Mapping[str, Reading]:
        """Return the metrics of a session; see ``iskra_metrics.service.ConversationMetrics``."""
        return await (await self.parts()).readings.of_session(principal, session_id)

    async def note(self, event: Event) -> None:
        """Take in an event of a turn or session."""
        await (await self.parts()).readings.note(event)

    async def warm_up(self) -> None:
        """Put the parts together before somebody waits for them, and after the other plugins have started."""
        await self._context.clock.sleep(_START_SECONDS)
        await self.parts()
