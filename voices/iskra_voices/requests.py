"""Takes requests of other plugins for a voice."""

from dataclasses import replace

from iskra_sdk.ids import SessionId
from iskra_sdk.plugin_context import PluginContext
from iskra_sdk.principal import Principal
from iskra_voices.assembly import Assembly
from iskra_voices.choice import Choice, activation_level, forbidden
from iskra_voices.session_records import Spoken

_MOST = 1_000
"""Sessions whose requests can be taken back; older ones run out by their turns."""
_REASON = "asked for by another plugin"


class Requests:
    """The service ``iskra_sdk.voice_requests.VoiceRequests``.

    Args:
        context: The plugin's.
        assembly: The parts, which are put together at need.
    """

    def __init__(self, context: PluginContext, assembly: Assembly) -> None:
        self._context = context
        self._assembly = assembly
        self._asked: dict[str, str] = {}

    async def ask_for(self, principal: Principal, session_id: SessionId, voice: str, *, turns: int) -> str:
        """Let a voice answer so many coming turns of ``voice:auto``; return why it does not."""
        from iskra_voices.activation import signals_of  # with what it needs; not before it is asked for

        parts = await self._assembly.parts()
        policy = self._assembly.catalogue.named(voice)
        readings = await parts.readings.of_session(principal, session_id)
        record = await parts.records.of(session_id)
        if record.standing.requested_turns > 0 and self._asked.get(session_id) != record.standing.requested:
            return f"the voice {record.standing.requested!r} was asked for"
        signals = signals_of(readings, in_crisis=record.in_crisis)
        if why := forbidden(policy.name, signals):
            return why
        level = activation_level(policy.name, signals)
        record.standing = replace(record.standing, requested=policy.name, requested_turns=turns, intent="")
        record.take_part(policy.name, Spoken(level, "primary", self._context.clock.now().isoformat()))
        self._asked[session_id] = policy.name
        while len(self._asked) > _MOST:
            del self._asked[next(iter(self._asked))]
        await parts.records.save(session_id)
        await parts.activation.tell(session_id, record, Choice(policy.name, _REASON), level=level)
        return ""

    async def take_back(self, session_id: SessionId, voice: str) -> None:
        """Take a request back; what a person asked for since, or another voice, stays."""
        parts = await self._assembly.parts()
        name = self._assembly.catalogue.named(voice).name
        if self._asked.get(session_id) != name:
            return
        del self._asked[session_id]
        record = await parts.records.of(session_id)
        if record.standing.requested == name:
            record.standing = replace(record.standing, requested="", requested_turns=0, intent="")
            await parts.records.save(session_id)
