"""The values that a statement gives: numbers with units, dates, times, names, quotations; in English and Russian."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from iskra_metrics.polarity import base
from iskra_metrics.stop_words import STOP_WORDS
from iskra_metrics.text import normal

ValueKind = Literal["number", "date", "time", "name", "quote"]


@dataclass(frozen=True, slots=True)
class Value:
    """One value.

    Attributes:
        unit: Of a number; empty where it has none.
        text: Its canonical form; a date is ``year-month-day`` with empty places for what is not said.
    """

    kind: ValueKind
    text: str
    unit: str = ""

    def is_comparable(self, other: "Value") -> bool:
        """Whether both give the same kind of thing; a number without a unit is comparable with any."""
        return self.kind == other.kind and (self.unit == other.unit or not self.unit or not other.unit)

    def is_same(self, other: "Value") -> bool:
        """Whether both give the same value, as far as each is said."""
        if not self.is_comparable(other):
            return False
        if self.kind == "date":
            pairs = zip(self.text.split("-"), other.text.split("-"), strict=True)
            return all(mine == theirs or not mine or not theirs for mine, theirs in pairs)
        if self.kind == "name":
            mine, theirs = set(self.text.split()), set(other.text.split())
            return mine <= theirs or theirs <= mine
        return self.text == other.text


_MONTHS = {
    **{name: str(number) for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1)},
    **{name: str(number) for number, name in enumerate(
        ("янв", "фев", "мар", "апр", "мая", "июн", "июл", "авг", "сен", "окт", "ноя", "дек"), 1)},
}  # fmt: skip
_UNITS = {
    "€": "eur", "euro": "eur", "euros": "eur", "eur": "eur", "евро": "eur",
    "$": "usd", "dollar": "usd", "dollars": "usd", "usd": "usd",
    "₽": "rub", "руб": "rub", "rub": "rub", "%": "%", "percent": "%",
}  # fmt: skip
_UNIT_STEMS = (("доллар", "usd"), ("рубл", "rub"), ("процент", "%"))

_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|"
    r"oct(?:ober)?|nov(?:ember)?|dec(?:ember)?|январ\w*|феврал\w*|марта?|апрел\w*|мая|июн\w*|июл\w*|августа?|"
    r"сентябр\w*|октябр\w*|ноябр\w*|декабр\w*)"
)
_DATES = (
    re.compile(r"\b(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})\b"),
    re.compile(r"\b(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})\b"),
    re.compile(
        rf"\b(?P<day>\d{{1,2}})(?:st|nd|rd|th|-?го|-?е)?(?: of)? {_MONTH}\b\.?,?(?: (?P<year>\d{{4}})\b)?", re.I
    ),
    re.compile(rf"\b{_MONTH}\.? (?P<day>\d{{1,2}})(?:st|nd|rd|th)?\b,?(?: (?P<year>\d{{4}})\b)?", re.I),
    re.compile(
        r"(?i:\b(?:in|since|by|from|until|till|before|after|year|в|с|до|к|после|за) )(?P<year>(?:19|20)\d\d)\b"
        r"(?! ?[%€$₽])(?= (?P<following>[^\W\d_]+))?"
    ),
    re.compile(r"\b(?P<year>(?:19|20)\d\d)(?=(?:-?го|-?м)? год)"),
)
_TIME = re.compile(r"\b([01]?\d|2[0-3]):([0-5]\d)\b")
_QUOTE = re.compile(r"«([^«»]{2,200})»|“([^“”]{2,200})”|\"([^\"\n]{2,200})\"")
_NUMBER = re.compile(
    r"(?P<sign>[€$₽])? ?(?<![\w.,])(?P<digits>\d{1,3}(?:[ \u00a0\u202f]\d{3})+(?!\d)|\d+(?:[.,]\d+)*)"
    r" ?(?P<unit>[%€$₽]|[^\W\d_]+)?"
)
_NAME = re.compile(r"(?<![.!?…:\n] )(?<!^)\b[A-ZА-ЯЁ][\w’'-]*(?: [A-ZА-ЯЁ][\w’'-]*)*")
_ENDING = re.compile(r"(?:ами|ями|ого|его|ому|ему|ыми|ими|ой|ей|ом|ем|ым|им|ах|ях|ою|ею|[аяоеуюыийь])$")
_NEVER_NAMES = frozenset({"i", "i'm", "i'll", "i've", "ok", "hyp", "fact", "sam", "iskra", "сэм", "искра"})


@lru_cache(maxsize=2048)
def without_values(statement: str) -> tuple[str, tuple[Value, ...]]:
    """Return what is left of a statement without its values, and the values."""
    found: list[Value] = []
    text = " ".join(statement.split())

    def take(pattern: re.Pattern[str], read: Callable[[re.Match[str]], Value | None]) -> None:
        nonlocal text

        def taken(match: re.Match[str]) -> str:
            value = read(match)
            if value is None:
                return match.group()
            found.append(value)
            return " "

        text = pattern.sub(taken, text)

    take(_QUOTE, _quotation)
    for pattern in _DATES:
        take(pattern, _date)
    take(_TIME, lambda match: Value("time", f"{int(match[1])}:{match[2]}"))
    for match in _NUMBER.finditer(text):
        found.append(_counted(match))
    # Units are words like others, so they stay; what is a number is not looked at by stems that matter here.
    text = re.sub(r"(?<!\w)\d[\d.,]*", " ", text)
    take(_NAME, _name)
    return text, tuple(found)


def numbers_in(text: str) -> set[str]:
    """Return the numbers of a text in their canonical form, with those of dates and times; list numbers are none."""
    bare = re.sub(r"^[ \t>]*(?:\*\*)?\d{1,3}[.)](?=\s)", " ", text, flags=re.MULTILINE)
    return {_plain(match["digits"]) for match in _NUMBER.finditer(re.sub(r"(?<=\d)[:/-](?=\d)", " ", bare))}


def _quotation(match: re.Match[str]) -> Value:
    return Value("quote", " ".join(normal(next(filter(None, match.groups()))).split()))


def _date(match: re.Match[str]) -> Value | None:
    parts = match.groupdict()
    following = (parts.get("following") or "").lower()
    if following and following not in STOP_WORDS and not following.startswith("год"):
        return None  # "in 1900 crates"
    month = parts.get("month") or ""
    if month and not month.isdecimal():
        month = _MONTHS.get(month.lower()[:3], "5" if month.lower().startswith("ма") else "")
    day = str(int(parts["day"])) if parts.get("day") else ""
    return Value("date", f"{parts.get('year') or ''}-{str(int(month)) if month else ''}-{day}")


def _counted(match: re.Match[str]) -> Value:
    unit = (match["sign"] or match["unit"] or "").lower()
    known = _UNITS.get(unit) or next((name for stem, name in _UNIT_STEMS if unit.startswith(stem)), "")
    if not known and unit and unit not in STOP_WORDS:
        known = base(unit)
    return Value("number", _plain(match["digits"]), known)


def _plain(digits: str) -> str:
    text = re.sub(r"[ \u00a0\u202f]", "", digits)
    if re.fullmatch(r"[1-9]\d{0,2}(?:,\d{3})+", text):
        text = text.replace(",", "")
    text = text.replace(",", ".")
    try:
        return f"{float(text):g}" if len(text) < 15 else text
    except ValueError:  # several marks, as in a version
        return text


def _name(match: re.Match[str]) -> Value | None:
    words = [word for word in match.group().replace("’", "'").split() if word.lower() not in _NEVER_NAMES]
    return Value("name", " ".join(sorted(_uninflected(word) for word in words))) if words else None


def _uninflected(word: str) -> str:
    stem = normal(word).replace("ё", "е").removesuffix("'s")
    while len(shorter := _ENDING.sub("", stem)) >= 3 and shorter != stem:
        stem = shorter
    return stem
