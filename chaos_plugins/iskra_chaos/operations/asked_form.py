"""What form of answer is asked for, in the system prompt or by the user, in English and Russian, without a model."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from iskra_metrics.text import Language, language_of
from iskra_sdk.message import Message

Counted = Literal["words", "sentences", "characters", "lines", "paragraphs", "items"]


@dataclass(frozen=True, slots=True)
class AskedForm:
    """Demands on the form of an answer; what nobody asked for is empty.

    Attributes:
        json: The answer is JSON and nothing else.
        fence: There is a fenced block of code.
        listed: ``True``: as a list; ``False``: without one; ``None``: nobody said.
        most: How many of each there may be.
        exactly: How many of each there must be.
        language: Of the answer; ``None`` where another language, or a translation, is asked for.
    """

    json: bool = False
    fence: bool = False
    listed: bool | None = None
    most: Mapping[Counted, int] | None = None
    exactly: Mapping[Counted, int] | None = None
    language: Language | None = None


_JSON = re.compile(
    r"\b(?:as|only|valid|pure|plain) json\b|\bjson only\b|\bin json(?: format)?\b(?=[\s.,:!]*(?:$|\n|[.!:,]))"
    r"|\b(?:respond|answer|reply|return|output|give|produce|write)\b[^.?!\n]{0,60}\bjson\b"
    r"|\b(?:в формате|в виде|только|валидн\w+|чист\w+) json\b"
    r"|\b(?:ответь|верни|выведи|дай|пришли)\b[^.?!\n]{0,60}\bjson\b",
    re.IGNORECASE,
)
_FENCE = re.compile(
    r"```|\b(?:fenced|code block|code fence)\b|\b(?:блок\w* кода|огражд[её]нн\w+ код\w*)\b", re.IGNORECASE
)
_NO_LIST = re.compile(
    r"\b(?:without|no|avoid|not as a|don't use|do not use)(?: any)? (?:bullet(?:ed)?|numbered|lists?|bullets?)\b"
    r"|\b(?:без (?:\w+ )?списк\w+|не списком|без пунктов)\b",
    re.IGNORECASE,
)
_LIST = re.compile(
    r"\b(?:as|in|make|give(?: me)?|write)(?: me)? (?:an? )?(?:short |brief )?"
    r"(?:numbered |bullet(?:ed)? |ordered )?list\b"
    r"|\bbullet points\b|\bnumbered steps\b"
    r"|\b(?:(?:нумерованн\w+|маркированн\w+|кратк\w+) списк\w+|списком|в виде (?:\w+ )?списка|по пунктам|пунктами)\b",
    re.IGNORECASE,
)
_NUMBERS: Mapping[str, int] = {
    **{
        name: number
        for number, name in enumerate(
            ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), 1
        )
    },
    **{"a single": 1, "single": 1, "одним": 1, "одном": 1, "одного": 1, "одну": 1, "один": 1, "одно": 1, "одной": 1},
    **{"двух": 2, "двумя": 2, "два": 2, "две": 2, "трёх": 3, "трех": 3, "тремя": 3, "три": 3},
    **{"четырёх": 4, "четырех": 4, "четыре": 4, "пяти": 5, "пять": 5, "шести": 6, "шесть": 6, "семи": 7, "семь": 7},
    **{"восьми": 8, "восемь": 8, "девяти": 9, "девять": 9, "десяти": 10, "десять": 10},
}
_COUNT = rf"(\d{{1,4}}|{'|'.join(sorted(_NUMBERS, key=len, reverse=True))})"
_UNITS: Sequence[tuple[Counted, str]] = (
    ("words", r"words?|слов\w{0,3}"),
    ("sentences", r"sentences?|предложени\w{1,3}|фраз\w{0,3}"),
    ("characters", r"characters?|chars?|символ\w{0,3}|знак\w{0,3}"),
    ("lines", r"lines?|строк\w{0,3}|строч\w+"),
    ("paragraphs", r"paragraphs?|абзац\w{0,3}"),
    ("items", r"bullet points|bullets|items|points|steps|пункт\w{0,3}|шаг\w{0,3}"),
)
_AT_MOST = (
    r"(?:at most|no more than|"
    r"not more than|no longer than|up to|under|within|max(?:imum)?(?: of)?|fewer than|less than|"
    r"не более|не больше|не длиннее|максимум|до|в пределах|меньше)"
)
_IN = r"(?:in|with|using|of|exactly|just|only|give|list|name|в|из|ровно|дай|назови)"
_LIMITS = tuple((unit, re.compile(rf"\b{_AT_MOST} (?:чем )?{_COUNT} (?:{names})\b", re.I)) for unit, names in _UNITS)
_EXACT = tuple(
    (unit, re.compile(rf"\b{_IN} (?:me )?(?:exactly |ровно )?{_COUNT}[ -](?:{names})\b", re.I))
    for unit, names in _UNITS
)
_BARE = re.compile(
    r"\bодним (словом|предложением|абзацем)\b|\b(?:a )?(one|single)-(word|sentence|line) (?:answer|reply)\b", re.I
)
_BARE_UNITS: Mapping[str, Counted] = {
    "словом": "words", "предложением": "sentences", "абзацем": "paragraphs",
    "word": "words", "sentence": "sentences", "line": "lines",
}  # fmt: skip
_IN_ENGLISH = re.compile(r"\b(?:in english|на английском|по-английски)\b", re.IGNORECASE)
_IN_RUSSIAN = re.compile(r"\b(?:in russian|на русском|по-русски)\b", re.IGNORECASE)
_OTHER_LANGUAGE = re.compile(
    r"\b(?:translat\w+|перев(?:еди|ести|од)\w*)\b"
    r"|\bin (?:french|german|spanish|italian|chinese|japanese|portuguese|polish|turkish|ukrainian|latin)\b"
    r"|\bна (?!английском|русском)\w+ском(?: языке)?\b|\bпо-(?!английски|русски)\w+ски\b",
    re.IGNORECASE,
)
_NOT_A_LIMIT = frozenset({"двух words", "two words"})
"""«В двух словах» and "in two words" ask for something short."""


def asked_form(messages: Sequence[Message]) -> AskedForm:
    """Return the form that the system prompt and the newest message of the user ask for; the user's word counts more.

    Args:
        messages: Of a model call, oldest first.
    """
    system = "\n".join(message.text for message in messages if message.role == "system")
    user = next((message.text for message in reversed(messages) if message.role == "user"), "")
    listed = next((said for text in (user, system) if (said := _listed(text)) is not None), None)
    return AskedForm(
        json=bool(_JSON.search(user) or _JSON.search(system)),
        fence=bool(_FENCE.search(user)),
        listed=listed,
        most={**_counts(system, _LIMITS), **_counts(user, _LIMITS)},
        exactly={**_counts(system, _EXACT), **_counts(user, _EXACT), **_bare(user)},
        language=_language(user, system),
    )


def _listed(text: str) -> bool | None:
    if _NO_LIST.search(text):
        return False
    return True if _LIST.search(text) else None


def _counts(text: str, patterns: Sequence[tuple[Counted, re.Pattern[str]]]) -> dict[Counted, int]:
    found: dict[Counted, int] = {}
    for unit, pattern in patterns:
        match = pattern.search(text)
        if match is not None and f"{match[1].lower()} {unit}" not in _NOT_A_LIMIT:
            found[unit] = int(match[1]) if match[1].isdecimal() else _NUMBERS[match[1].lower()]
    return found


def _bare(text: str) -> dict[Counted, int]:
    match = _BARE.search(text)
    return {_BARE_UNITS[(match[1] or match[3]).lower()]: 1} if match else {}


def _language(user: str, system: str) -> Language | None:
    for text in (user, system):
        if _OTHER_LANGUAGE.search(text):
            return None
        if _IN_ENGLISH.search(text):
            return "en"
        if _IN_RUSSIAN.search(text):
            return "ru"
    return language_of(user) if any(character.isalpha() for character in user) else None
