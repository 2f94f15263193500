"""What a model is asked about a block: its conclusion, what would change it, and the same in other words."""

import hashlib
from collections.abc import Sequence

from iskra_chaos.sift.block import SIFTBlock
from iskra_chaos.sift.block_text import language_of_block
from iskra_chaos.sift.markers import Statement, facts_of, main_chain
from iskra_metrics.claims import negate

MOST_FACTS = 30
"""Facts that a prompt holds."""

_HEADS = {
    "en": ("What follows from these facts?", "These facts are known.", "Here is what we know."),
    "ru": ("Что следует из этих фактов?", "Известны такие факты.", "Вот что мы знаем."),
}
_TAILS = {
    "en": (
        "State the conclusion in one sentence.",
        "Give the one conclusion that they support, in a single sentence.",
        "Conclude, in one sentence.",
    ),
    "ru": (
        "Назови вывод одним предложением.",
        "Дай единственный вывод, который они подтверждают, одним предложением.",
        "Сделай вывод одним предложением.",
    ),
}


def conclusion_prompt(block: SIFTBlock, *, negated: str = "") -> str:
    """Return the question for the conclusion, with the fact of id ``negated`` turned into its opposite."""
    lines = [negate(fact.text) if fact.id == negated else fact.text for fact in _known(block)]
    language = language_of_block(block)
    return _joined(_HEADS[language][0], lines, _TAILS[language][0])


def paraphrases(block: SIFTBlock, wanted: int, seed: int) -> list[str]:
    """Return the same question in other words and with the facts in another order, ``wanted`` times."""
    language = language_of_block(block)
    lines = [fact.text for fact in _known(block)]
    prompts = []
    for number in range(wanted):
        order = sorted(lines, key=lambda line: hashlib.sha256(f"{seed}|{number}|{line}".encode()).digest())
        prompts.append(_joined(_HEADS[language][1 + number % 2], order, _TAILS[language][1 + number % 2]))
    return prompts


def asked_ids(block: SIFTBlock) -> frozenset[str]:
    """Return the ids of the statements that the prompts hold."""
    return frozenset(statement.id for statement in _known(block))


def _known(block: SIFTBlock) -> list[Statement]:
    """Return the facts, or the premises of a block that has none, as many as fit."""
    return (facts_of(block) or main_chain(block)[:-1] or main_chain(block))[:MOST_FACTS]


def _joined(head: str, lines: Sequence[str], tail: str) -> str:
    return "\n".join((head, *(f"- {line[:600]}" for line in lines), tail))
