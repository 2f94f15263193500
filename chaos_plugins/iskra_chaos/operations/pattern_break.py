"""pattern_break: find what repeats (phrases, the format, whole answers, tool calls) and forbid it for a while.

What repeats gives way to another form and another manner of speaking."""

import math
from collections import Counter
from collections.abc import Sequence

from iskra_chaos.operations.cards import manner
from iskra_chaos.operations.conversation import Conversation
from iskra_chaos.operations.perturbation import Perturbation
from iskra_metrics.text import char_ngrams, cosine, sentences, stems, words
from iskra_sdk.errors import BadInputError
from iskra_sdk.message import Message

_WINDOW = 6  # answers that are looked at
_PHRASE = 3  # words of a phrase
_SAME = 0.8  # cosine of character 4-grams from which an answer counts as said before
_SUMMARY = 120  # characters that are kept of an answer that was said before


def plan(conversation: Conversation, intensity: float, seed: int) -> Perturbation:
    """Forbid the ⌈6 i⌉ most repeated phrases for 1 + round(2 i) answers, and 1 + round(3 i) calls of a circling tool.

    Raises:
        BadInputError: Nothing repeats.
    """
    answers = conversation.answers[-_WINDOW:]
    repeated = _repeated_phrases(answers)[: math.ceil(6 * intensity)]
    replaced = _said_before(answers, conversation)
    format_now = _common_format(answers)
    calls = 1 + round(3 * intensity)
    is_circling = _is_circling(conversation.messages)
    if not (repeated or replaced or is_circling):
        raise BadInputError(
            "Nothing repeats in this conversation, so there is no pattern to break.",
            mend="Ask for a micro_disturbance to bring in something new.",
            facts={"why": "nothing_repeats"},
        )
    turns = 1 + round(2 * intensity)
    speaks_russian = conversation.language == "ru"
    lines, changes = [], []
    if repeated:
        listed = "; ".join(f"«{phrase}»" if speaks_russian else f'"{phrase}"' for phrase in repeated)
        lines.append(f"Не используй выражения: {listed}." if speaks_russian else f"Do not use the phrases: {listed}.")
        changes.append(f"Нельзя повторять: {listed}" if speaks_russian else f"Not to be repeated: {listed}")
    if format_now:
        other = {"list": "связным текстом без списков", "prose": "коротким нумерованным списком"}[format_now]
        other_en = {"list": "running text without lists", "prose": "a short numbered list"}[format_now]
        lines.append(f"Ответь {other}." if speaks_russian else f"Answer in {other_en}.")
        changes.append(f"Другая форма ответа: {other}" if speaks_russian else f"Another form of answer: {other_en}")
    if repeated or replaced:
        other_manner = manner(conversation.language, seed)
        lines.append(
            f"Говори иначе: {other_manner}." if speaks_russian else f"Speak in another manner: {other_manner}."
        )
        changes.append(f"Другая манера: {other_manner}" if speaks_russian else f"Another manner: {other_manner}")
    if replaced:
        count = len(replaced)
        lines.append(
            "Некоторые прежние ответы сокращены: они повторяли сказанное. Не повторяй их."
            if speaks_russian
            else "Some earlier answers are shortened because they said the same again. Do not say it once more."
        )
        changes.append(
            f"Повторных ответов показано модели одной строкой: {count}"
            if speaks_russian
            else f"Answers that repeat an earlier one and are shown to the model as one line: {count}"
        )
    changes.append(
        f"Если инструмент ходит по кругу, его повторный вызов отклоняется, не более {calls} раз"
        if speaks_russian
        else f"A tool call that goes in circles is refused, at most {calls} times"
    )
    return Perturbation(
        turns=turns,
        instruction=" ".join(lines),
        replaced=replaced,
        blocked_calls=calls,
        avoided=tuple(repeated),
        changes=tuple(changes),
    )


def _repeated_phrases(answers: Sequence[Message]) -> list[str]:
    """Return phrases and openers that several answers share, the most frequent first."""
    found: Counter[str] = Counter()
    for answer in answers:
        spoken = words(answer.text)
        phrases = {" ".join(spoken[at : at + _PHRASE]) for at in range(len(spoken) - _PHRASE + 1)}
        phrases = {phrase for phrase in phrases if len(stems(phrase)) >= 2}
        openers = {" ".join(words(sentences(answer.text)[0])[:_PHRASE])} if sentences(answer.text) else set()
        found.update(phrases | {opener for opener in openers if opener})
    shared = [(count, phrase) for phrase, count in found.items() if count >= 2]
    return [phrase for _, phrase in sorted(shared, key=lambda item: (-item[0], item[1]))]


def _said_before(answers: Sequence[Message], conversation: Conversation) -> dict[str, str]:
    """Return answers that repeat an earlier one, each with the line that stands for it; pinned ones are left alone."""
    grams = [char_ngrams(answer.text) for answer in answers]
    replaced = {}
    for number, answer in enumerate(answers):
        if not answer.id or answer.id in conversation.pinned or answer.tool_calls or len(answer.text) <= _SUMMARY:
            continue
        if any(cosine(grams[number], grams[earlier]) >= _SAME for earlier in range(number)):
            replaced[answer.id] = f"{' '.join(answer.text.split())[:_SUMMARY]} …"
    return replaced


def _common_format(answers: Sequence[Message]) -> str:
    """Return ``list`` or ``prose`` if the last three answers all have that form, else nothing."""
    forms = {_form(answer.text) for answer in answers[-3:]}
    return forms.pop() if len(answers) >= 3 and len(forms) == 1 else ""


def _form(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    marked = sum(line[0] in "-*•" or line.split(".")[0].split(")")[0].isdigit() for line in lines)
    return "list" if marked >= 2 else "prose"


def _is_circling(messages: Sequence[Message]) -> bool:
    calls = [(call.name, call.arguments) for message in messages for call in message.tool_calls]
    return len(calls) >= 2 and calls[-1] == calls[-2]
