"""The agent that people talk to when they want their conversation perturbed, or back as it was."""

from collections.abc import AsyncIterator

from iskra_chaos.chat.asking import understand
from iskra_chaos.processes.measuring import OPERATOR
from iskra_metrics.text import language_of
from iskra_sdk.agent import Agent
from iskra_sdk.turn import Turn, TurnEvent

_HELP_EN = """I change how the next answers come about, and nothing that is stored. You can ask for:
- a nudge ("shake this up a little"): one answer with an unusual hint
- breaking a pattern ("you repeat yourself"): forbids what repeats
- a paradox ("question my assumptions"): makes the claims so far compete
- a reset ("start afresh"): the model sees only goal, constraints, facts and open questions
- several ways side by side ("give me different versions"; then a number takes another one)
- distant ideas together ("connect these ideas")
Say how strongly ("slightly", "strongly", "0.3"). "What was changed?" shows it, "put it back" undoes it,
"leave it alone" ends it."""

_HELP_RU = """Я меняю то, как рождаются следующие ответы, и ничего из сохранённого. Можно попросить:
- лёгкий толчок («встряхни разговор»): один ответ с необычной подсказкой
- разорвать шаблон («ты повторяешься»): запрещает то, что повторяется
- парадокс («поставь под сомнение»): сталкивает сделанные утверждения
- сброс («начнём с чистого листа»): модель видит только цель, ограничения, факты и открытые вопросы
- несколько вариантов рядом («дай разные варианты»; потом по номеру можно взять другой)
- соединить далёкие мысли («свяжи эти идеи»)
Силу задайте словом («слегка», «сильно») или числом («0.3»). «Что изменено?» покажет, «верни как было» отменит,
«не трогай» прекратит."""


class PerturbationAgent(Agent):
    """Understands plain words and uses the plugin's tools; it needs no model."""

    name = OPERATOR
    description = "Perturbs the conversation on request: shakes it up, breaks patterns, resets it, and takes that back."
    examples = (
        "Shake this conversation up a little",
        "We are going in circles, break the pattern",
        "Perturb our conversation strongly",
        "What was changed in this conversation?",
        "What did the perturbation change?",
        "Put the conversation back as it was",
        "Question my assumptions with a paradox",
        "Встряхни разговор",
        "Мы ходим по кругу, сломай шаблон",
        "Верни разговор как было",
        "Что изменено в этом разговоре?",
        "Слегка возмути беседу",
        "Сбрось контекст, начнём с чистого листа",
        "Shake things up a bit please",
        "You keep repeating yourself, stop that",
        "Answer in several versions side by side",
        "Leave the conversation alone, no more perturbations",
        "Не трогай разговор, больше ничего не меняй",
        "Встряхни нас немного, удиви",
        "Ты всё время повторяешься",
        "Take 1",
        "Take 2, please",
        "I'll take the second version",
        "Вариант 2",
        "Давай второй вариант",
    )
    tools = (
        "perturb",
        "show_perturbations",
        "take_back_perturbation",
        "choose_perturbed_answer",
        "welcome_perturbations",
    )

    async def run(self, turn: Turn) -> AsyncIterator[TurnEvent]:
        """Do what is asked for and say what came of it."""
        text = turn.input.text
        speaks_russian = language_of(text) == "ru"
        asked = understand(text)
        words = text[:2000]
        match asked.intent:
            case "start":
                arguments = {"operation": asked.operation, "intensity": asked.intensity, "words": words}
                yield (await turn.call_tool("perturb", arguments)).content
            case "show":
                yield (await turn.call_tool("show_perturbations", {"words": words})).content
            case "undo":
                yield (await turn.call_tool("take_back_perturbation", {"words": words})).content
            case "choose":
                yield (
                    await turn.call_tool("choose_perturbed_answer", {"number": asked.number, "words": words})
                ).content
            case "leave" | "welcome":
                is_welcome = asked.intent == "welcome"
                await turn.call_tool("welcome_perturbations", {"is_welcome": is_welcome})
                if speaks_russian:
                    yield "Хорошо, возмущения разрешены." if is_welcome else "Хорошо, больше ничего не меняю."
                else:
                    yield "Perturbations are welcome, then." if is_welcome else "I leave the conversation as it is."
            case _:
                yield _HELP_RU if speaks_russian else _HELP_EN
