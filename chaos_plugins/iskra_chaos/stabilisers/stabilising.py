"""Stabilisers: what calms a conversation down, each with a lease, each reversible, none over the owner's head."""

import logging
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from iskra_chaos.balance.causes import Stabiliser
from iskra_chaos.operations.conversation import Conversation
from iskra_chaos.operations.fire_reset import brief
from iskra_chaos.processes.session_choices import Choices
from iskra_chaos.processes.telling import Telling
from iskra_chaos.stabilisers.lease import ABOUT, StabiliserLease, lasting
from iskra_chaos.stabilisers.retune import Retune
from iskra_sdk.errors import IskraError, NotFoundError, PluginDependencyError
from iskra_sdk.ids import SessionId
from iskra_sdk.plugin_context import PluginContext
from iskra_sdk.principal import Principal
from iskra_sdk.voice_requests import VoiceRequests

logger = logging.getLogger(__name__)

LEASE = 600.0
"""Seconds a stabiliser lasts without a turn that renews it."""
HELD_OFF = 20
"""Turns in which one that a person took back is not begun again."""
_VOICES: Mapping[Stabiliser, str] = {"voice_sam": "sam", "voice_anhantha": "anhantha"}
"""Stabilisers that are voices; Anhantha, who is asked for when something hurt, takes the place of Sam."""
_KEPT = 200
"""Leases that are shown, ended ones included; the ended ones go first."""
_MOST_SESSIONS = 1000
"""Sessions that are calmed down at once."""


@dataclass(eq=False, slots=True)
class _Active:
    lease: StabiliserLease
    expires: float
    reminder: str = ""
    retune: Retune | None = None


