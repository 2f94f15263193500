"""Emergence triggers: two claims that lie far from each other, and a question that joins them."""

from itertools import combinations

from iskra_chaos.sift.injections.material import Claim, Material
from iskra_chaos.sift.likeness import jaccard, stem_set
from iskra_chaos.sift.markers import parse, tagged, with_references

_MOST_CLAIMS = 60  # that are compared pair by pair


def distant_claims(material: Material) -> list[tuple[Claim, Claim]]:
    """Return pairs of claims that are not linked yet, the least alike first; facts where there are two, else all."""
    pool = material.facts if len(material.facts) > 1 else material.claims
    pool = tuple(material.shuffled(pool, "pool")[:_MOST_CLAIMS])
    triggers = (parse(raw) for raw in material.block.fact.emergence_triggers)
    linked = {frozenset(trigger.references) for trigger in triggers if trigger.tag == "HYP"}
    stems = {claim.id: stem_set(claim.text) for claim in pool}
    pairs = [pair for pair in combinations(pool, 2) if frozenset(claim.id for claim in pair) not in linked]
    return sorted(pairs, key=lambda pair: jaccard(stems[pair[0].id], stems[pair[1].id]))


def bridge(material: Material, first: Claim, second: Claim, position: int) -> str:
    """Return a hypothesis that two claims belong together, with a bridging question."""
    one, other = first.quote, second.quote
    questions = material.shuffled(
        [
            (
                f'What would have to be true for "{one}" to change "{other}"?',
                f"Что должно быть верно, чтобы «{one}» изменило «{other}»?",
            ),
            (
                f'What do "{one}" and "{other}" have in common that neither names?',
                f"Что общего у «{one}» и «{other}», чего не называет ни одно?",
            ),
            (
                f'If "{one}" is the answer, what question does "{other}" belong to?',
                f"Если «{one}» — ответ, то к какому вопросу относится «{other}»?",
            ),
            (
                f'Who would notice "{one}" and "{other}" at the same time, and why?',
                f"Кто заметит «{one}» и «{other}» одновременно и почему?",
            ),
        ],
        "question",
    )
    english, russian = questions[position % len(questions)]
    return tagged(with_references(material.said(english, russian), [first.id, second.id]), "HYP")
