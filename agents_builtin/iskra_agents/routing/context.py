"""What the orchestrator remembers of a session, and which messages only mean something with it."""

import re
import shlex
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field

from iskra_agents.contexts import error_of, finished_command, written_file
from iskra_sdk import ToolCall, ToolResult

AGENTS_KEPT = 3
FILES_KEPT = 5
_TASK_KEPT = 300  # characters

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*|[?]")
_LONGEST_FOLLOW_UP = 6  # words


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_POINTING = _words(
    "it its this that these those them same again still now then too also more else there here so continue another "
    "это этот эту эти его ее их них нем том ним то тоже также опять снова еще все равно теперь тогда дальше там тут "
    "такой такое так"
)
"""Words that point at what was said or done before."""

_BARE = _POINTING | _words(
    "yes yeah yep no nope ok okay sure fine good great thanks thank you please go ahead on do and well hm hmm right "
    "all the a just next proceed done nice cool what about why how "
    "да нет ага угу ок окей ладно хорошо отлично спасибо пожалуйста давай делай продолжай вперед и ну а хм верно "
    "готово супер класс что как почему поехали погнали"
)
"""Words that alone say nothing about who should answer."""

_REPAIR = re.compile(
    r"\b(?:fix|repair|solve|resolve|mend|correct|sort|debug|wrong|matter|почин\w*|исправ\w*|поправ\w*|устран\w*|реши|"
    r"чини|отлад\w*|дел[оеа]|случил\w*|не так)\b"
)
"""What people say of something that has just failed."""


class RoutingContext(BaseModel):
    """What counts for the next message of a session."""

    last_agents: list[str] = Field(default_factory=list)
    """Who answered, newest last."""
    last_error: dict[str, str] | None = None
    """What failed last and has not succeeded since: ``what`` and ``how``."""
    modified_files: list[str] = Field(default_factory=list)
    """Paths that tools wrote, newest last."""
    open_task: str | None = None
    """The user's last message that said what to do."""

    def note_agent(self, agent: str, message: str, *, is_task: bool) -> None:
        """Note who answers a message; with ``is_task`` the message itself said so."""
        self.last_agents = [*self.last_agents, agent][-AGENTS_KEPT:]
        if is_task:
            self.open_task = " ".join(message.split())[:_TASK_KEPT]

    def note_call(self, call: ToolCall, result: ToolResult) -> None:
        """Note what a tool call came to."""
        if (written := written_file(call, result)) is not None:
            path = written[0]
            self.modified_files = [*(file for file in self.modified_files if file != path), path][-FILES_KEPT:]
        error = error_of(call, result)
        if error is not None:
            self.last_error = error
        elif self.last_error is not None and _succeeded(call, result) == self.last_error["what"]:
            self.last_error = None

    @property
    def fingerprint(self) -> tuple[Any, ...]:
        """Equal for contexts that count the same."""
        error = tuple(sorted(self.last_error.items())) if self.last_error else ()
        return (tuple(self.last_agents), error, tuple(self.modified_files), self.open_task)

    @property
    def is_empty(self) -> bool:
        """Whether nothing happened yet."""
        return self.fingerprint == RoutingContext().fingerprint


def is_bare(text: str) -> bool:
    """Return whether a message says nothing of its own, such as "yes, do that" or "👍"."""
    return all(word == "?" or word in _BARE for word in _told(text))


def follows_up(text: str) -> bool:
    """Return whether a message leans on what came before, such as "make it shorter" or "исправь"."""
    words = [word for word in _told(text) if word != "?"]
    return len(words) <= 3 or (len(words) <= _LONGEST_FOLLOW_UP and any(word in _POINTING for word in words))


def is_about_a_failure(text: str) -> bool:
    """Return whether a message speaks of something that has just failed, such as "fix it" or "в чём дело"."""
    return is_bare(text) or _REPAIR.search(text.lower().replace("ё", "е")) is not None


def _told(text: str) -> list[str]:
    return _WORD.findall(text[:400].lower().replace("ё", "е"))


def _succeeded(call: ToolCall, result: ToolResult) -> str:
    command = finished_command(result)
    if command is not None and command[1]:
        return shlex.join(command[0])[:500]
    path = result.data.get("path") if isinstance(result.data, Mapping) else None
    return f"{call.name} {path or ''}".strip()[:500]
