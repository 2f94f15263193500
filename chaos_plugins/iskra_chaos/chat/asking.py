"""Understands what a person asks of the operations, in English and Russian, without a model."""

import re
from dataclasses import dataclass
from typing import Literal

from iskra_chaos.ethics.operation import OperationType
from iskra_chaos.operations.branch_choice import number_in

Intent = Literal["start", "show", "undo", "leave", "welcome", "choose", "help"]

USUAL = 0.5
_GENTLE, _STRONG = 0.25, 0.8


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for; ``operation`` and ``intensity`` count for ``start`` only, ``number`` for ``choose``."""

    intent: Intent
    operation: OperationType = "micro_disturbance"
    intensity: float = USUAL
    number: int = 0


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{pattern})", re.IGNORECASE)


_INTENTS: tuple[tuple[Intent, re.Pattern[str]], ...] = (
    (
        "undo",
        _words(
            r"undo|revert|put .{0,30}\bback\b|take .{0,30}\bback\b|go back to how|(as|how) it was"
            r"|верни|вернуть|отмени|отменить|откати|откатить|как было"
        ),
    ),
    (
        "show",
        _words(
            r"what (was|has been|did you|have you|is being) chang|what did .{0,40}change"
            r"|show (me )?(the )?(changes|perturbations|operations)"
            r"|что (ты |было |сейчас )?(измен|поменя)|покажи (изменения|возмущения|операции)|какие изменения"
        ),
    ),
    (
        "leave",
        _words(
            r"leave (it|this|the conversation|me) (alone|as it is)|no more (perturbations|changes|experiments)"
            r"|не трогай|больше (ничего )?не меняй|без возмущений|хватит (экспериментов|возмущений|менять)"
        ),
    ),
    ("welcome", _words(r"you may perturb|perturbations are welcome|можно возмущать|возмущения разрешаю")),
    ("help", _words(r"which (perturbations|operations)|какие (бывают )?(возмущения|операции)|что ты умеешь")),
)

_OPERATIONS: tuple[tuple[OperationType, re.Pattern[str]], ...] = (
    (
        "pattern_break",
        _words(
            r"pattern[_ ]break|break (the|this|that) (pattern|loop|routine)|(go|going|run|running) in circles"
            r"|stop repeating|keep repeating|you repeat"
            r"|сломай (шаблон|рутину)|разорви (шаблон|круг)|ходим по кругу|по кругу|повторяешь|хватит повтор"
        ),
    ),
    (
        "paradox_generation",
        _words(
            r"paradox|contradict|question (my|our|your|the|every) (assumption|claim)|devil'?s advocate"
            r"|парадокс|противореч|усомнись|оспорь|адвокат\w* дьявола|поставь под сомнение"
        ),
    ),
    (
        "fire_reset",
        _words(
            r"fire[_ ]reset|reset|start (afresh|over|from scratch)|clean slate|forget (the|everything|all)"
            r"|сброс|с чистого листа|с нуля|забудь (всё|все|контекст)|начн[её]м (заново|сначала)|очисти контекст"
        ),
    ),
    (
        "quantum_flux",
        _words(
            r"quantum[_ ]flux|several (ways|versions|answers|variants)|side by side|different (ways|versions)|branches"
            r"|нескольк\w+ (вариант|верси|способ)|разны\w+ (вариант|верси|способ)|параллельн|ветк"
        ),
    ),
    (
        "emergent_stimulation",
        _words(
            r"emergent[_ ]stimulation|combine|connect (the|distant|our|these)|bring .{0,40}together|new connections"
            r"|(?:свяжи|соедини|скрести)(?:те)?(?!\w)|неожиданн\w+ связ|новые связи|сочета"
        ),
    ),
    (
        "micro_disturbance",
        _words(
            r"micro[_ ]disturbance|shake|stir|nudge|perturb|surprise me|loosen|freshen"
            r"|встряхни|растормоши|(?:освежи|удиви)(?:те)?(?!\w)|возмут|возмущени|подтолкни|расшевели"
        ),
    ),
)

_NUMBER = re.compile(r"(?<![\w.,])(0[.,]\d+|1[.,]0|\d{1,3}\s?%)")
_GENTLY = _words(r"slightly|a (little|bit)|gently|softly|mildly|чуть|слегка|немного|м[ия]гко|осторожно|легонько")
_STRONGLY = _words(
    r"strongly|hard|radically|completely|as much as|сильно|сильнее|радикально|ж[её]стко|полностью|совсем"
)

_QUESTION = re.compile(
    r"\W*(?:@\w+\W+)?(?:how|what|why|where|when|who|which|как|чем|что|почему|зачем|где|когда|кто|сколько|как\w+)\b",
    re.IGNORECASE,
)
"""How a question begins that somebody should answer: `how can the fair surprise people?` asks for no surprise."""
_OURSELVES = _words(r"you|we|us|our|conversation|chat|talk|ты|мы|нас|нам|наш|разговор|бесед|диалог")
"""What makes it one about the conversation itself."""


def understand(text: str) -> Asked:
    """Return what is asked for; ``help`` where nothing is understood."""
    number = number_in(text)
    if number is not None:
        return Asked("choose", number=number)
    operation = next((name for name, pattern in _OPERATIONS if pattern.search(text)), None)
    intent = next((name for name, pattern in _INTENTS if pattern.search(text)), None)
    if intent is not None:
        return Asked(intent)
    if operation is None or (_QUESTION.match(text) and not _OURSELVES.search(text)):
        return Asked("help")
    return Asked("start", operation, _intensity(text))


def _intensity(text: str) -> float:
    number = _NUMBER.search(text)
    if number is not None:
        shown = number.group(1).replace(",", ".")
        value = float(shown.rstrip("% ")) / 100 if shown.endswith("%") else float(shown)
        return min(1.0, max(0.1, value))
    if _GENTLY.search(text):
        return _GENTLE
    return _STRONG if _STRONGLY.search(text) else USUAL
