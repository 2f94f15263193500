"""Conversations of eight turns, cut from prose: healthy, stale, half stale, and such that change their subject."""

import random
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from iskra_metrics.utterance import Utterance

DATA = Path(__file__).parent / "data"
LANGUAGES = ("russian", "english")
TURNS = 8

Window = list[Utterance]


@lru_cache
def subjects(language: str) -> list[list[str]]:
    """Return the paragraphs of each subject of a language."""
    text = (DATA / f"{language}.txt").read_text(encoding="utf-8")
    parts = re.split(r"^# .*$", text, flags=re.MULTILINE)[1:]
    return [[" ".join(paragraph.split()) for paragraph in part.strip().split("\n\n")] for part in parts]


def dialogue(texts: Sequence[str]) -> Window:
    """Let user and assistant say ``texts`` in turn."""
    return [Utterance("assistant" if i % 2 else "user", text) for i, text in enumerate(texts)]


def healthy(language: str, rng: random.Random, words: int | None = None) -> Window:
    """Eight different paragraphs on one subject."""
    subject = rng.choice(subjects(language))
    return dialogue([_cut(text, words) for text in rng.sample(subject, TURNS)])


def stale(language: str, rng: random.Random, words: int | None = None) -> Window:
    """The same two paragraphs over and over, each time without a quarter of the words and with sentences shuffled."""
    pair = [_cut(text, words) for text in rng.sample(rng.choice(subjects(language)), 2)]
    return dialogue([_worn(pair[i % 2], rng) for i in range(TURNS)])


def half_stale(language: str, rng: random.Random, words: int | None = None) -> Window:
    """Turns that begin anew, and whose second half is that of the first or of the second turn."""
    texts = [_cut(text, words).split() for text in rng.sample(rng.choice(subjects(language)), TURNS)]
    return dialogue([_joined(text, texts[i % 2]) for i, text in enumerate(texts)])


def half_worn(language: str, rng: random.Random, words: int | None = None) -> Window:
    """As half stale, but what comes again lacks a quarter of its words and has its sentences in another order."""
    texts = [_cut(text, words).split() for text in rng.sample(rng.choice(subjects(language)), TURNS)]
    return dialogue([_joined(text, _worn(" ".join(texts[i % 2]), rng).split()) for i, text in enumerate(texts)])


def on_course(language: str, rng: random.Random, words: int | None = None) -> Window:
    """Three turns of the user and then four of both, all on one subject."""
    texts = [_cut(text, words) for text in rng.sample(rng.choice(subjects(language)), 7)]
    return [*(Utterance("user", text) for text in texts[:3]), *dialogue(texts[3:])]


def off_course(language: str, rng: random.Random, words: int | None = None) -> Window:
    """Three turns of the user on one subject, and four of both on another."""
    first, second = rng.sample(subjects(language), 2)
    texts = [_cut(text, words) for text in [*rng.sample(first, 3), *rng.sample(second, 4)]]
    return [*(Utterance("user", text) for text in texts[:3]), *dialogue(texts[3:])]


def auc(low: Sequence[float], high: Sequence[float]) -> float:
    """Return the chance that one of ``high`` is above one of ``low``, ties counted half."""
    above = sum((b > a) + 0.5 * (a == b) for a in low for b in high)
    return above / (len(low) * len(high))


def _joined(new: Sequence[str], again: Sequence[str]) -> str:
    return " ".join([*new[: len(new) // 2], *again[len(again) // 2 :]])


def _cut(text: str, words: int | None) -> str:
    return " ".join(text.split()[:words])


def _worn(text: str, rng: random.Random) -> str:
    sentences = re.split(r"(?<=[.!?])\s+", text)
    rng.shuffle(sentences)
    return _dropped(" ".join(sentences).split(), rng)


def _dropped(words: Sequence[str], rng: random.Random) -> str:
    return " ".join(word for word in words if rng.random() >= 0.25) or words[0]
