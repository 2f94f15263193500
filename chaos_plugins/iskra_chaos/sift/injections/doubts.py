"""Uncertainty zones around facts: how wide they become, and what is asked to be verified."""

import math

from pydantic import JsonValue

from iskra_chaos.sift.injections.material import Claim, Material

MOST_ZONES = 5
"""Facts that one injection doubts."""

FLOOR = 0.1
"""Confidence below which no injection lowers it."""


def doubted(material: Material) -> list[Claim]:
    """Return the claims to doubt: a share of the facts that grows with the intensity, steps where there are none."""
    pool = material.facts or material.conclusions
    wanted = min(MOST_ZONES, math.ceil(material.intensity * len(pool)))
    return material.shuffled(pool, "doubt")[:wanted]


def zone(material: Material, claim: Claim) -> dict[str, JsonValue]:
    """Return a new zone around a claim."""
    return {
        "span": claim.id,
        "text": claim.quote,
        "reason": "injected",
        "width": round(0.2 + 0.6 * material.intensity, 4),
        "tag": "HYP",
        "request": request(material, claim),
    }


def widened(material: Material, old: dict[str, JsonValue], claim: Claim) -> dict[str, JsonValue]:
    """Return a zone that is wider by up to .5, and asks for verification."""
    width = old.get("width")
    level = float(width) if isinstance(width, (int, float)) and not isinstance(width, bool) else 0.0
    return {**old, "width": round(min(1.0, level + 0.5 * material.intensity), 4), "request": request(material, claim)}


def request(material: Material, claim: Claim) -> str:
    """Return what is to be verified before the claim is used."""
    return material.said(
        f'Verify before use: "{claim.quote}". Which source says so, and since when?',
        f"Проверить перед использованием: «{claim.quote}». Какой источник это подтверждает и с какого времени?",
    )


def lowered(confidence: float, intensity: float) -> float:
    """Return the confidence × (1 − .5 intensity), not below .1; one that is below already stays."""
    return confidence if confidence <= FLOOR else round(max(FLOOR, confidence * (1 - 0.5 * intensity)), 6)
