"""Marks inside the strings of a block, where the wire has room for strings alone.

``[HYP] …``            an injected hypothesis; ``[HYP b2 scale] …`` a step of a parallel branch
``[CANARY] …``         a planted falsehood in a shadow copy
``… [f0, s1]``         what a step stands on: facts and earlier steps, by position
``… [evidence: id]``   which sources in ``source.context.evidence`` hold a fact up
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from iskra_chaos.sift.block import SIFTBlock

Tag = Literal["", "HYP", "CANARY"]

_TAG = re.compile(r"\A\s*\[(HYP|CANARY)((?: [\w:-]+)*)\]\s*")
_REFERENCES = re.compile(r"\[((?:[fs]\d{1,4})(?:, ?[fs]\d{1,4})*)\]\Z")
_EVIDENCE = re.compile(r"\[evidence:([^\[\]]{1,400})\]\Z")
_ANY = re.compile(r"\[(?:HYP|CANARY)\b[^\]]*\]|\[[fs]\d{1,4}(?:, ?[fs]\d{1,4})*\]|\[evidence:[^\]]*\]")


@dataclass(frozen=True, slots=True)
class Statement:
    """One string of a block, taken apart.

    Attributes:
        id: ``f0``, ``s1``: the kind and the position of the string.
        text: What it says, without marks.
        tag: Whether it was injected.
        branch: Name of the parallel branch it belongs to, e.g. ``b1``; empty for the main chain.
        references: Ids that it stands on, as written.
        evidence: Ids of sources, as written.
    """

    id: str
    text: str
    tag: Tag = ""
    branch: str = ""
    references: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


def parse(raw: str, name: str = "") -> Statement:
    """Take a string of a block apart."""
    tag: Tag = ""
    branch = ""
    text = raw.rstrip()
    if found := _TAG.match(text):
        tag = "HYP" if found[1] == "HYP" else "CANARY"
        branch = next((word for word in found[2].split() if re.fullmatch(r"b\d+", word)), "")
        text = text[found.end() :]
    references: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    while True:
        if not references and (found := _REFERENCES.search(text)):
            references = tuple(re.split(r", ?", found[1]))
        elif not evidence and (found := _EVIDENCE.search(text)):
            evidence = tuple(part.strip() for part in found[1].split(",") if part.strip())
        else:
            return Statement(name, text.strip(), tag, branch, references, evidence)
        text = text[: found.start()].rstrip()


def facts_of(block: SIFTBlock) -> list[Statement]:
    """Return the verified statements, f0 first."""
    return [parse(raw, f"f{position}") for position, raw in enumerate(block.fact.verified_data)]


def steps_of(block: SIFTBlock) -> list[Statement]:
    """Return all steps of the logic chain, injected ones too, s0 first."""
    return [parse(raw, f"s{position}") for position, raw in enumerate(block.inference.logic_chain)]


def main_chain(block: SIFTBlock) -> list[Statement]:
    """Return the steps that nobody injected."""
    return [step for step in steps_of(block) if not step.tag]


def canaries(block: SIFTBlock) -> list[str]:
    """Return the planted falsehoods of a shadow copy, as an agent under test sees them."""
    return [step.text for step in steps_of(block) if step.tag == "CANARY"]


def plain(text: str) -> str:
    """Return ``text`` without anything that reads like one of our marks, so that nobody can say them for us."""
    return " ".join(_ANY.sub(" ", text).split())


def with_references(text: str, references: Iterable[str]) -> str:
    """Return a step with what it stands on."""
    joined = ", ".join(references)
    return f"{text} [{joined}]" if joined else text


def with_evidence(text: str, evidence: Sequence[str]) -> str:
    """Return a fact with its sources."""
    return f"{text} [evidence: {', '.join(evidence)}]" if evidence else text


def tagged(text: str, tag: Literal["HYP", "CANARY"], *words: str) -> str:
    """Return a string that says of itself that it was injected."""
    return f"[{' '.join((tag, *words))}] {text}"
