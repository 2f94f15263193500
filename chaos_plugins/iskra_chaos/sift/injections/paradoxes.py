"""Paradox seeds: a claim, what speaks against it, and when both hold."""

import re

from iskra_chaos.sift.injections.material import Claim, Material
from iskra_chaos.sift.markers import parse, tagged, with_references
from iskra_metrics.claims import contradictions, negate

EDGE_CASE = 0.4
"""Below this intensity a limiting case is set against a claim, from here on its opposite."""

_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")


def paradox_seed(material: Material, claim: Claim, position: int) -> str:
    """Return a hypothesis that holds a claim and its counter-claim together; ``position`` varies the condition.

    The strongest counter-claim is a statement of the block that contradicts the claim; else it is a limiting case at
    low intensity, and the claim's negation at a higher one.
    """
    rival = _rival(material, claim)
    if rival is not None:
        counter, condition = rival.quote, _when_rivals_agree(material, position)
    elif material.intensity < EDGE_CASE:
        counter, condition = _limiting_case(material, claim)
    else:
        counter, condition = negate(claim.quote), _when_opposites_agree(material, position)
    text = material.said(
        f'Claim: "{claim.quote}" — Counter: "{counter}" — Both hold if: {condition}',
        f"Тезис: «{claim.quote}» — Возражение: «{counter}» — Оба верны, если: {condition}",
    )
    references = [claim.id] if rival is None else [claim.id, rival.id]
    return tagged(with_references(text, references), "HYP")


def seeded_claims(material: Material) -> set[str]:
    """Return the ids of the claims that have a seed already."""
    elements = (parse(raw) for raw in material.block.inference.paradoxical_elements)
    return {element.references[0] for element in elements if element.tag == "HYP" and element.references}


def _rival(material: Material, claim: Claim) -> Claim | None:
    for other in material.claims:
        if other.id != claim.id and contradictions([claim.text, other.text]):
            return other
    return None


def _limiting_case(material: Material, claim: Claim) -> tuple[str, str]:
    number = _NUMBER.search(claim.quote)
    if number:
        case = material.said(f"at 0 or at 100 × {number.group()}", f"при 0 или при 100 × {number.group()}")
        return (
            material.said(f"{case} this no longer holds", f"{case} это уже не так"),
            material.said(
                f"there is a bound near {number.group()} beyond which something else decides",
                f"рядом с {number.group()} есть граница, за которой решает другое",
            ),
        )
    return (
        material.said("there is a single case in which this fails", "есть хотя бы один случай, где это не так"),
        material.said(
            "the claim is about the usual case, and the exception can be named",
            "тезис говорит об обычном случае, а исключение можно назвать",
        ),
    )


def _when_rivals_agree(material: Material, position: int) -> str:
    conditions = material.shuffled(
        [
            material.said("they speak of different moments", "они говорят о разных моментах"),
            material.said("they speak of different parts of the whole", "они говорят о разных частях целого"),
            material.said("they use one word in two senses", "одно слово взято в двух смыслах"),
        ],
        "rivals",
    )
    return conditions[position % len(conditions)]


def _when_opposites_agree(material: Material, position: int) -> str:
    conditions = material.shuffled(
        [
            material.said("the one holds now and the other later", "одно верно сейчас, а другое потом"),
            material.said("the one holds for few and the other for many", "одно верно для немногих, другое для многих"),
            material.said(
                "the goal is reached by the opposite of what serves it at first",
                "цель достигается противоположным тому, что служит ей вначале",
            ),
            material.said("what it stands on is only assumed", "то, на чём оно стоит, лишь предположено"),
        ],
        "opposites",
    )
    return conditions[position % len(conditions)]
