"""What each kind of injection adds to a block, and its bounds."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from iskra_chaos.sift.block import content_of
from iskra_chaos.sift.drafting import STEP_LOSS
from iskra_chaos.sift.grounding import graph_of
from iskra_chaos.sift.injections.bridges import bridge, distant_claims
from iskra_chaos.sift.injections.doubts import doubted, lowered, widened, zone
from iskra_chaos.sift.injections.material import Claim, Material
from iskra_chaos.sift.injections.paradoxes import paradox_seed, seeded_claims
from iskra_chaos.sift.injections.perspectives import branch, lenses
from iskra_chaos.sift.markers import parse, steps_of, tagged
from iskra_chaos.sift.refusals import InjectionBoundError
from iskra_chaos.sift.sensitivity import SENSITIVE
from iskra_chaos.sift.trace import InjectionType
from iskra_metrics.claims import contradictions, negate
from iskra_metrics.text import Language

MOST: dict[InjectionType, int] = {
    "paradox_seeds": 3,
    "perspective_shifts": 3,
    "contradiction_points": 1,
    "emergence_triggers": 4,
}
"""Elements of a kind that a block holds at a time."""

RISE = 0.1
"""What one paradox seed adds to the chaos potential: three of them stay within .3."""

PATHS: dict[InjectionType, tuple[str, ...]] = {
    "paradox_seeds": (
        "/inference/paradoxical_elements",
        "/inference/chaos_potential",
        "/inference/confidence_level",
    ),
    "perspective_shifts": ("/inference/logic_chain",),
    "contradiction_points": ("/inference/logic_chain", "/source/context/shadow"),
    "uncertainty_zones": ("/fact/uncertainty_zones", "/inference/confidence_level"),
    "emergence_triggers": ("/fact/emergence_triggers",),
}
"""Where an injection may write; nowhere else, and never to `verified_data`."""

VERIFY: dict[InjectionType, dict[Language, str]] = {
    "paradox_seeds": {
        "en": "the answer states the conditions under which a claim and its counter-claim hold",
        "ru": "в ответе названы условия, при которых верны тезис и возражение",
    },
    "perspective_shifts": {
        "en": "at least one branch concludes differently, or their agreement is stated",
        "ru": "хотя бы одна ветвь приходит к другому выводу, или сказано, что они согласны",
    },
    "contradiction_points": {
        "en": "the agent reports the planted statement as false",
        "ru": "агент называет подложенное утверждение ложным",
    },
    "uncertainty_zones": {
        "en": "the agent asks or verifies instead of asserting",
        "ru": "агент спрашивает или проверяет, а не утверждает",
    },
    "emergence_triggers": {
        "en": "the answer has a new concept that is linked to two inputs or more",
        "ru": "в ответе есть новое понятие, связанное по меньшей мере с двумя исходными",
    },
}
"""The effect that shows whether an injection worked, in the language of the block."""

# A number with a unit behind it, the last one first: numbers before a verb are often names, as in "node 3 holds".
_QUANTITY = re.compile(r"(?<![\w.,])\d{1,15}(?=\s*%|\s+[^\W\d_])")

Content = dict[str, Any]
Item = TypeVar("Item")


def transformed(material: Material, injection_type: InjectionType) -> Content:
    """Return the content of a block with the elements of an injection added.

    Raises:
        InjectionBoundError: There would be more than a block may hold, or the block has nothing to make them of.
    """
    return _TRANSFORMATIONS[injection_type](material, content_of(material.block))


def _paradox_seeds(material: Material, content: Content) -> Content:
    if material.block.source.chaos_sensitivity >= SENSITIVE:
        raise InjectionBoundError(
            "chaos_sensitivity",
            f"no paradox from {SENSITIVE} on, and this block has {material.block.source.chaos_sensitivity}.",
            mend="Take `uncertainty_zones`, which only asks for checks, or leave the block as it is.",
        )
    present = sum(parse(raw).tag == "HYP" for raw in material.block.inference.paradoxical_elements)
    wanted = _room("paradox_seeds", present, math.ceil(3 * material.intensity))
    free = [claim for claim in material.claims if claim.id not in seeded_claims(material)]
    chosen = material.shuffled(_some(free, "paradox_seeds"), "claim")[:wanted]
    inference = content["inference"]
    inference["paradoxical_elements"] += [
        paradox_seed(material, claim, position) for position, claim in enumerate(chosen)
    ]
    inference["chaos_potential"] = round(min(1.0, inference["chaos_potential"] + RISE * len(chosen)), 6)
    used = {source for source, _, _ in graph_of(material.block).edges()}
    touched = sum(claim.id in used for claim in chosen)
    inference["confidence_level"] = round(inference["confidence_level"] * STEP_LOSS**touched, 6)
    return content


def _perspective_shifts(material: Material, content: Content) -> Content:
    names = {step.branch for step in steps_of(material.block) if step.branch}
    wanted = _room("perspective_shifts", len(names), math.ceil(3 * material.intensity))
    _some(material.conclusions, "perspective_shifts")
    free = [name for name in ("b1", "b2", "b3") if name not in names]
    for name, lens in zip(free, lenses(material, wanted), strict=False):
        content["inference"]["logic_chain"] += branch(material, lens, name)
    return content


def _contradiction_points(material: Material, content: Content) -> Content:
    present = sum(step.tag == "CANARY" for step in steps_of(material.block))
    _room("contradiction_points", present, 1)
    claim = material.shuffled(_some(material.facts or material.conclusions, "contradiction_points"), "plant")[0]
    content["inference"]["logic_chain"].append(tagged(_falsehood(claim), "CANARY"))
    content["source"]["context"]["shadow"] = True
    return content


def _falsehood(claim: Claim) -> str:
    for number in reversed(list(_QUANTITY.finditer(claim.quote))):
        wrong = claim.quote[: number.start()] + str(int(number.group()) * 10 + 7) + claim.quote[number.end() :]
        if contradictions([claim.quote, wrong]):
            return wrong
    return negate(claim.quote)


def _uncertainty_zones(material: Material, content: Content) -> Content:
    zones: list[Content] = content["fact"]["uncertainty_zones"]
    places = {old.get("span"): position for position, old in enumerate(zones) if isinstance(old.get("span"), str)}
    chosen = _some(doubted(material), "uncertainty_zones")
    for claim in chosen:
        if claim.id in places:
            position = places[claim.id]
            zones[position] = widened(material, zones[position], claim)
        else:
            zones.append(zone(material, claim))
    inference = content["inference"]
    inference["confidence_level"] = lowered(inference["confidence_level"], material.intensity)
    return content


def _emergence_triggers(material: Material, content: Content) -> Content:
    present = sum(parse(raw).tag == "HYP" for raw in material.block.fact.emergence_triggers)
    wanted = _room("emergence_triggers", present, math.ceil(4 * material.intensity))
    pairs = _some(distant_claims(material), "emergence_triggers")[:wanted]
    content["fact"]["emergence_triggers"] += [
        bridge(material, first, second, position) for position, (first, second) in enumerate(pairs)
    ]
    return content


def _room(injection_type: InjectionType, present: int, wanted: int) -> int:
    most = MOST[injection_type]
    if present + wanted > most:
        raise InjectionBoundError(
            injection_type,
            f"a block holds at most {most} at a time; it has {present}, and this intensity adds {wanted}.",
            mend="Lower the intensity, or revert an earlier injection.",
        )
    return wanted


def _some(items: Sequence[Item], injection_type: InjectionType) -> Sequence[Item]:
    if not items:
        raise InjectionBoundError(
            injection_type,
            "the block has nothing to make one of, or each of its claims has one already.",
            mend="Add facts or steps to the block.",
        )
    return items


_TRANSFORMATIONS: dict[InjectionType, Callable[[Material, Content], Content]] = {
    "paradox_seeds": _paradox_seeds,
    "perspective_shifts": _perspective_shifts,
    "contradiction_points": _contradiction_points,
    "uncertainty_zones": _uncertainty_zones,
    "emergence_triggers": _emergence_triggers,
}
