"""Which function plans which operation."""

from collections.abc import Callable, Mapping

from iskra_chaos.ethics.operation import OperationType
from iskra_chaos.operations import (
    emergent_stimulation,
    fire_reset,
    micro_disturbance,
    paradox_generation,
    pattern_break,
    quantum_flux,
)
from iskra_chaos.operations.conversation import Conversation
from iskra_chaos.operations.perturbation import Perturbation

Plan = Callable[[Conversation, float, int], Perturbation]

PLANS: Mapping[OperationType, Plan] = {
    "micro_disturbance": micro_disturbance.plan,
    "pattern_break": pattern_break.plan,
    "paradox_generation": paradox_generation.plan,
    "fire_reset": fire_reset.plan,
    "quantum_flux": quantum_flux.plan,
    "emergent_stimulation": emergent_stimulation.plan,
}


def plan(operation: OperationType, conversation: Conversation, intensity: float, seed: int) -> Perturbation:
    """Return what an operation would change; the same arguments give the same perturbation.

    Args:
        operation: One of the six.
        conversation: What was said so far.
        intensity: In [0.1, 1.0].
        seed: Decides every choice.

    Raises:
        BadInputError: The operation makes no sense here; the message says why.
    """
    return PLANS[operation](conversation, intensity, seed)
