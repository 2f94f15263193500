"""Which words speak for which built-in agent, in English and Russian.

A word ending in ``*`` stands for every word that begins with it, because Russian words have many endings. A phrase of
several words must occur in this order, side by side. Texts in quotes and backticks are not looked at.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hint:
    """A phrase that speaks for an agent.

    Attributes:
        agent: The agent's name.
        phrase: Words in lower case, one space apart.
        weight: How strongly; 1 is an ordinary word, 3 all but decides.
        opens: The phrase counts only at the beginning of a sentence, where an order has its verb.
    """

    agent: str
    phrase: str
    weight: float = 1.0
    opens: bool = False


def _hints(agent: str, phrases: str, weight: float, *, opens: bool = False) -> tuple[Hint, ...]:
    return tuple(Hint(agent, phrase.strip(), weight, opens) for phrase in phrases.split(",") if phrase.strip())


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DEFAULT_AGENT = "ask"

OPENERS = _words(
    "please could can would you kindly hey hi hello now just iskra then and let's i want you to need "
    "пожалуйста можешь можете не мог бы ты вы давай привет теперь просто искра затем потом и а нужно надо хочу чтобы"
)
"""Polite words before an order."""

STOP_WORDS = OPENERS | _words(
    "a an the of in on at for to with is are was be it this that what how me my your do does about by or as from "
    "tell show give make "
    "в на с по о об от для из что как это этот эта мне мой мои моя или у за же ли ты он она оно они при к"
)
"""Words that say nothing about the subject."""

HINTS: tuple[Hint, ...] = (
    # Orders to change or run something. One that comes second needs its tools all the same, so it weighs more.
    *_hints(
        "coder",
        "write, save, put, create, add, change, edit, rename, refactor, rewrite, implement, replace, remove, delete, "
        "move, extract, fix, format, port, translate the code, generate, update, convert, run, execute, launch, "
        "install, build, compile",
        2.5,
        opens=True,
    ),
    *_hints(
        "coder",
        "запиши*, сохрани*, напиши*, созда*, добав*, измени*, поменя*, исправ*, переименуй*, переименова*, "
        "отрефактор*, перепиши*, реализ*, замени*, удали*, перенес*, почин*, отформатиру*, сгенериру*, обнови*, "
        "выполни*, запусти*, установи*, собери*, скомпилиру*",
        2.5,
        opens=True,
    ),
    *_hints("coder", "code, function, class, method, script, unit test, tests, refactoring, implementation", 0.6),
    *_hints("coder", "код*, функци*, класс*, метод*, скрипт*, тесты, рефакторинг*", 0.6),
    *_hints("coder", "then write, then run, then execute, then save, and run, and write, and save", 4.0),
    *_hints(
        "coder",
        "затем запиши*, потом запиши*, затем выполни*, потом выполни*, затем запусти*, потом запусти*, "
        "и запусти*, и выполни*, и запиши*, и сохрани*",
        4.0,
    ),
    # Faults.
    *_hints(
        "debug",
        "traceback, stack trace, exception, crash*, segfault, deadlock, hangs, stuck, debug, diagnose, root cause, "
        "does not work, doesn't work, not working, is broken, fails, failing, what is wrong, what's wrong, regression",
        2.0,
    ),
    *_hints("debug", "why does, why is, why do, why are, error, errors, bug, failed, failure", 1.2),
    *_hints(
        "debug",
        "трассировк*, стектрейс*, исключение, падает, упал*, зависа*, завис, отлад*, отлаж*, диагност*, "
        "не работает, не запускается, не открывается, сломал*, что не так, причин*, регресси*",
        2.0,
    ),
    *_hints("debug", "почему, ошибк*, баг*, сбой, сбои", 1.2),
    # Plans.
    *_hints(
        "architect",
        "architecture, architectural, design document, design doc, roadmap, trade-offs, tradeoffs, trade offs, "
        "data model, how should we",
        2.0,
    ),
    *_hints("architect", "plan, design, propose, compare, outline, sketch", 2.8, opens=True),
    *_hints("architect", "plan, design, approach, structure, migration", 0.8),
    *_hints("architect", "архитектур*, проектирован*, дорожн* карт*, компромисс*, как лучше организовать", 2.0),
    *_hints(
        "architect",
        "спроектир*, запланир*, составь план, составьте план, предложи план, напиши план, продумай*, сравни*",
        2.8,
        opens=True,
    ),
    *_hints("architect", "план*, дизайн*, подход*, структур*, миграци*", 0.8),
    # Looking.
    *_hints(
        "ask",
        "read, show, open, print, list, find, search, look for, explain, tell me, describe, summarize, summarise",
        1.5,
        opens=True,
    ),
    *_hints(
        "ask",
        "прочита*, прочти*, покажи*, открой*, выведи*, перечисли*, найди*, поищи*, объясни*, расскажи*, опиши*, "
        "что лежит, что находится",
        1.5,
        opens=True,
    ),
    # A question alone says little: it may be one for a plugin's agent.
    *_hints(
        "ask",
        "what is, what are, what does, what's, how do, how does, how to, how can, where is, where are, who is, which",
        0.4,
        opens=True,
    ),
    *_hints("ask", "что такое, что делает, что есть, как, где, кто, какой, какая, какие, зачем", 0.4, opens=True),
)
