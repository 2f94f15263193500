"""Sorts the sentences of a text into facts, steps and uncertain statements."""

import re
from collections.abc import Iterator, Sequence
from datetime import date

from pydantic import JsonValue

from iskra_chaos.sift.argument_graph import argument_graph
from iskra_chaos.sift.attribution import claim, claimed
from iskra_chaos.sift.block import SIFTBlock
from iskra_chaos.sift.concepts import distant_pairs
from iskra_chaos.sift.connectives import argument_in
from iskra_chaos.sift.evidence import EvidenceText, chunks
from iskra_chaos.sift.markers import Statement, facts_of, plain, with_evidence, with_references
from iskra_chaos.sift.reliability import Credibility
from iskra_metrics.claims import contradictions, hedge_rate
from iskra_metrics.text import Language, sentences, words

MOST_STATEMENTS = 400
"""Statements of one text that are taken; the rest is counted."""

MOST_CHARACTERS = 120_000
"""Characters of these statements together, so that the block stays within its size."""

STEP_LOSS = 0.95
"""What one step leaves of the confidence."""

WIDTHS = {"stale date": 0.4, "no source": 0.5, "hedge": 0.6, "conflict": 0.8}
"""How wide a zone is by its reason, in [0, 1]."""

STALE_YEARS = 3

MOST_EARLIER = 8
"""Blocks before that count for the stability."""

_MOST_EARLIER_FACTS = 60

_LONGEST = 2_000  # characters of a statement
_FEWEST_WORDS = 3
_CODE = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)", re.DOTALL)
_YEAR = re.compile(r"\b((?:19|20)\d\d)\b")


