"""An operation on a single SIFT block: what it means there, and the process that records it."""

import asyncio
import secrets
import uuid
from collections.abc import Mapping

from iskra_chaos.api.access import level_for, require_level
from iskra_chaos.api.bodies import TriggerRequest
from iskra_chaos.ethics.operation import InjectionType, OperationType
from iskra_chaos.parts import ChaosParts
from iskra_chaos.processes.process import ChaosProcess, ProcessStatus, Transition
from iskra_chaos.sift.block import SIFTBlock, content_hash
from iskra_chaos.sift.injections.injection import inject
from iskra_sdk.errors import BadInputError, PermissionDeniedError
from iskra_sdk.principal import Principal

_INJECTIONS: Mapping[OperationType, InjectionType] = {
    "micro_disturbance": "uncertainty_zones",
    "pattern_break": "perspective_shifts",
    "paradox_generation": "paradox_seeds",
    "quantum_flux": "perspective_shifts",
    "emergent_stimulation": "emergence_triggers",
}
"""What an operation means for a single block; ``fire_reset`` means nothing there."""


async def unsettled_block(
    parts: ChaosParts, principal: Principal, body: TriggerRequest
) -> tuple[ChaosProcess, SIFTBlock]:
    """Inject into a block what the operation means for it; the block goes back, nothing is kept but the process.

    Raises:
        PermissionDeniedError: The level is missing, operations are switched off, or the ethics check refuses.
        BadInputError: The operation means nothing for a block.
        ConflictError: Everything is stopped.
        TooManyOperationsError: The principal started as many within the minute as one owner may.
    """
    require_level(principal, level_for(body.operation_type))
    if not parts.settings.creative:
        raise PermissionDeniedError("Creative operations are switched off here.")
    parts.stop.require_released()
    block = body.context.sift_block
    injection = _INJECTIONS.get(body.operation_type)
    if block is None or injection is None:
        raise BadInputError(
            f"{body.operation_type} acts on a conversation, not on a single block.", mend="Name a session."
        )
    parts.limits.admit(principal.id, adds=0)
    now = parts.context.clock.now()
    seed = body.seed if body.seed is not None else secrets.randbits(63)
    await parts.clearing.clear_injection(principal, block, injection, body.intensity, seed=seed)
    done = await asyncio.to_thread(inject, block, injection, body.intensity, seed=seed, at=now, actor=principal.id)
    is_changed = await asyncio.to_thread(lambda: content_hash(done.block) != content_hash(block))
    process = ChaosProcess(
        id=f"chaos_{uuid.uuid4().hex}",
        type=body.operation_type,
        intensity=body.intensity,
        status=ProcessStatus.INITIATED,
        owner=principal.id,
        initiator=principal.id,
        seed=seed,
        start_time=now,
        affected_components=[f"sift/{block.id}"],
        requested=1,
        applied=1,
        observed=int(is_changed),
        changes=[f"{injection}: {step.path}" for step in done.intervention.forward],
        trigger_conditions=body.trigger_conditions.model_dump(exclude_defaults=True),
        intermediate_results=[{"intervention_id": done.intervention.id}],
    )
    process.history.append(Transition(status=process.status, at=now, reason="requested"))
    for status in (ProcessStatus.ACTIVE, ProcessStatus.STABILIZING, ProcessStatus.COMPLETED):
        process.move(status, parts.context.clock.now())
    await parts.journal.add(process)
    return process, done.block
