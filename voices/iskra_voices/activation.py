"""Asks a voice into a session, and tells of voices that begin to speak."""

from collections.abc import Mapping
from dataclasses import replace

from iskra_metrics.reading import Reading
from iskra_sdk.errors import BadInputError, ConflictError
from iskra_sdk.event import Severity
from iskra_sdk.ids import SessionId, TurnId, new_id
from iskra_sdk.plugin_context import PluginContext
from iskra_sdk.principal import Principal
from iskra_voices.catalogue import AUTO, VoiceCatalogue
from iskra_voices.choice import CRISIS, Choice, Signals, activation_level, forbidden
from iskra_voices.conversation_readings import ConversationReadings
from iskra_voices.session_records import SessionRecord, SessionRecords, Spoken
from iskra_voices.telling import Telling
from iskra_voices.tension import conflicts
from iskra_voices.wire import (
    ActiveVoice,
    Protocol,
    VoiceActivationRequest,
    VoiceActivationResponse,
    VoiceCoordination,
    conflict_wire,
    reading_wire,
)

SENSITIVE_FROM = 0.5
"""Sensitivity that the caller states, from which lively voices are damped."""
_DAMPED = 0.7
"""Factor on the activation of a damped voice."""
_LIVELY = frozenset({"pino", "hundun"})
"""Voices that are damped in a sensitive conversation."""


class Activation:
    """Who speaks in a session, by request.

    Args:
        context: The plugin's.
        catalogue: The voices.
        records: What is remembered of sessions.
        readings: The metrics.
        telling: Tells of voices.
    """

    def __init__(
        self,
        context: PluginContext,
        catalogue: VoiceCatalogue,
        records: SessionRecords,
        readings: ConversationReadings,
        telling: Telling,
    ) -> None:
        self._context = context
        self._catalogue = catalogue
        self._records = records
        self._readings = readings
        self._telling = telling

    async def activate(
        self, principal: Principal, session_id: str, wanted: VoiceActivationRequest
    ) -> VoiceActivationResponse:
        """Let a voice answer the coming turns of ``voice:auto`` in a session.

        Raises:
            BadInputError: There is no such voice, or no session is named.
            SessionNotFoundError: No such session for this principal.
            ConflictError: The voice must not speak in the state that the conversation is in.
        """
        policy = self._catalogue.named(wanted.voice_type)
        if not session_id:
            raise BadInputError(
                "No session is named.", mend="Give `context.session_id`, or the header X-Session-ID.", facts={}
            )
        readings = await self._readings.of_session(principal, session_id)
        record = await self._records.of(session_id)
        signals = signals_of(readings, in_crisis=record.in_crisis)
        if why := forbidden(policy.name, signals):
            raise ConflictError(
                f"The voice {policy.name!r} is not for now: {why}.",
                mend="Activate `anhantha`, or wait.",
                facts={"voice": policy.name, "reason": why},
            )
        now = self._context.clock.now()
        level = max(activation_level(policy.name, signals), wanted.context.urgency_level)
        if policy.name in _LIVELY and wanted.context.sensitivity_level >= SENSITIVE_FROM:
            level *= _DAMPED
        fits = policy.purpose == wanted.interaction_purpose
        reason = f"asked for, to {wanted.interaction_purpose.replace('_', ' ')}"
        present = [policy.name, *record.spoken]
        record.standing = replace(
            record.standing,
            requested=policy.name,
            requested_turns=wanted.turns,
            intent=wanted.context.chaos_intent.strip(),
        )
        record.take_part(policy.name, Spoken(level, "primary", now.isoformat()))
        record.is_watched = True
        await self._records.save(session_id)
        await self.tell(SessionId(session_id), record, Choice(policy.name, reason), level=level)
        return VoiceActivationResponse(
            session_id=session_id,
            voice_type=policy.name,
            activation_level=level,
            coordination_role="primary",
            interaction_purpose=wanted.interaction_purpose,
            fits_purpose=fits,
            reason=reason if fits else f"{reason}, although it is there to {policy.purpose.replace('_', ' ')}",
            model=f"voice:{AUTO}",
            turns=wanted.turns,
            metrics={name: reading_wire(reading) for name, reading in readings.items()},
            conflicts=[conflict_wire(conflict) for conflict in conflicts(present, signals)],
            activated_at=now,
        )

    async def coordination(self, session_id: str) -> VoiceCoordination:
        """Return how the voices of a session stand, latest first."""
        return coordination_of(session_id, await self._records.of(session_id))

    async def tell(
        self,
        session_id: SessionId,
        record: SessionRecord,
        choice: Choice,
        *,
        level: float,
        turn_id: TurnId | None = None,
    ) -> None:
        """Tell the session that a voice speaks from now on, and whoever watches how its voices stand."""
        context = self._context
        severity = Severity.WARNING if choice.reason == CRISIS else Severity.INFO
        activated = {
            "event_id": new_id("evt"),
            "event_type": "voice_activated",
            "timestamp": context.clock.now().isoformat(),
            "source": context.name,
            "severity": str(severity),
            "data": {"voice_type": choice.voice, "activation_level": round(level, 4), "reason": choice.reason},
            "correlation_id": turn_id or "",
        }
        coordination = coordination_of(session_id, record).model_dump(mode="json")
        await self._telling.in_session("voice_activated", activated, session_id, turn_id=turn_id, severity=severity)
        await self._telling.on_the_bus("coordination", coordination, session_id, turn_id=turn_id, severity=severity)


def signals_of(readings: Mapping[str, Reading], *, in_crisis: bool = False) -> Signals:
    """Return the signals that stored readings give."""
    confidence = readings["staleness"].confidence if "staleness" in readings else 0.0
    values = {name: reading.value for name, reading in readings.items()} if confidence else {}
    own = int(readings["contradiction"].parts.get("of_user", 0)) if "contradiction" in readings else 0
    hurt = readings["pain"].parts.get("last", 0.0) if "pain" in readings else 0.0
    return Signals.of(values, hurt=hurt, own_contradictions=own, in_crisis=in_crisis, confidence=confidence)


def coordination_of(session_id: str, record: SessionRecord) -> VoiceCoordination:
    """Return how the voices of a session stand, latest first."""
    protocol: Protocol = "adaptive"
    if record.protocol in ("sequential", "parallel", "emergent"):
        protocol = record.protocol  # type: ignore[assignment]  # checked in the line above
    voices = sorted(record.spoken.items(), key=lambda item: item[1].at, reverse=True)
    return VoiceCoordination(
        session_id=session_id,
        active_voices=[
            ActiveVoice.model_validate(
                {
                    "voice_type": voice,
                    "activation_level": max(0.0, min(1.0, spoken.level)),
                    "coordination_role": spoken.role,
                    "last_interaction": spoken.at,
                }
            )
            for voice, spoken in voices
        ],
        coordination_protocol=protocol,
    )
