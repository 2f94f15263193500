"""How much a block could gain from being unsettled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from iskra_chaos.sift.block import SIFTBlock
from iskra_chaos.sift.block_text import statements_of
from iskra_chaos.sift.grounding import unsupported
from iskra_chaos.sift.markers import Statement
from iskra_metrics.claims import contradictions
from iskra_metrics.reading import Reading
from iskra_metrics.staleness import staleness
from iskra_metrics.utterance import Utterance

STALENESS, CONTRADICTION, OPENNESS = 0.4, 0.3, 0.3
"""Weights of the parts."""

COMPARED = 120
"""Statements that are held against one another; of more, the last ones."""

_FEWEST = 8  # statements: one pair among two is not a block full of contradictions
_MOST = 60  # statements that stand for turns where no conversation is given
_ENOUGH_TRIGGERS = 4


@dataclass(frozen=True, slots=True)
class ChaosPotential:
    """The potential and its parts, all in [0, 1], with what they were made of.

    Attributes:
        value: The weighted sum.
        parts: ``staleness``, ``contradiction`` and ``openness``.
        staleness: The staleness as it was read.
        pairs: Contradicting pairs within the block.
        unsupported: Ids of statements without support.
        of_conversation: The staleness is that of a conversation, not of the block's own statements.
    """

    value: float
    parts: Mapping[str, float]
    staleness: Reading
    pairs: int
    unsupported: tuple[str, ...]
    of_conversation: bool


def chaos_potential(block: SIFTBlock, recent: Sequence[Utterance] = ()) -> ChaosPotential:
    """Return .4 staleness + .3 contradiction + .3 openness.

    Staleness is that of ``recent``, or of the block's own statements where no conversation is given. Contradiction is
    the share of statements that contradict another one of the block, among at least eight. Openness, the room for
    something new, is half the share of statements without support and half the number of emergence triggers, of four.
    """
    statements = statements_of(block)
    said = recent or [Utterance("assistant", text) for text in _turns(statements)]
    stale = staleness(said)
    compared = statements[-COMPARED:]
    pairs = contradictions([statement.text for statement in compared])
    involved = {index for pair in pairs for index in (pair.first, pair.second)}
    floating = tuple(unsupported(block))
    open_share = len(floating) / len(statements) if statements else 0.0
    triggers = min(1.0, len(block.fact.emergence_triggers) / _ENOUGH_TRIGGERS)
    parts = {
        "staleness": stale.value,
        "contradiction": len(involved) / max(_FEWEST, len(compared)),
        "openness": min(1.0, (open_share + triggers) / 2),
    }
    value = STALENESS * parts["staleness"] + CONTRADICTION * parts["contradiction"] + OPENNESS * parts["openness"]
    rounded = {name: round(part, 4) for name, part in parts.items()}
    return ChaosPotential(round(min(1.0, value), 4), rounded, stale, len(pairs), floating, bool(recent))


def _turns(statements: Sequence[Statement]) -> list[str]:
    """Return statements that may stand for turns: without the premises that are facts and part of a step as well."""
    steps = [statement.text.lower() for statement in statements if statement.id.startswith("s")]
    return [
        statement.text
        for statement in statements[-_MOST:]
        if statement.id.startswith("s") or not any(statement.text.lower() in step for step in steps)
    ]
