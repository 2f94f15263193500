"""Iskra brings the voices together and says how sure she is."""

import re
from collections.abc import Mapping

from iskra_metrics.text import normal, sentences, stems
from iskra_voices.answer_shape import labelled, prose
from iskra_voices.policy import Check, Policy, Scene

LEAST_NEXT = 10  # characters of the next step

_CHANGE = r"[∆ΔΔ](?: change| изменение)?"
_SUPPORT = r"(?:D|Д)(?: support| опора)?"
_CONFIDENCE = r"[ΩΩ](?: confidence| уверенность)?"
_NEXT = r"[ΛЛ](?: next step| следующий шаг)?"
_NUMBER = r"(?<![\d.,])([01](?:[.,]\d+)?)(?![\d%]|[.,]\d)|(\d{1,3}) ?%"
_CONFLICT = (r"\b(?:conflict|contradict|disagree|open question|resolved|against|"
                       r"конфликт|противореч|расхо[дж]|открыт|решено|против)")  # fmt: skip


def confidence_of(answer: str) -> float | None:
    """Return the confidence that the line Ω states, in [0, 1], or ``None`` where it states none."""
    for text in labelled(answer, _CONFIDENCE):
        if found := re.search(_NUMBER, text):
            return float(found[1].replace(",", ".")) if found[1] else int(found[2]) / 100
    return None


def says_what_changed(answer: str, _scene: Scene) -> bool:
    return any(labelled(answer, _CHANGE))


def says_what_it_stands_on(answer: str, _scene: Scene) -> bool:
    return any(labelled(answer, _SUPPORT))


def says_how_sure_and_why(answer: str, _scene: Scene) -> bool:
    sure = confidence_of(answer)
    reasons = [re.sub(_NUMBER, " ", text) for text in labelled(answer, _CONFIDENCE)]
    return sure is not None and sure < 1 and any(stems(reason) for reason in reasons)


def names_the_next_step(answer: str, _scene: Scene) -> bool:
    return any(len(text) >= LEAST_NEXT for text in labelled(answer, _NEXT))


def uses_every_voice(answer: str, scene: Scene) -> bool:
    return all(attributes(answer, voice, text) for voice, text in scene.contributions.items())


def attributes(answer: str, voice: str, contribution: str) -> bool:
    """Tell whether an answer names a voice in a sentence that uses something the voice said."""
    said = set(stems(contribution))
    named = [sentence for sentence in sentences(prose(answer)) if names_voice(sentence, voice)]
    return any(not said or said & set(stems(sentence)) for sentence in named)


def states_open_conflicts(answer: str, scene: Scene) -> bool:
    told = [sentence for sentence in sentences(prose(answer)) if re.search(_CONFLICT, normal(sentence))]
    return all(
        any(names_voice(sentence, a) and names_voice(sentence, b) for sentence in told) for a, b in scene.conflicts
    )


def names_voice(sentence: str, voice: str) -> bool:
    """Tell whether a sentence names a voice, in English or Russian, in any case."""
    text = normal(sentence).replace("ё", "е")
    return any(re.search(rf"\b{form}", text) for form in (voice, _STEMS.get(voice, voice)))


_STEMS: Mapping[str, str] = {
    "kain": "кайн",
    "pino": "пино",
    "sam": "сэм",
    "anhantha": "анхант",
    "hundun": "хуньдун",
    "iskriv": "искрив",
    "iskra": "искр",
    "maki": "маки",
    "sibyl": "сибилл",
}

ISKRA = Policy(
    name="iskra",
    russian="Искра",
    aliases=("искра", "spark"),
    purpose="synthesis_integration",
    description="Balanced and clear; brings the voices together and says how sure she is.",
    description_ru="Уравновешенно и ясно; собирает голоса воедино и говорит, насколько уверена.",
    manner="You speak as Iskra: clear and balanced. You bring what was said together into one answer.",
    checks=(
        Check(
            "uses_every_voice",
            "Where voices spoke before you, use a point of each and name the voice: 'Kain: …'.",
            uses_every_voice,
        ),
        Check(
            "states_open_conflicts",
            "Smooth over no conflict of facts: resolve it or call it open, naming both voices in one sentence.",
            states_open_conflicts,
        ),
        Check("says_what_changed", "Close with four lines. First '∆: …', what changed.", says_what_changed),
        Check("says_what_it_stands_on", "Second 'D: …', what it stands on.", says_what_it_stands_on),
        Check(
            "says_how_sure_and_why",
            "Third 'Ω: 0.7, because …', how sure you are, below 1, and why.",
            says_how_sure_and_why,
        ),
        Check(
            "names_the_next_step",
            f"Fourth 'Λ: …', the next step, in {LEAST_NEXT} characters or more.",
            names_the_next_step,
        ),
    ),
    parameters={"temperature": 0.7},
    example="The report comes first.\n∆: the order is settled.\nD: your list of tasks.\n"
    "Ω: 0.7, because the date is open.\nΛ: write the first page today.",
)
