"""Puts chaotic elements into a block, and takes them out again."""

import hashlib
import math
from datetime import datetime
from typing import Any, NamedTuple, cast, get_args

from pydantic import ValidationError

from iskra_chaos.sift.block import SIFTBlock, content_hash, content_of
from iskra_chaos.sift.block_text import language_of_block
from iskra_chaos.sift.canonical_json import canonical_json
from iskra_chaos.sift.injections.material import material_of
from iskra_chaos.sift.injections.patches import apply, diff, is_below, value_at
from iskra_chaos.sift.injections.transformations import PATHS, VERIFY, transformed
from iskra_chaos.sift.refusals import InjectionBoundError, OverlappingEditError
from iskra_chaos.sift.trace import ChaosIntervention, InjectionType, PatchStep, ProcessingRecord
from iskra_sdk.errors import BadInputError, NotFoundError

LEAST, MOST = 0.1, 1.0
"""Bounds of the intensity."""

SHADOW = "~shadow"
"""What the id of a shadow copy ends with."""


class Injection(NamedTuple):
    """A block with elements injected, and the record of it, which is in the block's trace as well."""

    block: SIFTBlock
    intervention: ChaosIntervention


def inject(
    block: SIFTBlock,
    injection_type: InjectionType,
    intensity: float,
    *,
    seed: int = 0,
    at: datetime | None = None,
    actor: str = "",
    sandbox: bool = False,
) -> Injection:
    """Return a block with chaotic elements added, all of them marked; what is verified stays as it is.

    The same block, type, intensity and seed give the same elements.

    Args:
        block: The block; it is not changed.
        injection_type: What to add.
        intensity: How much, in [.1, 1].
        seed: Decides between elements that would do equally well.
        at: When; the record says null where it is not given.
        actor: Who.
        sandbox: The session is a test that no user sees; `contradiction_points` are for these alone, and go into a
            shadow copy.

    Raises:
        InjectionBoundError: A bound would be broken, or the block has nothing to make elements of.
    """
    if injection_type not in get_args(InjectionType):
        raise InjectionBoundError("injection_type", f"there is no {injection_type!r}.")
    if not (math.isfinite(intensity) and LEAST <= intensity <= MOST):
        raise InjectionBoundError("intensity", f"it lies between {LEAST} and {MOST}, not at {intensity}.")
    if injection_type == "contradiction_points" and not sandbox:
        raise InjectionBoundError("sandbox", "a falsehood is planted in a sandbox only, never where a user may see it.")
    before = content_of(block)
    after = transformed(material_of(block, injection_type, intensity, seed), injection_type)
    forward, inverse = diff(before, after), diff(after, before)
    if not all(is_below(str(step["path"]), PATHS[injection_type]) for step in forward):
        raise InjectionBoundError("paths", f"{injection_type} writes to {', '.join(PATHS[injection_type])} only.")
    is_planted = injection_type == "contradiction_points"
    name = f"{block.id.removesuffix(SHADOW)[:190]}{SHADOW}" if is_planted else block.id
    before_hash, after_hash = content_hash(block), _hash(after)
    intervention = ChaosIntervention(
        id=_intervention_id(block, injection_type, seed, before_hash),
        injection_type=injection_type,
        intensity=intensity,
        seed=seed,
        at=at,
        actor=actor[:200],
        sandbox=sandbox,
        tag="CANARY" if is_planted else "HYP",
        forward=[PatchStep.model_validate(step) for step in forward],
        inverse=[PatchStep.model_validate(step) for step in inverse],
        before_hash=before_hash,
        after_hash=after_hash,
        verify=VERIFY[injection_type][language_of_block(block)],
    )
    return Injection(_with_record(block, name, after, intervention, f"inject:{injection_type}"), intervention)


def active_interventions(block: SIFTBlock) -> list[ChaosIntervention]:
    """Return the injections that were not taken back, the oldest first."""
    records = block.trace.chaos_interventions
    reverted = {record.reverts for record in records if record.reverts}
    return [record for record in records if not record.reverts and record.id not in reverted]


