"""Tells what a message wants from what it says it does not want: "don't fix it, explain it".

A clause is put aside if it opens like something that is turned down and another clause is left to go by. "It doesn't
start" turns nothing down: what fails is told in the same words as what is forbidden, but in another form of the verb.
"""

import re
from collections.abc import Iterator, Sequence


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


CLAUSE_ENDS = frozenset(".,;:?!")
_TURNS = _words("but just only simply а но просто только лишь")
"""Words that begin a clause without a comma before them."""
_FILLERS = _words(
    "please pls and so well ok okay hey hi no yes for now today at the moment this time "
    "нет да ну так и пожалуйста плиз пж пока сейчас сегодня то"
)
_FEWEST_WORDS = 2  # that a clause must have to be gone by
_TURNED_DOWN = re.compile(
    r"(?:do not|don't|dont|never mind|never|without|instead of|rather than|no need|not|neither|nor|skip|spare me|"
    r"forget|enough|stop|hands off|hold (?:off|the)|leave|nothing (?:is|wrong|to)|it doesn't fail|"
    r"(?:i'm|i am|im|we're|we aren't|we are|it's|it is|this is|that's|that is) not|(?:this|that|it) isn't|"
    r"i (?:don't|do not|dont|didn't) (?:want|need|care|ask|mean)|(?:you|we) (?:don't have to|don't need|needn't)|"
    r"no (?:code|plans?|edits?|chang\w+|fix\w*|refactor\w*|implement\w*|explan\w+|analysis|theory|tests?|talk|"
    r"discussion|design|details|more|advice|prose|comments|details|coding|typing|tickets|lecture|drama|hurry|rush)|"
    r"(?:ни|без|вместо|чем|никак\w+|хватит|забудь|забей|пропусти|довольно|оставь|ничего не \w*(?:й|йте|ть|и|но|ло)|"
    r"я не (?:прошу|спрашива\w+|хочу|собира\w+|жал\w+|про)|не про|дело не))\b"
)
_NOT_A_VERB = re.compile(r"не (?!\w*(?:ет|ит|ют|ут|ят|ат|ся|сь|л|ла|ло|ли|у|ю|ешь|ишь|ем|им|ен|на|но|ны)\b)\w")
_FORBIDDEN = re.compile(
    r"\bне (?:надо|нужно|нужен|нужна|нужны|интерес\w+|прошу|собира\w+|стоит|обязательно|"
    r"\w*(?:й|йте|[^л]и|ите|ь|ьте))\b"
)


def clauses_of(tokens: Sequence[str]) -> Iterator[tuple[list[str], bool]]:
    """Yield the clauses of a message in order, each with whether it is put aside; the ends belong to their clause."""
    clauses = list(_split(tokens))
    aside = [_is_turned_down(clause) for clause in clauses]
    if not any(_is_enough(clause) for clause, is_aside in zip(clauses, aside, strict=True) if not is_aside):
        aside = [False] * len(clauses)
    yield from zip(clauses, aside, strict=True)


def _split(tokens: Sequence[str]) -> Iterator[list[str]]:
    clause: list[str] = []
    for token in tokens:
        if token in _TURNS and clause:
            yield clause
            clause = []
        clause.append(token)
        if token in CLAUSE_ENDS:
            yield clause
            clause = []
    if clause:
        yield clause


def _is_turned_down(clause: Sequence[str]) -> bool:
    if clause[-1] == "?":
        return False
    first = next((place for place, word in enumerate(clause) if word not in _FILLERS), len(clause))
    begins = [" ".join(clause[place:]) for place in range(first + 1)]
    return any(_TURNED_DOWN.match(text) or _NOT_A_VERB.match(text) for text in begins) or bool(
        _FORBIDDEN.search(begins[-1])
    )


def _is_enough(clause: Sequence[str]) -> bool:
    return sum(word not in CLAUSE_ENDS and word not in _FILLERS for word in clause) >= _FEWEST_WORDS
