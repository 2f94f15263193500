"""What an injection has to work with: the claims of a block, in an order that a seed decides."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from iskra_chaos.sift.attribution import claimed
from iskra_chaos.sift.block import SIFTBlock, content_hash
from iskra_chaos.sift.block_text import language_of_block
from iskra_chaos.sift.connectives import argument_in
from iskra_chaos.sift.markers import Statement, facts_of, main_chain
from iskra_metrics.text import Language, words

Item = TypeVar("Item")

_LONGEST_QUOTE = 300  # characters


@dataclass(frozen=True, slots=True)
class Claim:
    """A fact or a conclusion that something can be said against.

    Attributes:
        id: Of the fact or step.
        text: What is claimed, without its premises.
    """

    id: str
    text: str

    @property
    def quote(self) -> str:
        """The text, cut to 300 characters, without marks of a sentence's end."""
        text = " ".join(self.text.split()).rstrip(" .;,")
        return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…"


@dataclass(frozen=True, slots=True)
class Material:
    """A block as its injections see it.

    Attributes:
        block: The block itself.
        language: Language that is written in.
        intensity: In [.1, 1].
        key: What the order of choices is made of: seed, type and content.
        facts: Claims that are verified, f0 first.
        conclusions: What the steps of the main chain conclude, s0 first.
    """

    block: SIFTBlock
    language: Language
    intensity: float
    key: str
    facts: tuple[Claim, ...]
    conclusions: tuple[Claim, ...]

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Conclusions, then facts."""
        return self.conclusions + self.facts

    def shuffled(self, items: Iterable[Item], purpose: str = "") -> list[Item]:
        """Return items in an order that the seed decides; each purpose has an order of its own."""
        return [
            item
            for _, item in sorted(
                enumerate(items), key=lambda pair: hashlib.sha256(f"{self.key}|{purpose}|{pair[0]}".encode()).digest()
            )
        ]

    def said(self, english: str, russian: str) -> str:
        """Return the phrase in the language of the block."""
        return russian if self.language == "ru" else english


def material_of(block: SIFTBlock, injection_type: str, intensity: float, seed: int) -> Material:
    """Return what an injection of this type can use; the same block, type and seed give the same order."""
    return Material(
        block=block,
        language=language_of_block(block),
        intensity=intensity,
        key=f"{seed}|{injection_type}|{content_hash(block)}",
        facts=tuple(Claim(fact.id, claimed(fact.text)) for fact in facts_of(block) if words(fact.text)),
        conclusions=tuple(_conclusion(step) for step in main_chain(block) if words(step.text)),
    )


def _conclusion(step: Statement) -> Claim:
    argument = argument_in(step.text)
    return Claim(step.id, argument.conclusion if argument else step.text)