def revert(block: SIFTBlock, intervention_id: str, *, at: datetime | None = None, actor: str = "") -> SIFTBlock:
    """Return a block without the elements of an injection; the trace keeps its record and gains one of the revert.

    The last injection is the first to be taken back. Later edits elsewhere in the block stay. To revert once more
    changes nothing. A shadow copy keeps its id.

    Raises:
        NotFoundError: The block has no such injection.
        OverlappingEditError: A later injection stands on it, or what it wrote was edited since.
        BadInputError: The record in the trace does not lead back to where it says.
    """
    records = block.trace.chaos_interventions
    record = next((one for one in records if one.id == intervention_id and not one.reverts), None)
    if record is None:
        raise NotFoundError(
            f"The block {block.id!r} has no injection {intervention_id!r}.",
            mend="Send the block that came back from the injection, with an id of its `trace.chaos_interventions`.",
        )
    active = [one.id for one in active_interventions(block)]
    if intervention_id not in active:
        return block
    if active[-1] != intervention_id:
        later = active[active.index(intervention_id) + 1 :]
        paths = [step.path for one in records if one.id in later for step in one.forward]
        raise OverlappingEditError(intervention_id, later=later, paths=paths)
    restored = _restored(block, record)
    undoing = record.model_copy(
        update={
            "id": f"{record.id}-reverted",
            "at": at,
            "actor": actor[:200],
            "forward": record.inverse,
            "inverse": record.forward,
            "before_hash": content_hash(block),
            "after_hash": _hash(restored),
            "verify": "",
            "reverts": record.id,
        }
    )
    return _with_record(block, block.id, restored, undoing, f"revert:{record.injection_type}")


def _restored(block: SIFTBlock, record: ChaosIntervention) -> dict[str, Any]:
    """Return the content without an injection, after a check that its record is to be trusted."""
    steps = [*record.forward, *record.inverse]
    allowed = PATHS[record.injection_type]
    strays = sorted({step.path for step in steps if not is_below(step.path, allowed)})
    if strays:  # a record that came with the block from outside may say anything
        raise InjectionBoundError("paths", f"{record.injection_type} never wrote to {', '.join(strays)}.")
    content = content_of(block)
    was_edited = content_hash(block) != record.after_hash
    changed = _changed_since(content, record) if was_edited else []
    if changed:
        raise OverlappingEditError(record.id, paths=changed)
    try:
        restored = cast(dict[str, Any], apply(content, [step.as_operation() for step in record.inverse]))
    except BadInputError as exc:
        raise OverlappingEditError(record.id, paths=[step.path for step in record.inverse]) from exc
    if not was_edited and _hash(restored) != record.before_hash:
        raise BadInputError(f"The record of the injection {record.id!r} does not lead back to where it says.")
    return restored


def _changed_since(content: dict[str, Any], record: ChaosIntervention) -> list[str]:
    """Return the paths of an injection that no longer hold what it put there."""
    changed = []
    for step in record.forward:
        is_there, value = value_at(content, step.path)
        if not is_there or canonical_json(value) != canonical_json(step.value):
            changed.append(step.path)
    return changed


def _with_record(
    block: SIFTBlock, name: str, content: dict[str, Any], intervention: ChaosIntervention, op: str
) -> SIFTBlock:
    entry = ProcessingRecord(
        op=op,
        actor=intervention.actor,
        at=intervention.at.isoformat() if intervention.at else "",
        in_hash=intervention.before_hash,
        out_hash=intervention.after_hash,
    )
    trace = block.trace.model_dump()
    trace["processing_history"].append(entry.model_dump())
    trace["chaos_interventions"].append(intervention.model_dump())
    try:
        return SIFTBlock.model_validate({"id": name, **content, "trace": trace})
    except ValidationError as exc:
        reasons = "; ".join(error["msg"].removeprefix("Value error, ") for error in exc.errors()[:3])
        raise InjectionBoundError(
            "block_size",
            f"the block would no longer fit its schema: {reasons}.",
            mend="Send a smaller block, or lower the intensity.",
        ) from exc


def _intervention_id(block: SIFTBlock, injection_type: str, seed: int, before_hash: str) -> str:
    position = len(block.trace.chaos_interventions)
    digest = hashlib.sha256(f"{block.id}|{before_hash}|{injection_type}|{seed}|{position}".encode()).hexdigest()
    return f"injection-{digest[:20]}"


def _hash(content: dict[str, Any]) -> str:
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()
