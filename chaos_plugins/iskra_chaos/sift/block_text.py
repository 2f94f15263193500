"""What a block says, as text."""

from iskra_chaos.sift.block import SIFTBlock
from iskra_chaos.sift.markers import Statement, facts_of, steps_of
from iskra_metrics.text import Language, language_of


def zone_statements(block: SIFTBlock) -> list[Statement]:
    """Return what the uncertainty zones say, z0 first, without those that were injected or have no text."""
    found = []
    for position, zone in enumerate(block.fact.uncertainty_zones):
        text = zone.get("text")
        if isinstance(text, str) and text.strip() and zone.get("tag") != "HYP":
            found.append(Statement(f"z{position}", text.strip()))
    return found


def statements_of(block: SIFTBlock) -> list[Statement]:
    """Return facts, steps and uncertain statements; of what was injected, canaries alone."""
    steps = [step for step in steps_of(block) if step.tag != "HYP"]
    return [statement for statement in (*facts_of(block), *steps, *zone_statements(block)) if statement.text]


def text_of(block: SIFTBlock) -> str:
    """Return all that the block says, one statement a line."""
    return "\n".join(statement.text for statement in statements_of(block))


def language_of_block(block: SIFTBlock) -> Language:
    """Return the language that the context names, or the one that most of the block is in."""
    named = block.source.context.get("language")
    if named == "ru" or named == "en":
        return "ru" if named == "ru" else "en"
    return language_of(text_of(block) or block.source.origin)
