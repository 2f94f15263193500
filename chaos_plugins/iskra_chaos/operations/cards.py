"""Our own deck of prompt cards: one-sentence nudges, in English and Russian."""

from iskra_chaos.operations.intensity import pick
from iskra_metrics.text import Language

_CARDS: tuple[dict[Language, str], ...] = (
    {
        "en": "Begin with the opposite of the goal: what would make it fail for certain? Then turn that round.",
        "ru": "Начни с обратного: что наверняка провалит задачу? Затем разверни это в решение.",
    },
    {
        "en": "Explain it to somebody who wants to prove you wrong.",
        "ru": "Объясни это тому, кто хочет тебя опровергнуть.",
    },
    {
        "en": "Use a comparison from a craft that has nothing to do with the subject.",
        "ru": "Возьми сравнение из ремесла, никак не связанного с темой.",
    },
    {
        "en": "Suppose that the most expensive part is forbidden. What remains possible?",
        "ru": "Представь, что самая дорогая часть запрещена. Что остаётся возможным?",
    },
    {
        "en": "Answer for somebody who has ten minutes, and say what they must leave out.",
        "ru": "Ответь тому, у кого есть десять минут, и скажи, чем придётся пожертвовать.",
    },
    {
        "en": "Name one thing everybody here takes for granted, and drop it.",
        "ru": "Назови одно допущение, которое все считают само собой разумеющимся, и откажись от него.",
    },
    {
        "en": "Start from the last step and work back to the first.",
        "ru": "Начни с последнего шага и двигайся назад к первому.",
    },
    {
        "en": "Look at it from the side of the person who has to live with the result in a year.",
        "ru": "Посмотри на это глазами того, кому жить с результатом через год.",
    },
    {
        "en": "Offer the smallest version that would still be worth having.",
        "ru": "Предложи самый маленький вариант, который всё ещё имеет смысл.",
    },
    {
        "en": "Ask what would have to be true for the strangest option to be the best one.",
        "ru": "Спроси, что должно быть верно, чтобы самый странный вариант оказался лучшим.",
    },
    {
        "en": "Say it without the three words that have been used most so far.",
        "ru": "Скажи это без трёх слов, которые звучали чаще всего.",
    },
    {
        "en": "Split the question in two, and answer the half that nobody asked.",
        "ru": "Раздели вопрос надвое и ответь на ту половину, которую никто не задал.",
    },
)

_VIEWS: tuple[dict[Language, str], ...] = (
    {"en": "somebody who pays for it", "ru": "того, кто за это платит"},
    {"en": "somebody who maintains it for years", "ru": "того, кто годами это поддерживает"},
    {"en": "a newcomer who sees it for the first time", "ru": "новичка, который видит это впервые"},
    {"en": "somebody who is against it", "ru": "того, кто против"},
    {"en": "somebody ten years from now", "ru": "человека через десять лет"},
    {"en": "an expert of a neighbouring field", "ru": "специалиста из соседней области"},
)

_MANNERS: tuple[dict[Language, str], ...] = (
    {"en": "short and dry", "ru": "коротко и сухо"},
    {"en": "as a story with one person in it", "ru": "как историю с одним героем"},
    {"en": "as a conversation of two who disagree", "ru": "как разговор двоих, которые не согласны"},
    {"en": "warm and plain, without terms of the trade", "ru": "тепло и просто, без терминов"},
    {"en": "as a note to oneself", "ru": "как заметку самому себе"},
)


def manner(language: Language, seed: int) -> str:
    """Return the manner of speaking that a seed draws."""
    return _MANNERS[pick(seed, "manner", len(_MANNERS))][language]


def card(language: Language, seed: int, number: int = 0) -> str:
    """Return the card that a seed draws; other numbers draw other cards until the deck is through."""
    return _CARDS[(pick(seed, "card", len(_CARDS)) + number) % len(_CARDS)][language]


def views(language: Language, seed: int, count: int) -> list[str]:
    """Return ``count`` different points of view, at most as many as there are."""
    first = pick(seed, "view", len(_VIEWS))
    return [_VIEWS[(first + number) % len(_VIEWS)][language] for number in range(min(count, len(_VIEWS)))]
