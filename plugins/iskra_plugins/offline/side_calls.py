"""Recognises the prompts by which chat frontends ask a model for titles, tags and the like, and answers them by rule.

Such a call looks like a message of the user, but nobody is there to read an answer and nothing may be run for it.
"""

import json
import re

_TITLE = re.compile(
    r"(?:generate|create|write|provide|suggest|give|make|come up with|придумай|сгенерируй|создай|предложи|напиши)\b"
    r"[^\n]{0,80}?(?<![`\"«“'\w])(?:titles?|заголовок|название)\b[^\n]{0,120}?\b(?:chat|conversation|history|dialogue?|discussion|"
    r"messages?|summari[sz]|user|чат|чата|бесед|диалог|разговор)",
    re.IGNORECASE,
)
_EMPTY_LISTS = {"tags": "tags", "follow_ups": "follow_ups", "queries": "queries"}
_WANTS_JSON = re.compile(r"\bjson\b|\{\s*\"title\"", re.IGNORECASE)
_FIRST_USER_LINE = re.compile(
    r"^\s*(?:\**(?:user|human|пользователь)\**)\s*:\s*(?P<text>.+)$", re.IGNORECASE | re.MULTILINE
)
_HISTORY = re.compile(r"<chat_history>\s*(?P<text>.*?)\s*(?:</chat_history>|\Z)", re.DOTALL)

_LOOKED_AT = 4000
_TITLE_WORDS = 6
_TITLE_LENGTH = 48
_NO_TITLE = "New chat"


def answer_side_call(prompt: str, *, first_message: str = "") -> str | None:
    """Return the answer to a frontend's side call, or ``None`` if the prompt is no such call.

    Args:
        prompt: The last message of the user.
        first_message: What the conversation began with, where the frontend sends it as a message of its own.
    """
    head = prompt[:_LOOKED_AT]
    if head.lstrip().startswith("### Task:"):
        for key in _EMPTY_LISTS:
            if f'"{key}"' in prompt:
                return json.dumps({key: []})
    if not _TITLE.search(head):
        return None
    history = _HISTORY.search(prompt)
    user_line = _FIRST_USER_LINE.search(history["text"] if history else prompt)
    title = short_title(user_line["text"] if user_line else first_message)
    return json.dumps({"title": title}, ensure_ascii=False) if _WANTS_JSON.search(prompt) else title


def short_title(text: str) -> str:
    """Return the first words of a text, without Markdown and closing punctuation."""
    words = re.sub(r"[`*_#<>\"]+", " ", text[:_LOOKED_AT]).split()[:_TITLE_WORDS]
    title = " ".join(words)
    if len(title) > _TITLE_LENGTH:
        title = title[:_TITLE_LENGTH].rsplit(" ", 1)[0]
    title = title.strip(" .,:;!?-—")
    return title[:1].upper() + title[1:] if title else _NO_TITLE
