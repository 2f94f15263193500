"""Reads Russian that is written in Latin letters, such as "perezapusti nginx, pochta ne hodit"."""

import re
from collections.abc import Sequence
from functools import lru_cache

from iskra_agents.routing.cues import cues_of


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LETTERS = {
    "shch": "щ", "sch": "щ", "zh": "ж", "kh": "х", "ch": "ч", "sh": "ш", "ts": "ц", "ya": "я", "ja": "я", "yu": "ю",
    "ju": "ю", "yo": "е", "ye": "е", "iy": "ий", "yi": "ый", "yy": "ый", "yj": "ый", "ij": "ий", "a": "а", "b": "б",
    "c": "ц", "d": "д", "e": "е", "f": "ф", "g": "г", "h": "х", "i": "и", "j": "й", "k": "к", "l": "л", "m": "м",
    "n": "н", "o": "о", "p": "п", "q": "к", "r": "р", "s": "с", "t": "т", "u": "у", "v": "в", "w": "в", "x": "кс",
    "y": "ы", "z": "з", "'": "ь", "’": "ь",
}  # fmt: skip
_PART = re.compile("i(?=y[aueo])|" + "|".join(sorted(_LETTERS, key=len, reverse=True)))
_SHORT_I = re.compile(r"(?<=[аеоуиыюя])[иы](?=$|[бвгджзклмнпрстфхцчшщ])")
_MARKERS = _words(
    "chto chego kak gde dlya pochemu menya nas nam eto etot etu eta esli ili zachem skolko nuzhno nado mozhno mne "
    "tolko kto kogda kuda otkuda bez posle kakoi kakoy kakaya kakie kakuyu nash moya tebya ego uzhe eshche esche libo "
    "pust davai privet spasibo pozhaluista pozhaluysta che cho kotoryi chem luchshe vse ne na po iz li ya ty vy"
)
"""Words that are frequent in Russian and none in English."""
_LOOKS_RUSSIAN = re.compile(
    r"\w*(?:shch\w*|zh\w*|kh|[aeiouy](?:tsya|lsya|las|los)|[auy]et|uyut|ayut|yat|aya|[nt]iya|yu|ogo|[aoy]i|yi|ii|ami|"
    r"yami|nie|nii|ovat|ivat|avit|itsya|chnyi|ost|osti|eni|chi|tsii?|cii)"
)
_FEWEST_SIGNS = 2
_LEAST_SHARE = 0.25
_SHORTEST = 5  # characters of a word that counts as a sign by what it is about


def in_cyrillic(tokens: Sequence[str]) -> list[str]:
    """Return the words of a message, those in Latin letters as Russian where the message is Russian."""
    words = [token for token in tokens if token[0].isalpha()]
    if not words or not all(word.isascii() for word in words):
        return list(tokens)
    signs = sum(map(_is_a_sign, words))
    if signs < max(_FEWEST_SIGNS, _LEAST_SHARE * len(words)) and not _MARKERS.intersection(words[:3]):
        return list(tokens)
    return [_spelt(token) if _is_ordinary(token) else token for token in tokens]


def _is_ordinary(token: str) -> bool:
    return token.isascii() and token[0].isalpha() and token not in {"xcode", "xfile", "xnumber", "xstatus"}


@lru_cache(maxsize=4096)
def _is_a_sign(word: str) -> bool:
    if word in _MARKERS:
        return True
    if len(word) < _SHORTEST or cues_of(word):
        return False
    return _LOOKS_RUSSIAN.fullmatch(word) is not None or bool(cues_of(_spelt(word)))


@lru_cache(maxsize=4096)
def _spelt(word: str) -> str:
    return _SHORT_I.sub("й", _PART.sub(lambda part: _LETTERS[part[0]], word))
