"""Success criteria of a collaboration: each a check of the closing answer and of what the voices said."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from iskra_metrics.text import normal, stems
from iskra_sdk.errors import BadInputError
from iskra_voices.answer_shape import numbered, question_count, word_count
from iskra_voices.catalogue import VoiceCatalogue
from iskra_voices.definitions.iskra import attributes, states_open_conflicts
from iskra_voices.definitions.iskriv import VERDICTS, verdict_of
from iskra_voices.policy import Scene

ENOUGH_WORDS = 0.60
"""Share of the content words of a criterion in plain words that the closing answer must have."""

_FORM = re.compile(r"([a-z_]+)\s*:\s*(\S.*)$")
_DEMAND = re.compile(r"([^\s.]+)\.([a-z_]+)$")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What there is to judge.

    Attributes:
        closing: Iskra's answer.
        contributions: What each voice said in the round.
        scene: Of the closing answer.
    """

    closing: str
    contributions: Mapping[str, str]
    scene: Scene


@dataclass(frozen=True, slots=True)
class Criterion:
    """One criterion.

    Attributes:
        text: As it was given.
        how: How it is checked, for people.
        is_met: Judges an outcome.
    """

    text: str
    how: str
    is_met: Callable[[Outcome], bool]


def criterion(text: str, catalogue: VoiceCatalogue) -> Criterion:
    """Read a criterion.

    ``max_words: 120``, ``min_words: 20``, ``max_questions: 1``, ``steps: 3``, ``mentions: …``, ``avoids: …``,
    ``verdict: approve``, ``every_voice``, ``conflicts_stated``, and ``kain.is_short`` for a demand on what a voice
    said; anything else is read as plain words, of which the closing answer must have three in five.

    Raises:
        BadInputError: One of these forms with an argument that does not fit.
    """
    text = text.strip()
    if text == "every_voice":
        return Criterion(
            text,
            "each voice is named with something it said",
            lambda outcome: all(attributes(outcome.closing, *said) for said in outcome.contributions.items()),
        )
    if text == "conflicts_stated":
        return Criterion(
            text, "each conflict is named", lambda outcome: states_open_conflicts(outcome.closing, outcome.scene)
        )
    form = _FORM.match(text)
    if form and form[1] in _COUNTS:
        return _counted(text, form[1], form[2])
    if form and form[1] == "mentions":
        wanted = normal(form[2])
        return Criterion(text, "the text is found", lambda outcome: wanted in normal(outcome.closing))
    if form and form[1] == "avoids":
        unwanted = normal(form[2])
        return Criterion(text, "the text is not found", lambda outcome: unwanted not in normal(outcome.closing))
    if form and form[1] == "verdict":
        return _verdict(text, form[2].lower())
    demand = _DEMAND.match(text)
    policy = catalogue.get(demand[1]) if demand else None
    if demand and policy is not None:
        check = next((check for check in policy.checks if check.name == demand[2]), None)
        if check is None:
            known = ", ".join(check.name for check in policy.checks)
            raise BadInputError(f"The voice {policy.name!r} has no demand {demand[2]!r}.", mend=f"It has: {known}.")
        name, holds = policy.name, check.holds
        return Criterion(
            text,
            check.demand,
            lambda outcome: holds(
                outcome.closing if name == "iskra" else outcome.contributions.get(name, ""), outcome.scene
            ),
        )
    words = set(stems(text))
    if not words:
        raise BadInputError(
            f"The criterion {text[:40]!r} has no word that an answer could be held against.",
            mend="Say it in words, or take a form such as `max_words: 120`.",
        )
    return Criterion(
        text,
        f"{ENOUGH_WORDS:.0%} of its content words are in the closing answer",
        lambda outcome: len(words & set(stems(outcome.closing))) >= ENOUGH_WORDS * len(words),
    )


_COUNTS: Mapping[str, tuple[str, Callable[[str], int], Callable[[int, int], bool]]] = {
    "max_words": ("words at most", word_count, lambda count, limit: count <= limit),
    "min_words": ("words at least", word_count, lambda count, limit: count >= limit),
    "max_questions": ("questions at most", question_count, lambda count, limit: count <= limit),
    "steps": ("numbered steps at least", lambda text: len(numbered(text)), lambda count, limit: count >= limit),
}


def _counted(text: str, name: str, given: str) -> Criterion:
    if not given.isdecimal():
        raise BadInputError(f"{text!r} needs a number.", mend=f"For example `{name}: 3`.")
    said, count, holds = _COUNTS[name]
    limit = int(given)
    return Criterion(text, f"{limit} {said}", lambda outcome: holds(count(outcome.closing), limit))


def _verdict(text: str, named: str) -> Criterion:
    wanted = VERDICTS.get(named)
    if wanted is None:
        raise BadInputError(f"{named!r} is no verdict.", mend=f"Pick one of: {', '.join(VERDICTS)}.")

    def is_met(outcome: Outcome) -> bool:
        return verdict_of(outcome.contributions.get("iskriv", "") or outcome.closing) == wanted

    return Criterion(text, "the verdict of iskriv, or of the closing answer", is_met)
