"""Puts the results of tool calls into words."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from iskra_plugins.offline.phrases import Phrases

_MOST_LINES = 40
_MOST_CHARACTERS = 2000
_ERROR = re.compile(r"\AError(?: \((?P<code>[\w.-]+)\))?: (?P<why>.*)", re.DOTALL)
_TICKS = re.compile(r"`+")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one call came to.

    Attributes:
        tool: Name of the tool.
        intent: Name of the intent it served.
        slots: What was asked for.
        text: The result as the conversation holds it.
    """

    tool: str
    intent: str
    slots: Mapping[str, str]
    text: str

    @property
    def has_failed(self) -> bool:
        """Whether the call failed or was denied."""
        return _ERROR.match(self.text) is not None


def describe(outcome: Outcome, phrases: Phrases) -> str:
    """Return an outcome as Markdown: what was done and the beginning of its result, or why it was not done."""
    if error := _ERROR.match(outcome.text):
        key = "denied" if error["code"] in ("tool_denied", "permission_denied") else "failed"
        return phrases[key].format(tool=outcome.tool, why=shortened(error["why"].strip(), 600))
    return f"{_heading(outcome, phrases)}\n\n{quote(outcome.text, phrases)}"


def _heading(outcome: Outcome, phrases: Phrases) -> str:
    slots = {name: shortened(value.replace("`", "'").replace("\n", " "), 120) for name, value in outcome.slots.items()}
    match outcome.intent:
        case "list":
            key = "done_list" if "folder" in slots else "done_list_all"
        case "search":
            key = "done_search_in" if "folder" in slots else "done_search"
        case intent:
            key = f"done_{intent}"
    return phrases[key].format(**{"tool": outcome.tool, **slots})


def quote(text: str, phrases: Phrases) -> str:
    """Return a text as a fenced block that nothing inside can end, cut to what people read in a chat."""
    text = text.strip("\n")
    if not text.strip():
        return phrases["empty"]
    lines = text.splitlines()
    shown = "\n".join(lines[:_MOST_LINES])
    note = (
        phrases["cut"].format(shown=min(len(lines), _MOST_LINES), total=len(lines)) if len(lines) > _MOST_LINES else ""
    )
    if len(shown) > _MOST_CHARACTERS:
        shown = shown[:_MOST_CHARACTERS]
        whole_lines = shown.rpartition("\n")[0]
        if whole_lines:
            shown = whole_lines
            note = phrases["cut"].format(shown=shown.count("\n") + 1, total=len(lines))
        else:
            note = phrases["cut_line"].format(total=len(text))
    fence = "`" * max(3, 1 + max((len(ticks) for ticks in _TICKS.findall(shown)), default=0))
    return f"{fence}\n{shown}\n{fence}" + (f"\n\n{note}" if note else "")


def shortened(text: str, length: int) -> str:
    """Return a text of at most ``length`` characters, with an ellipsis where it was cut."""
    return text if len(text) <= length else text[: length - 1] + "…"


def describe_all(outcomes: Sequence[Outcome], phrases: Phrases) -> list[str]:
    """Describe outcomes in order."""
    return [describe(outcome, phrases) for outcome in outcomes]
