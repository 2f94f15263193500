"""A person's choice among answers that were offered side by side, by number and in plain words."""

import re

from iskra_metrics.text import words

_ADDRESSED = re.compile(r"^\s*@[\w:-]+")
_LONGEST = 8  # words
_NUMBERS = {
    **{str(number): number for number in range(10)},
    **dict.fromkeys(("first", "1st", "первый", "первую", "первая", "первое", "первого", "один"), 1),
    **dict.fromkeys(("second", "2nd", "two", "второй", "вторую", "вторая", "второе", "второго", "два"), 2),
    **dict.fromkeys(("third", "3rd", "three", "третий", "третью", "третья", "третье", "третьего", "три"), 3),
    **dict.fromkeys(("fourth", "4th", "four", "четвертый", "четвёртый", "четвертую", "четвёртую", "четыре"), 4),
    **dict.fromkeys(("fifth", "5th", "five", "пятый", "пятую", "пятая", "пятое", "пять"), 5),
}
_BESIDE = frozenset(
    words(
        "i ll will would like want prefer choose pick take use let s us have go with show me give the a one "
        "way version variant option branch answer number no please ok okay yes instead full in "
        "я мне беру возьми возьмите возьмем возьмём возьму выбираю выбери выберите выберу давай давайте хочу покажи "
        "покажите дай дайте пусть будет оставь нравится вариант версия версию версии ветка ветку ветки ответ номер "
        "способ целиком пожалуйста да ну лучше"
    )
)
"""What people say beside the number, when they do nothing but choose."""


def number_in(text: str) -> int | None:
    """Return the number that a message chooses; ``None`` where it says anything else, or names several.

    An agent's name at the beginning, as in ``@ask 2``, makes no difference.
    """
    said = words(_ADDRESSED.sub("", text))
    if not 0 < len(said) <= _LONGEST:
        return None
    numbers = [_NUMBERS[word] for word in said if word in _NUMBERS]
    if len(numbers) != 1 or not all(word in _NUMBERS or word in _BESIDE for word in said):
        return None
    return numbers[0]
