"""A model whose distribution is known, for trying out the comparison of operations. It is no model of any language.

An answer is made of :data:`SLOTS` phrases. The phrase of a slot is drawn from :data:`OPTIONS` by a softmax of scores by
temperature; scores are fixed for a question, and ``prompt_effect`` times other scores, fixed for everything else that
the model is shown, are added. So diversity rises with the temperature, and also with prompts that differ from sample to
sample, as far as ``prompt_effect`` says; with 0 only the temperature counts. A constraint is broken with a probability
that rises with the temperature, whatever the prompt. A question for a number that a tool returned is answered with it,
or with another one, with a probability that rises with the temperature. Nothing is known of operations: what they put
into prompts has no meaning here, it is only another prompt.
"""

import hashlib
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SLOTS = 4
OPTIONS = 16
_SYLLABLES = {
    "en": ("lo", "mer", "tin", "da", "fo", "rel", "sun", "bar"),
    "ru": ("ло", "мер", "тин", "да", "фо", "рел"),
}
_MENTION = re.compile(r"(?:Mention|Упомяни) [\"«]([^\"»]+)[\"»]")
_NUMBER = re.compile(r"\d+")
_FILLER = {"en": "and then some more of it", "ru": "и потом ещё немного того же"}


@dataclass(frozen=True)
class KnownDistribution:
    """The model.

    Attributes:
        prompt_effect: How much prompts count beside questions, 0 for not at all.
        break_rate: Probability of a broken constraint at temperature 0.7.
        error_rate: Probability of another number at temperature 0.7.
    """

    prompt_effect: float = 1.0
    break_rate: float = 0.03
    error_rate: float = 0.0

    def answer(self, messages: Sequence[Mapping[str, str]], *, temperature: float, seed: int) -> str:
        """Return the answer to a conversation; the same arguments give the same answer."""
        asked = next((message["content"] for message in reversed(messages) if message["role"] == "user"), "")
        language = "ru" if re.search("[а-яё]", asked, re.IGNORECASE) else "en"
        around = "\n".join(f"{message['role']}: {message['content']}" for message in messages)
        known = [message["content"] for message in messages if message["role"] in ("tool", "system")]
        if asked.endswith("?") and (fact := next((text for text in known if _NUMBER.search(text)), "")):
            return self._number(fact, temperature, seed)
        phrases = [self._phrase(asked, around, slot, temperature, seed, language) for slot in range(SLOTS)]
        text = f"{'. '.join(phrases).capitalize()}."
        mention = _MENTION.search(asked)
        if _uniform(seed, "break", asked) < self._risen(self.break_rate, temperature):
            return text if mention else " ".join([text, *[_FILLER[language]] * 20])
        return f"{text} {mention[1].capitalize()}." if mention else text

    def _phrase(self, asked: str, around: str, slot: int, temperature: float, seed: int, language: str) -> str:
        scores = [
            _normal(asked, slot, option) + self.prompt_effect * _normal(around, slot, option)
            for option in range(OPTIONS)
        ]
        weights = [math.exp(score / max(temperature, 0.05)) for score in scores]
        left = _uniform(seed, "slot", slot, asked) * math.fsum(weights)
        below = itertools.accumulate(weights)
        option = next((at for at, sum_ in enumerate(below) if left <= sum_), OPTIONS - 1)
        syllables = _SYLLABLES[language]
        return " ".join(
            "".join(syllables[_hash(slot, option, word, part) % len(syllables)] for part in range(3))
            for word in range(4)
        )

    def _number(self, fact: str, temperature: float, seed: int) -> str:
        if _uniform(seed, "error", fact) < self._risen(self.error_rate, temperature):
            return _NUMBER.sub(lambda match: str(int(match.group()) + 1 + seed % 7), _sentence(fact))
        return _sentence(fact)

    @staticmethod
    def _risen(rate: float, temperature: float) -> float:
        return min(1.0, rate * math.exp(4.0 * (temperature - 0.7)))


def _sentence(text: str) -> str:
    """Return the first sentence with a number; list marks are left out."""
    found = next(line for line in re.split(r"(?<=[.!?])\s+|\n", text) if _NUMBER.search(line))
    return found.lstrip("- ")


def _hash(*parts: object) -> int:
    return int.from_bytes(hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest())


def _uniform(*parts: object) -> float:
    return (_hash(*parts) + 0.5) / 2**64


def _normal(*parts: object) -> float:
    """Return a number of the standard normal distribution that depends on nothing but its parts (Box and Muller)."""
    radius = math.sqrt(-2.0 * math.log(_uniform("radius", *parts)))
    return radius * math.cos(2.0 * math.pi * _uniform("angle", *parts))
