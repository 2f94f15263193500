"""Reads out of a model call what the checks of a voice look at."""

import re
from collections.abc import Sequence

from iskra_metrics.distress import in_crisis
from iskra_metrics.text import language_spoken, sentences
from iskra_sdk.llm import LLMRequest
from iskra_sdk.message import Message
from iskra_voices.policy import Scene

MOST_SAID = 40
MOST_FACTS = 60
MOST_CLAIMS = 6

_JSON_FORMATS = frozenset({"json_object", "json_schema"})
_FEWEST_WORDS = 4
_WORD = re.compile(r"\w+")


def scene_of(
    messages: Sequence[Message], *, pain: float = 0.0, help_en: str = "", help_ru: str = "", more: Sequence[str] = ()
) -> Scene:
    """Return the scene of a conversation.

    Args:
        messages: The conversation, with or without a system message.
        pain: The metric.
        help_en: Where somebody in a crisis finds help, in English.
        help_ru: The same in Russian.
        more: Texts that count as said too.
    """
    said = [message.text for message in messages if message.role in ("user", "assistant") and message.text.strip()]
    asked = next((message.text for message in reversed(messages) if message.role == "user"), "")
    results = [message.text for message in messages if message.role == "tool"]
    facts = [sentence for text in results for sentence in sentences(text)][-MOST_FACTS:]
    language = language_spoken([message.text for message in messages if message.role == "user"])
    return Scene(
        asked=asked,
        said=[*said[-MOST_SAID:], *more],
        facts=facts,
        claims=claims_in(said),
        pain=pain,
        in_crisis=in_crisis(asked),
        resources=help_ru if language == "ru" else help_en,
        language=language,
    )


def claims_in(said: Sequence[str]) -> dict[str, str]:
    """Return the latest statements of a conversation, numbered ``C1``, ``C2``, …, oldest first."""
    statements = [
        sentence
        for text in said[-4:]
        for sentence in sentences(text)
        if not sentence.rstrip().endswith("?") and len(_WORD.findall(sentence)) >= _FEWEST_WORDS
    ]
    return {f"C{number}": statement[:200] for number, statement in enumerate(statements[-MOST_CLAIMS:], 1)}


def wants_json(request: LLMRequest) -> bool:
    """Tell whether a model call must bring JSON."""
    wanted = request.parameters.get("response_format")
    return isinstance(wanted, dict) and wanted.get("type") in _JSON_FORMATS
