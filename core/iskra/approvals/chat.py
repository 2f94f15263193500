"""Approvals and questions as text, so that they work in any chat client, in English and Russian."""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Language = Literal["en", "ru"]

CODE_LENGTH = 4
_LETTERS = "ABCDEFGHJKMNPQRSTVWXYZ"  # without I, L, O and U, which are misread or spell words
_DIGITS = "23456789"

_APPROVE = ("approve", "yes", "allow", "да", "одобряю", "одобрить", "разрешаю", "разрешить")
_ALWAYS = ("always", "всегда")
_DENY = ("deny", "no", "reject", "нет", "отклоняю", "отклонить", "запрещаю", "запретить")
_CYRILLIC_LOOKALIKES = str.maketrans("АВСЕНКМРТХУ", "ABCEHKMPTXY")
_REPLY = re.compile(
    rf"^[\s`*_\"'«]*(?P<word>{'|'.join((*_APPROVE, *_ALWAYS, *_DENY))})[\s`*_\"'«]+(?P<code>\w{{{CODE_LENGTH}}})\b"
    r"[\s`*_\"'»]*(?:[,:;.!—–-]*\s*(?P<remark>.*))?$",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(
    r"\s*(?:\n+|;|,|\band\b|\bи\b)\s*(?=[`*_\"'«]*(?:" + "|".join((*_APPROVE, *_ALWAYS, *_DENY)) + r")\b)",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w+")
_AND = frozenset({"and", "и"})
_LONGEST_REPLY = 2000
_CYRILLIC = re.compile("[а-яё]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reply:
    """A person's decision in a chat message; ``remember`` accepts the rule that was offered with the request."""

    code: str
    approve: bool
    remark: str = ""
    remember: bool = False


def new_code() -> str:
    """Return a random code with at least one letter and one digit, so that it is no word and no number."""
    characters = [secrets.choice(_LETTERS), secrets.choice(_DIGITS)]
    characters += [secrets.choice(_LETTERS + _DIGITS) for _ in range(CODE_LENGTH - 2)]
    secrets.SystemRandom().shuffle(characters)
    return "".join(characters)


def parse_reply(text: str) -> Sequence[Reply]:
    """Return the decisions a chat message consists of, or nothing if it is an ordinary message.

    ``approve K7Q2``, ``deny K7Q2 because it is wrong``, ``да K7Q2``, several separated by lines, commas or "and"; one
    word may decide for several codes: ``approve K7Q2 and M3XW``.
    Letter case does not matter, and Cyrillic letters that look like Latin ones are read as those.
    """
    if len(text) > _LONGEST_REPLY:
        return ()
    replies = []
    for part in _SEPARATOR.split(text.strip()):
        found = _REPLY.match(part.strip())
        code = _plain_code(found["code"]) if found else ""
        if found is None or not _is_code(code):
            return ()
        remark = (found["remark"] or "").strip()
        word = found["word"].lower()
        others = _codes_of(remark)
        for each in (code, *others):
            said = "" if others else remark
            replies.append(Reply(each, approve=word not in _DENY, remark=said, remember=word in _ALWAYS))
    return replies


def _codes_of(remark: str) -> list[str]:
    """Return the further codes of ``approve K7Q2 and M3XW``; nothing if the remark says anything else."""
    words = [word for word in _WORD.findall(remark) if word.lower() not in _AND]
    codes = [_plain_code(word) for word in words]
    return codes if all(len(code) == CODE_LENGTH and _is_code(code) for code in codes) else []


def _plain_code(text: str) -> str:
    return text.upper().translate(_CYRILLIC_LOOKALIKES)


def _is_code(text: str) -> bool:
    characters = set(text)
    return (
        characters <= set(_LETTERS + _DIGITS) and bool(characters & set(_LETTERS)) and bool(characters & set(_DIGITS))
    )


def speaks_russian(text: str) -> bool:
    """Return whether a text has Cyrillic letters."""
    return _CYRILLIC.search(text) is not None


def visible(text: str) -> str:
    """Return text with control and direction-changing characters escaped, so that what is shown is what is meant."""
    return "".join(
        character if character.isprintable() or character in "\n" else character.encode("unicode_escape").decode()
        for character in text
    )


def chat_text(data: Mapping[str, object], language: Language = "en") -> str:
    """Return what a chat client shows for an ``approval.requested`` event.

    Args:
        data: The event's data.
        language: The user's language.
    """
    code, tool, reason = data["code"], data["tool"], str(data.get("reason") or "")
    preview = _fenced(visible(str(data["preview"])))
    if language == "ru":
        lines = [f"**Нужно ваше разрешение:** `{tool}` (риск: {data['risk']})", preview]
        ask = f"Ответьте `да {code}`, чтобы выполнить, или `нет {code}`, чтобы отклонить."
    else:
        lines = [f"**Your approval is needed:** `{tool}` (risk: {data['risk']})", preview]
        ask = f"Reply `approve {code}` to run it, or `deny {code}` to refuse."
    if reason:
        lines.append(visible(reason))
    if data.get("offers_rule"):
        ask += (
            f" `всегда {code}` разрешит и такие же вызовы впредь."
            if language == "ru"
            else (f" `always {code}` also allows calls like it from now on.")
        )
    return "\n\n".join([*lines, ask])


def question_text(data: Mapping[str, object]) -> str:
    """Return what a chat client shows for a ``question.asked`` event: the question and its numbered options."""
    options = data.get("options")
    listing = [f"{number}. {option}" for number, option in enumerate(options, 1)] if isinstance(options, list) else []
    return "\n".join([str(data["question"]), *([""] if listing else []), *listing])


def _fenced(text: str) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"
