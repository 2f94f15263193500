"""What is always drawn by the base sampler: facts, code, data and numbers.

A sampler cannot be changed in the middle of an answer. So where a message asks for such a thing, the whole answer is
drawn by the base sampler; and an answer that was drawn by a warmer one and turns out to hold such a thing is not used.
"""

import re
from collections.abc import Sequence

from iskra_metrics.fact_values import numbers_in
from iskra_sdk.message import Message

_ASKS = re.compile(
    # data and code
    r"\b(?:json|yaml|csv|xml|sql|regex|regexp|html|css|latex|code|script|snippet|query|unit tests?)\b"
    r"|\b(?:write|implement|refactor|debug|fix)\b[^.?!\n]{0,40}\b(?:function|class|method|program|parser|test|bug)\b"
    r"|\b(?:код\w{0,3}|скрипт\w{0,3}|запрос\w{0,3} sql|регулярк\w+)\b"
    r"|\b(?:напиши|реализуй|исправь|почини)\b[^.?!\n]{0,40}\b(?:функци\w+|класс\w{0,3}|метод\w{0,3}|программ\w+|тест\w{0,3})\b"
    # numbers
    r"|\bhow (?:many|much|old|long|far|tall|high|big|often|fast)\b|\b(?:calculate|compute|convert|add up|multiply)\b"
    r"|\bwhat(?:'s| is| are| was| were)? the (?:\w+ )?"
    r"(?:number|sum|total|price|cost|date|year|percentage|population|distance)\b"
    r"|\b(?:сколько|посчитай|вычисли|подсчитай|рассчитай|умножь|сложи)\b"
    r"|\bкак(?:ая|ой|ое|ова|ов|ово) (?:\w+ )?(?:сумма|цена|дата|год|процент|население|расстояние|стоимость|число)\b"
    # facts
    r"|(?:^|[.!?\n][^\S\n]*)(?:when|who|where)(?:'s| is| was| were| are| did| does| do| wrote| made| has| will)\b"
    r"|\b(?:which|what) (?:year|date|day|time|city|country|capital|version)\b|\bwhat is the capital\b"
    r"|(?:^|[.!?\n][^\S\n]*)(?:когда|кто|где)\s(?!бы\b)|\bв каком (?:году|городе)\b|\bкакого числа\b|\bстолиц\w\b",
    re.IGNORECASE,
)
_CODE = re.compile(r"^[ \t]*(?:```|~~~)|^(?: {4}|\t)\S.*[;{}()=]", re.MULTILINE)
_STATED_AS_FACT = re.compile(r"\[(?:FACT|ФАКТ)\]", re.IGNORECASE)


def asks_for_exactness(messages: Sequence[Message]) -> bool:
    """Tell whether the newest message of a user asks for a fact, a number, code or data."""
    asked = next((message.text for message in reversed(messages) if message.role == "user"), "")
    return bool(_ASKS.search(asked))


def inexact_parts(answer: str, shown: Sequence[str]) -> list[str]:
    """Return what an answer holds that only the base sampler may draw: ``code``, ``numbers``, ``facts``.

    Args:
        answer: Its text.
        shown: What the model was shown; a number that stands there is repeated and not drawn.
    """
    found = []
    if _CODE.search(answer):
        found.append("code")
    drawn = numbers_in(answer)
    if drawn and not drawn <= {number for text in shown for number in numbers_in(text)}:
        found.append("numbers")
    if _STATED_AS_FACT.search(answer):
        found.append("facts")
    return found
