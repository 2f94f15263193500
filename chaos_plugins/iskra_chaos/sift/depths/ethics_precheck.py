"""What speaks against unsettling a block at all, before anybody reviews a request."""

from collections.abc import Sequence

from iskra_chaos.sift.analysis import EthicsPrecheck
from iskra_chaos.sift.block import SIFTBlock
from iskra_chaos.sift.block_text import text_of
from iskra_chaos.sift.markers import canaries
from iskra_chaos.sift.sensitivity import SENSITIVE, sensitive_topics
from iskra_metrics.distress import in_crisis
from iskra_metrics.utterance import Utterance


def ethics_precheck(block: SIFTBlock, recent: Sequence[Utterance] = ()) -> EthicsPrecheck:
    """Return what speaks against unsettling a block."""
    said = [utterance.text for utterance in recent if utterance.role == "user"]
    text = text_of(block)
    concerns = ["crisis"] if any(in_crisis(each) for each in (*said, text)) else []
    if block.source.chaos_sensitivity >= SENSITIVE:
        concerns.append("sensitivity")
    concerns += [f"topic:{topic}" for topic in sensitive_topics("\n".join((text, *said)))]
    if block.inference.confidence_level >= 1.0:
        concerns.append("certainty")
    if canaries(block):
        concerns.append("canary")
    return EthicsPrecheck(clear=not concerns, concerns=concerns)