class Draft:
    """The statements of one text, as they are sorted.

    Args:
        language: Language of what is written into the block.
        as_of: Day that a year is measured against; unknown where ``None``.
        written: Day the text was written, where it differs from ``as_of``.
    """

    def __init__(self, language: Language, *, as_of: date | None = None, written: date | None = None) -> None:
        self.omitted = 0
        self._language = language
        self._today = as_of or written
        self._sources: dict[str, tuple[EvidenceText, float]] = {}
        self._claimants: dict[str, tuple[EvidenceText, str]] = {}
        self._quoted: tuple[str, str, Credibility] | None = None
        self._facts: dict[str, tuple[str, ...]] = {}  # statement to evidence
        self._steps: dict[str, None] = {}
        self._zones: list[dict[str, JsonValue]] = []
        self._read = 0
        self._characters = 0

    def add_source(self, key: str, text: EvidenceText, reliability: float) -> None:
        """Let what this source says be fact."""
        self._sources[key] = (text, reliability)

    def add_claimant(self, key: str, text: EvidenceText, name: str) -> None:
        """Let what this source says be the fact that it says so."""
        self._claimants[key] = (text, name)

    def quote(self, key: str, name: str, credibility: Credibility) -> None:
        """Take the text itself as the source of what it says."""
        self._quoted = (key, name, credibility)

    @property
    def supported_share(self) -> float:
        """The share of statements that a source with facts says, in [0, 1]; .5 without statements or sources."""
        if not self._read or not self._sources:
            return 0.5 if not self._read else 0.0
        backed = sum(bool(self._sources.keys() & set(evidence)) for evidence in self._facts.values())
        return min(1.0, backed / self._read)

    def read(self, text: str) -> None:
        """Sort the sentences of a text."""
        for start, sentence in _statements(text):
            if self._read >= MOST_STATEMENTS or self._characters + len(sentence) > MOST_CHARACTERS:
                self.omitted += 1
                continue
            self._read += 1
            self._characters += len(sentence)
            self._sort(start, sentence)

    def _sort(self, start: int, sentence: str) -> None:
        argument = argument_in(sentence)
        if argument is None:
            self._place(start, sentence)
            return
        self._steps.setdefault(sentence)
        if not argument.is_condition:
            for premise in argument.premises:
                self._place(start, premise, only_told=True)

    def _place(self, start: int, statement: str, *, only_told: bool = False) -> None:
        verdicts = {key: text.verdict(statement) for key, (text, _) in self._sources.items()}
        told = tuple(key for key, verdict in verdicts.items() if verdict == "told")
        if "contradicted" in verdicts.values():
            self._doubt(start, statement, "conflict")
        elif told:
            self._facts.setdefault(statement, told)
        elif self._is_quotable(statement):
            self._facts.setdefault(*self._quotation(statement))
        elif claimant := self._claimant(statement):
            self._facts.setdefault(claim(claimant[1], statement, self._language), (claimant[0],))
        elif not only_told:
            self._doubt(start, statement, self._reason(statement))

    def _is_quotable(self, statement: str) -> bool:
        return self._quoted is not None and self._reason(statement) == "no source"

    def _quotation(self, statement: str) -> tuple[str, tuple[str, ...]]:
        assert self._quoted is not None  # noqa: S101 - told by the caller
        key, name, credibility = self._quoted
        return (statement if credibility.holds_facts else claim(name, statement, self._language)), (key,)

    def _claimant(self, statement: str) -> tuple[str, str] | None:
        for key, (text, name) in self._claimants.items():
            if text.verdict(statement) == "told":
                return key, name
        return None

    def _reason(self, statement: str) -> str:
        if hedge_rate(statement):
            return "hedge"
        years = [int(year) for year in _YEAR.findall(statement)]
        if years and self._today and self._today.year - max(years) >= STALE_YEARS:
            return "stale date"
        return "no source"

    def _doubt(self, start: int, statement: str, reason: str) -> None:
        if any(zone["text"] == statement for zone in self._zones):
            return
        span: dict[str, JsonValue] = {"start": start, "end": start + len(statement)}
        self._zones.append({"span": span, "text": statement, "reason": reason, "width": WIDTHS[reason]})

    def _linked_steps(self) -> tuple[list[str], frozenset[str]]:
        """Return the steps with what they stand on, and the facts that any of them uses."""
        facts = [Statement(f"f{position}", text) for position, text in enumerate(self._facts)]
        steps = [Statement(f"s{position}", text) for position, text in enumerate(self._steps)]
        graph = argument_graph(facts, steps)
        linked, used = [], set[str]()
        for position, step in enumerate(steps):
            chosen = [
                min((name for name in support.alternatives if name != step.id), key=_facts_first, default="")
                for support in graph.supports[step.id]
            ]
            earlier = [name for name in chosen if name and (name[0] == "f" or int(name[1:]) < position)]
            used.update(name for name in earlier if name[0] == "f")
            linked.append(with_references(step.text, dict.fromkeys(earlier)))
        return linked, frozenset(used)

    def inference(self, reliability: float) -> dict[str, object]:
        """Return the inference: confidence is that of the least reliable source used, less 5 % for each step."""
        steps, used = self._linked_steps()
        evidence = list(self._facts.values())
        weakest = [self._reliability(key, reliability) for name in sorted(used) for key in evidence[int(name[1:])]]
        confidence = min([*weakest, 0.99] if weakest else [reliability, 0.99]) * STEP_LOSS ** len(steps)
        return {
            "logic_chain": steps,
            "confidence_level": round(max(0.01, confidence), 4),
            "paradoxical_elements": self._contradictions(),
        }

    def _reliability(self, key: str, otherwise: float) -> float:
        return self._sources[key][1] if key in self._sources else otherwise

    def _contradictions(self) -> list[str]:
        named = self._named()
        return [
            f"{named[pair.first][0]} <> {named[pair.second][0]}: {pair.kind}"
            for pair in contradictions([text for _, text in named])
        ][:100]

    def _named(self) -> list[tuple[str, str]]:
        groups = (
            ("f", list(self._facts)),
            ("s", list(self._steps)),
            ("z", [str(zone["text"]) for zone in self._zones]),
        )
        return [(f"{letter}{position}", text) for letter, texts in groups for position, text in enumerate(texts)]

    def fact(self, previous: Sequence[SIFTBlock]) -> dict[str, object]:
        """Return facts and doubts; the stability is over these and the last facts of the eight blocks before."""
        earlier = [fact.text for block in previous[-MOST_EARLIER:] for fact in facts_of(block)][-_MOST_EARLIER_FACTS:]
        mine = list(self._facts)
        pairs = contradictions([*earlier, *mine])
        spoiled = {index for pair in pairs for index in (pair.first, pair.second)}
        doubted = len(self._zones) + sum(len(block.fact.uncertainty_zones) for block in previous[-MOST_EARLIER:])
        total = len(earlier) + len(mine) + doubted
        sound = len(earlier) + len(mine) - len(spoiled)
        texts = [claimed(text) for _, text in self._named()]
        return {
            "verified_data": [with_evidence(text, evidence) for text, evidence in self._facts.items()],
            "uncertainty_zones": self._zones,
            "emergence_triggers": [f"{pair.first} ~ {pair.second}" for pair in distant_pairs(texts, 4)],
            "stability_level": round(sound / total, 4) if total else 0.5,
        }


def _facts_first(name: str) -> tuple[bool, int]:
    return name[0] != "f", int(name[1:])


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield (offset, sentence) for each sentence that claims something: no question, no code, no crumb."""
    prose = _CODE.sub(lambda code: " " * len(code.group()), text)
    begin = 0
    for chunk in chunks(prose):
        cursor = 0
        for sentence in sentences(chunk):
            found = chunk.find(sentence, cursor)
            cursor = max(cursor, found)
            claim = plain(sentence)[:_LONGEST]
            if len(words(claim)) >= _FEWEST_WORDS and not claim.rstrip(" \"'»”)").endswith("?"):
                yield begin + cursor, claim
        begin += len(chunk)
