"""What the server itself tells a person whom it asks, in the language of their message."""

from collections.abc import Mapping

from iskra.approvals.chat import Language
from iskra_sdk.errors import ApprovalNotFoundError, IskraError

Texts = Mapping[Language, str]

CHANGED: Texts = {
    "en": "What this call would act on has changed since you approved it. Look again.",
    "ru": "То, что изменит этот вызов, само изменилось после вашего решения. Посмотрите ещё раз.",
}
UNTRUSTED: Texts = {
    "en": "It acts on text that {source} returned and that you did not write, so no rule may allow it for you.",
    "ru": "Вызов следует тексту, который вернул {source}, а не вы написали; никакое правило не разрешит его за вас.",
}
INTERRUPTED: Texts = {
    "en": (
        "The server stopped while this call was running, so it may or may not have taken effect. "
        "Approve to run it again."
    ),
    "ru": (
        "Сервер остановился во время этого вызова, и неизвестно, успел ли он подействовать. "
        "Разрешите, чтобы выполнить его ещё раз."
    ),
}

_STATES_RU = {
    "approved": "разрешён",
    "denied": "отклонён",
    "expired": "истёк, никто не ответил вовремя",
    "cancelled": "отменён",
}


def undecided_text(code: str, error: IskraError, language: Language) -> str:
    """Return why a chat reply decided nothing.

    Args:
        code: The code in the reply.
        error: What :meth:`~iskra.approvals.ApprovalService.decide_by_code` raised.
        language: The user's language.
    """
    if language == "en":
        return str(error)
    if isinstance(error, ApprovalNotFoundError):
        return f"У вас нет запроса с кодом {code}. Проверьте код; `iskra approvals list` показывает открытые."
    state = _STATES_RU.get(str(error.facts.get("state")), "закрыт")
    return f"Запрос {code} уже закрыт: он {state}. Делать ничего не нужно: решение принимается один раз."
