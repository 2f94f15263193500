"""Why an operation cannot begin, said to the person who asked for it, in their language."""

from iskra_chaos.ethics import EthicsRefusedError
from iskra_sdk.errors import IskraError

_IN_RUSSIAN = {
    "busy": "Сейчас действует слишком много операций. Попробуйте через минуту.",
    "cools_down": "Разговор остывает: в ближайшие несколько ходов новые возмущения не начинаются. Попросите позже.",
    "in_force": "В этом разговоре уже действует операция. Дождитесь её конца или скажите «верни как было».",
    "no_claims": (
        "Пока в разговоре ничего не утверждалось, сомневаться не в чем. Попросите после содержательного ответа."
    ),
    "no_such_branch": "Такого варианта не было. Назовите номер из показанных.",
    "nothing_repeats": (
        "В этом разговоре ничего не повторяется, разрывать нечего. Можно попросить лёгкий толчок: «встряхни разговор»."
    ),
    "nothing_to_leave_out": "Раньше ничего не говорилось, сбрасывать нечего. Попросите позже.",
    "productive": (
        "Разговор ясный и не топчется на месте: сброс только повредит. "
        "Можно попросить лёгкий толчок: «встряхни разговор»."
    ),
    "sensitive_subject": (
        "Тема слишком чувствительная, парадокс здесь может навредить. Можно попросить слабый толчок: «слегка встряхни»."
    ),
    "stopped": "Все операции остановлены аварийно. Снять остановку может оператор.",
    "switched_off": "Творческие операции на этом сервере выключены.",
    "too_few_ideas": (
        "В разговоре пока нет двух мыслей, которые можно соединить. Попросите позже или скажите «встряхни разговор»."
    ),
    "too_many_in_force": "Сейчас действует столько ваших возмущений и экспериментов, сколько разрешено. "
    "Отмените одно из них или дождитесь его конца.",
    "too_many_started": "За последнюю минуту вы начали столько возмущений и экспериментов, сколько разрешено. "
    "Попробуйте ещё раз через минуту.",
}
"""Fact ``why`` of an error, and what to say."""


def ethics_refusal(error: EthicsRefusedError, language: str) -> str:
    """Return what the ethics check said, in the language of the conversation, and where help is."""
    help_lines = error.facts.get("help")
    said = [error.message, *(map(str, help_lines) if isinstance(help_lines, list) else ())]
    violations = error.facts.get("violations")
    if language == "ru" and isinstance(violations, list):
        said[0] = f"Возмущение не разрешено: {' '.join(str(each['message']) for each in violations)}"
    return "\n".join(said)


def refusal(error: IskraError, language: str) -> str:
    """Return what happened and what to do, in ``language`` where the error's reason is known in it."""
    in_russian = _IN_RUSSIAN.get(str(error.facts.get("why"))) if language == "ru" else None
    return in_russian or f"{error.message} {error.mend}".strip()
