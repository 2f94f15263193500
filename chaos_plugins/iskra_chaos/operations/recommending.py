"""Which operation suits what a caller says of a session, and what the server reads there."""

import re
from collections.abc import Mapping

from iskra_chaos.ethics.operation import OperationType
from iskra_chaos.operations.conversation import Conversation

STALE, STIFF = 0.55, 0.35
"""Staleness from which a pattern is to be broken, and from which a nudge is enough."""
_CHOICE = re.compile(
    r"\b(or|which|choose|decide|better|versus|vs|или|либо|какой|какая|какое|какую|какие|выбрать|выбери|лучше)\b",
    re.IGNORECASE,
)


def recommended(conditions: Mapping[str, object], conversation: Conversation) -> OperationType | None:
    """Return the operation that conditions call for, the most particular condition first; ``None`` for none.

    A new phase calls for a reset; a need for something new for branches where there is a choice to make, else for
    distant ideas together; a contradiction for a paradox; staleness for a broken pattern or a nudge.

    Args:
        conditions: ``staleness_level`` (read by the server if it is missing), ``innovation_need``,
            ``phase_transition``.
        conversation: The session's.
    """
    if conditions.get("phase_transition"):
        return "fire_reset"
    if conditions.get("innovation_need"):
        asked = next((message.text for message in reversed(conversation.messages) if message.role == "user"), "")
        return "quantum_flux" if _CHOICE.search(asked) else "emergent_stimulation"
    if conversation.readings.get("contradiction", 0.0) > 0.0:
        return "paradox_generation"
    said = conditions.get("staleness_level")
    staleness = said if isinstance(said, int | float) else conversation.readings.get("staleness", 0.0)
    if staleness >= STALE:
        return "pattern_break"
    return "micro_disturbance" if staleness >= STIFF else None