class Stabilising:
    """The stabilisers of all sessions, at most one of a kind in each.

    They live in memory only: a restart ends them, as their leases would.

    Args:
        context: The plugin's.
        choices: What sessions' owners chose; after "stop" nothing acts from that moment on.
        telling: Publishes events.
        stopped_because: Why everything is stopped; empty while nothing is.
        on_change: Called when the first one comes into force, and when the last one ends.
    """

    def __init__(
        self,
        context: PluginContext,
        choices: Choices,
        telling: Telling,
        *,
        stopped_because: Callable[[], str],
        on_change: Callable[[], None],
    ) -> None:
        self._context = context
        self._choices = choices
        self._telling = telling
        self._stopped_because = stopped_because
        self._on_change = on_change
        self._sessions: dict[str, dict[Stabiliser, _Active]] = {}
        self._leases: OrderedDict[str, StabiliserLease] = OrderedDict()
        self._held_off: dict[str, dict[Stabiliser, int]] = {}

    # Looking ---------------------------------------------------------------------------------------------------------

    @property
    def is_empty(self) -> bool:
        """Whether none is in force."""
        return not self._sessions

    def leases(self) -> Sequence[StabiliserLease]:
        """Return the latest leases of all sessions, oldest first, with the seconds that are left."""
        now = self._context.clock.monotonic()
        for active in self._all():
            active.lease.lease_seconds = round(max(0.0, active.expires - now), 3)
        return tuple(self._leases.values())

    def get(self, lease_id: str) -> StabiliserLease:
        """Return a lease.

        Raises:
            NotFoundError: There is none of this id.
        """
        lease = self._leases.get(lease_id)
        if lease is None:
            raise NotFoundError(
                f"There is no stabiliser {lease_id[:100]!r}.", mend="List them: GET /api/v1/chaos/status."
            )
        return lease

    def acts(self, session_id: str, stabiliser: Stabiliser) -> bool:
        """Return whether a stabiliser acts in a session now."""
        return self._acting(session_id, stabiliser) is not None

    def reminder(self, session_id: str) -> str:
        """Return what the model is reminded of; empty where the context is not pinned."""
        active = self._acting(session_id, "pin_context")
        return "" if active is None else active.reminder

    def turns_of_cooldown(self, session_id: str) -> int:
        """Return in how many turns operations may start again; 0 where they may now."""
        active = self._acting(session_id, "cooldown")
        return 0 if active is None else active.lease.turns_left

    def retuned(self, session_id: str, readings: Mapping[str, float]) -> Mapping[str, float]:
        """Return readings as the controller takes them."""
        active = self._acting(session_id, "retune")
        return readings if active is None or active.retune is None else active.retune.applied(readings)

    def note_applied(self, session_id: str, stabiliser: Stabiliser) -> None:
        """Count an answer that a stabiliser changed."""
        active = self._acting(session_id, stabiliser)
        if active is not None:
            active.lease.applied += 1

    def _acting(self, session_id: str, stabiliser: Stabiliser) -> _Active | None:
        active = self._sessions.get(session_id, {}).get(stabiliser)
        if active is None or self._context.clock.monotonic() >= active.expires:
            return None
        return None if self._choices.of(session_id).stopped or self._stopped_because() else active

    def _all(self) -> list[_Active]:
        return [active for session in self._sessions.values() for active in session.values()]

    # Beginning and ending --------------------------------------------------------------------------------------------

    async def begin(
        self, owner: str, session_id: str, wanted: Sequence[Stabiliser], strength: float, conversation: Conversation
    ) -> list[StabiliserLease]:
        """Let stabilisers come into force that do not act yet and were not taken back lately; return these."""
        begun = []
        for stabiliser in wanted:
            held_off = self._held_off.get(session_id, {}).get(stabiliser, 0)
            if held_off or stabiliser in self._sessions.get(session_id, {}) or self._stopped_because():
                continue
            if session_id not in self._sessions and len(self._sessions) >= _MOST_SESSIONS:
                break
            lease = self._lease(owner, session_id, stabiliser, strength, speaks_russian=conversation.language == "ru")
            if stabiliser in _VOICES and not await self._has_asked_for_voice(lease):
                continue
            self._put(lease, conversation)
            begun.append(lease)
            await self._tell(lease)
        return begun

    def _lease(
        self, owner: str, session_id: str, stabiliser: Stabiliser, strength: float, *, speaks_russian: bool
    ) -> StabiliserLease:
        return StabiliserLease(
            id=f"calm_{uuid.uuid4().hex}",
            stabiliser=stabiliser,
            session_id=session_id,
            owner=owner,
            strength=strength,
            start_time=self._context.clock.now(),
            turns_left=lasting(strength),
            changes=ABOUT[stabiliser][speaks_russian],
        )

    def _put(self, lease: StabiliserLease, conversation: Conversation) -> None:
        active = _Active(lease, self._context.clock.monotonic() + LEASE)
        if lease.stabiliser == "pin_context":
            head = "Держись этого:" if conversation.language == "ru" else "Keep to this:"
            active.reminder = f"{head}\n{brief(conversation).partition(chr(10))[2]}"
        elif lease.stabiliser == "retune":
            active.retune = Retune.of(conversation.readings)
        was_empty = self.is_empty
        self._sessions.setdefault(lease.session_id, {})[lease.stabiliser] = active
        self._leases[lease.id] = lease
        while len(self._leases) > _KEPT:
            oldest = next((key for key, each in self._leases.items() if each.status != "active"), None)
            if oldest is None:
                break
            del self._leases[oldest]
        if was_empty:
            self._on_change()

    async def revert(self, lease: StabiliserLease, reason: str) -> StabiliserLease:
        """Take a stabiliser back on a person's word; it is held off for a while. One that has ended stays as it is."""
        active = self._sessions.get(lease.session_id, {}).get(lease.stabiliser)
        if active is not None and active.lease is lease:
            self._held_off.setdefault(lease.session_id, {})[lease.stabiliser] = HELD_OFF
            await self._end(active, "reverted", reason)
        return lease

    async def revert_all(self, session_id: str, reason: str) -> list[StabiliserLease]:
        """Take back all that act in a session, each as with :meth:`revert`; return them."""
        leases = [active.lease for active in self._sessions.get(session_id, {}).values()]
        return [await self.revert(lease, reason) for lease in leases]

    async def turn_over(self, session_id: str) -> None:
        """Count a turn of a session."""
        held = self._held_off.get(session_id, {})
        self._held_off[session_id] = {name: left - 1 for name, left in held.items() if left > 1}
        if not self._held_off[session_id]:
            del self._held_off[session_id]
        for active in list(self._sessions.get(session_id, {}).values()):
            active.lease.turns_left -= 1
            if active.lease.turns_left <= 0:
                await self._end(active, "ended", "its turns are over")
                continue
            active.expires = self._context.clock.monotonic() + LEASE
            if active.retune is not None:
                active.retune = Retune(active.retune.shifts, active.retune.turns + 1)

    async def sweep(self) -> None:
        """End what has no lease any more, what an owner stopped, and everything while all is stopped."""
        now = self._context.clock.monotonic()
        for active in self._all():
            if now >= active.expires:
                await self._end(active, "ended", "its lease ran out: no turn renewed it")
            elif self._choices.of(active.lease.session_id).stopped:
                await self._end(active, "reverted", "the owner wants nothing changed")
            elif why := self._stopped_because():
                await self._end(active, "ended", why)

    def forget(self, session_id: str) -> None:
        """Forget a session that is gone."""
        self._held_off.pop(session_id, None)
        if self._sessions.pop(session_id, None) is not None and self.is_empty:
            self._on_change()
        for lease in [each for each in self._leases.values() if each.session_id == session_id]:
            del self._leases[lease.id]

    async def _end(self, active: _Active, status: str, reason: str) -> None:
        lease = active.lease
        session = self._sessions.get(lease.session_id, {})
        if session.get(lease.stabiliser) is not active:
            return
        del session[lease.stabiliser]
        if not session:
            del self._sessions[lease.session_id]
            if self.is_empty:
                self._on_change()
        lease.status = "reverted" if status == "reverted" else "ended"
        lease.reason, lease.turns_left, lease.lease_seconds = reason, 0, 0.0
        if lease.stabiliser in _VOICES:
            await self._take_back_voice(lease)
        await self._tell(lease)

    # Others ----------------------------------------------------------------------------------------------------------

    async def _has_asked_for_voice(self, lease: StabiliserLease) -> bool:
        owner = Principal(lease.owner, permissions=frozenset({"sessions:*"}))
        if lease.stabiliser == "voice_sam" and self._acting(lease.session_id, "voice_anhantha") is not None:
            return False
        try:
            voices, voice = self._voices(), _VOICES[lease.stabiliser]
            why = await voices.ask_for(owner, SessionId(lease.session_id), voice, turns=lease.turns_left)
        except IskraError as error:
            logger.info("voice was not asked for", extra={"session": lease.session_id, "code": error.code})
            return False
        sam = self._sessions.get(lease.session_id, {}).get("voice_sam")
        if not why and sam is not None:
            await self._end(sam, "ended", "Anhantha answers in its place")
        return not why

    async def _take_back_voice(self, lease: StabiliserLease) -> None:
        try:
            await self._voices().take_back(SessionId(lease.session_id), _VOICES[lease.stabiliser])
        except PluginDependencyError:
            return  # its requests went with it
        except IskraError as error:
            logger.warning("voice was not taken back", extra={"session": lease.session_id, "code": error.code})

    def _voices(self) -> VoiceRequests:
        # A Protocol names the service; mypy takes concrete classes only there.
        return self._context.service(VoiceRequests)  # type: ignore[type-abstract]

    async def _tell(self, lease: StabiliserLease) -> None:
        await self._telling.tell(
            "system_state",
            {
                "state": "stabilising" if lease.status == "active" else "stabiliser_ended",
                "stabiliser_id": lease.id,
                "stabiliser": lease.stabiliser,
                "status": lease.status,
                "turns_left": lease.turns_left,
                "reason": lease.reason,
            },
            session_id=lease.session_id,
            source="balance",
        )
