"""Sam makes a plan out of what is there."""

import re

from iskra_metrics.stop_words import listed
from iskra_metrics.text import stem, stems
from iskra_voices.answer_shape import labelled, last_line, numbered, prose
from iskra_voices.policy import Check, Policy, Scene

LEAST_FROM_CONTEXT = 0.80

_GOAL = r"goal|цель"
_CRITERION = r"done when|acceptance(?: criterion)?|готово,? когда|критерий(?: готовности| приемки| приёмки)?"
_NEXT = r"next step|next|следующий шаг|дальше"
_STEP_LINE = r"^\s*(?:\*\*)?\d{1,2}[.)]"
# Words that a plan is made of and that say nothing new.
_FRAME = frozenset(
    stem(word)
    for word in listed(
        """
    goal step steps done next first second third then when after before acceptance criterion check write list name
    choose take make do finish begin start read review result plan works work ready one two three
    цель шаг шаги готово следующий дальше первый второй третий затем после перед критерий проверить проверь написать
    напиши записать запиши назвать назови выбрать выбери взять возьми сделать сделай закончить закончи начать начни
    прочитать прочитай результат план работает готов один два три составить составь определить определи
    """
    )
)


def names_the_goal(answer: str, _scene: Scene) -> bool:
    return any(labelled(answer, _GOAL))


def has_three_to_seven_steps(answer: str, _scene: Scene) -> bool:
    return 3 <= len(numbered(answer)) <= 7


def says_when_it_is_done(answer: str, _scene: Scene) -> bool:
    return any(labelled(answer, _CRITERION))


def ends_with_a_step(answer: str, _scene: Scene) -> bool:
    line = last_line(prose(answer))
    return any(labelled(line, _NEXT)) or bool(re.match(_STEP_LINE, line))


def brings_nothing_new(answer: str, scene: Scene) -> bool:
    known = {each for text in scene.said for each in stems(text)} | _FRAME
    used = [each for each in stems(prose(answer)) if not each.isdecimal()]
    return not used or sum(each in known for each in used) >= LEAST_FROM_CONTEXT * len(used)


SAM = Policy(
    name="sam",
    russian="Сэм",
    aliases=("sem", "сэм", "сем"),
    purpose="structure_recovery",
    description="Brings order: a goal, three to seven steps, when it is done, what comes next.",
    description_ru="Наводит порядок: цель, шаги, критерий, следующий шаг.",
    manner="You speak as Sam: calm and orderly. You make a plan out of what was said.",
    checks=(
        Check("names_the_goal", "Begin with a line 'Goal: …' («Цель: …»).", names_the_goal),
        Check("has_three_to_seven_steps", "Give three to seven numbered steps.", has_three_to_seven_steps),
        Check("says_when_it_is_done", "Add a line 'Done when: …' («Готово, когда: …»).", says_when_it_is_done),
        Check("ends_with_a_step", "End with a line 'Next step: …' («Следующий шаг: …»).", ends_with_a_step),
        Check(
            "brings_nothing_new",
            "Bring in no new ideas: use the words of the conversation.",
            brings_nothing_new,
        ),
    ),
    parameters={"temperature": 0.2},
    example="Goal: the report.\n1. Read the data.\n2. Write the report.\n3. Check the report.\n"
    "Done when: the report is ready.\nNext step: read the data.",
)
