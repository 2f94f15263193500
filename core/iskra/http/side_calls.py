"""Side calls: questions that user interfaces ask on their own account, for titles, tags and summaries.

They look like messages of the user but are none: they must not start tools, join a session or cost an approval.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LONGEST_TITLE_PROMPT = 20_000  # characters looked at


@dataclass(frozen=True, slots=True)
class SideCallPattern:
    """How to know one kind of side call: the last user message, or the system message, matches.

    Attributes:
        client: Who asks it.
        pattern: Looked for in the text, from its beginning.
    """

    client: str
    pattern: re.Pattern[str]


def _pattern(client: str, *pieces: str) -> SideCallPattern:
    return SideCallPattern(client, re.compile(r"\s*" + "".join(pieces), re.IGNORECASE | re.DOTALL))


PATTERNS: Sequence[SideCallPattern] = (
    # Titles, tags, follow-ups, search queries, autocompletion, emoji: all of them share this frame.
    _pattern("Open WebUI", r"### Task:\n.*", r"(?:### (?:Guidelines|Output)|<chat_history>|JSON format)"),
    _pattern("Open WebUI", r"Create a concise, 3-5 word (?:phrase|title)\b"),
    _pattern(
        "LibreChat",
        r"(?:Please generate|Provide|Write|Analyze this conversation and provide)",
        r"[^\n]{0,80}\bconcise\b[^\n]{0,80}\btitle\b",
    ),
    _pattern("LibreChat", r"Summarize the conversation by integrating new lines into the current summary"),
    _pattern(
        "SillyTavern",
        r"\[?\s*(?:Pause (?:your|the) roleplay|Ignore (?:all )?previous instructions)\W.{0,200}\bsummar",
    ),
    _pattern("LobeChat", r"You are a professional conversation summarizer\b"),
    _pattern(
        "other clients",
        r"Generate a (?:short|concise|brief)[^\n]{0,60}\btitle for (?:this|the following) (?:chat|conversation)\b",
    ),
)


def side_call_client(messages: Sequence[Mapping[str, object]]) -> str:
    """Return which client's side call a conversation is, or the empty string if it is none."""
    if not messages:
        return ""
    candidates = [messages[-1]]
    if messages[0].get("role") == "system":
        candidates.append(messages[0])
    for message in candidates:
        content = message.get("content")
        if not isinstance(content, str):
            continue
        head = content[:LONGEST_TITLE_PROMPT]
        for known in PATTERNS:
            if known.pattern.match(head):
                return known.client
    return ""
