"""Perspective shifts: the chain of steps again, from where somebody else stands."""

import re
from dataclasses import dataclass
from typing import Literal

from iskra_chaos.sift.grounding import graph_of, supported_facts
from iskra_chaos.sift.injections.material import Claim, Material
from iskra_chaos.sift.markers import main_chain, tagged, with_references
from iskra_metrics.claims import hedge_rate, negate

LONGEST_BRANCH = 6
"""Steps that are told again, the last ones of the chain."""

_NUMBER = re.compile(r"(?<![\w.,])\d+(?![\w]|[.,]\d)")
_TIME = re.compile(
    r"\b(?:now|today|currently|yesterday|recently|still|(?:19|20)\d\d|сейчас|сегодня|вчера|недавно|пока|теперь|текущ\w+)\b",
    re.IGNORECASE,
)

_LONGEST_STEP = 1_000  # characters of a step that are told again

LensKind = Literal["stakeholder", "scale", "time", "voice"]


@dataclass(frozen=True, slots=True)
class Lens:
    """One place to look from, in English and Russian."""

    kind: LensKind
    english: str
    russian: str
    factor: int = 1


_LENSES = (
    Lens("stakeholder", "for the one who pays for it", "для того, кто за это платит"),
    Lens("stakeholder", "for the one who is woken at night", "для того, кого будят ночью"),
    Lens("stakeholder", "for the one who sees it for the first time", "для того, кто видит это впервые"),
    Lens("scale", "at a hundred times the scale", "в сто раз крупнее", 100),
    Lens("scale", "at a thousand times the scale", "в тысячу раз крупнее", 1000),
    Lens("time", "a year from now", "через год"),
    Lens("time", "when all of it is to be undone", "когда всё это придётся отменить"),
    Lens("voice", "as Kain would put it, by its price", "словами Кайна, через цену"),
    Lens("voice", "as Sam would put it, in order", "словами Сэма, по порядку"),
)


def lenses(material: Material, wanted: int) -> list[Lens]:
    """Return as many places to look from, each of another kind."""
    chosen: dict[str, Lens] = {}
    for lens in material.shuffled(_LENSES, "lens"):
        chosen.setdefault(lens.kind, lens)
    return list(chosen.values())[:wanted]


def branch(material: Material, lens: Lens, name: str) -> list[str]:
    """Return the last steps as they look through a lens, and whether the conclusion stays the same."""
    steps = main_chain(material.block)[-LONGEST_BRANCH:]
    view = material.said(lens.english, lens.russian)
    told = [
        with_references(f"{_capital(view)}: {_scaled(step.text[:_LONGEST_STEP], lens)}", [step.id]) for step in steps
    ]
    conclusion = material.conclusions[-1]
    differs, why = _verdict(material, lens, conclusion)
    if differs:
        other = _scaled(conclusion.quote, lens)
        other = other if other != conclusion.quote else negate(conclusion.quote)
        ending = material.said(
            f'The conclusion ({view}) differs: "{other}", because {why}',
            f"Вывод ({view}) другой: «{other}», потому что {why}",
        )
    else:
        ending = material.said(
            f'The conclusion ({view}) stays: "{conclusion.quote}", because {why}',
            f"Вывод ({view}) тот же: «{conclusion.quote}», потому что {why}",
        )
    return [tagged(text, "HYP", name, lens.kind) for text in (*told, with_references(ending, [conclusion.id]))]


def _verdict(material: Material, lens: Lens, conclusion: Claim) -> tuple[bool, str]:
    """Tell whether a conclusion survives a lens: what it is sensitive to is read off its words and its support."""
    step = next(step for step in main_chain(material.block) if step.id == conclusion.id)
    if lens.kind == "scale":
        if _NUMBER.search(step.text):
            return True, material.said("it rests on a quantity that grows", "он держится на величине, которая растёт")
        return False, material.said("no quantity is part of it", "величин в нём нет")
    if lens.kind == "time":
        if _TIME.search(step.text) or hedge_rate(step.text):
            return True, material.said("it speaks of a moment that passes", "он говорит о моменте, который пройдёт")
        return False, material.said("nothing in it bears a date", "ничто в нём не привязано ко времени")
    graph, facts = graph_of(material.block), supported_facts(material.block)
    standing = graph.standing(facts)
    if lens.kind == "stakeholder":
        if step.id not in standing:
            return True, material.said("no supported fact is shown to them", "подтверждённого факта им не показано")
        return False, material.said("its facts hold for anybody", "его факты верны для любого")
    if "Kain" in lens.english:
        pillar = next((fact for fact in sorted(facts) if step.id in standing - graph.standing(facts - {fact})), "")
        if pillar:
            return True, material.said(f"it falls with {pillar} alone", f"он падает вместе с одним {pillar}")
        return False, material.said("no single fact is its price", "ни один отдельный факт ему не цена")
    gap = next((name for name in graph.steps if name not in standing), "")
    if gap:
        return True, material.said(f"the order breaks at {gap}", f"порядок рвётся на {gap}")
    return False, material.said("each step stands on one before it", "каждый шаг опирается на предыдущий")


def _scaled(text: str, lens: Lens) -> str:
    if lens.factor == 1:
        return text
    return _NUMBER.sub(lambda found: str(int(found.group()) * lens.factor) if len(found.group()) < 16 else "∞", text)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
