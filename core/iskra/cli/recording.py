"""Sessions as Python files that tests import."""

import pprint
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from iskra_sdk.client import IskraClient, StepInfo, TurnInfo

_FILE = '''"""Recorded from the session {session}: what was sent, and what the model answered.

Secrets that were said in the session stand here too; look before you share it.
"""

from iskra_sdk.llm import LLMAnswer
from iskra_sdk.message import Message
from iskra_sdk.testing import ScriptedModel

TURNS = {turns}
"""Model id and message of each turn, in order."""

ANSWERS = {answers}
"""Answers of the model, in order: the message, and why it ended."""

TOOL_RESULTS = {results}
"""What the tools returned, in order: name, arguments, text."""


def recorded_model() -> ScriptedModel:
    """Return a model that answers as it did in the session."""
    return ScriptedModel(*(LLMAnswer(Message(message), finish_reason) for message, finish_reason in ANSWERS))
'''


_PAGE = 200


def write_recording(client: IskraClient, session: str, output: Path) -> list[TurnInfo]:
    """Write what a session holds so far to a file, whole or not at all.

    Returns:
        The session's turns, oldest first; of one that is under way the file has the steps that are done.
    """
    turns: list[TurnInfo] = []
    while page := client.turns.list(session, limit=_PAGE, before=turns[-1].number if turns else None):
        turns += page
    turns.reverse()
    steps = [client.turns.steps(turn) for turn in turns]
    unfinished = output.with_name(f"{output.name}.part")
    unfinished.write_text(fixture_of(session, turns, steps), encoding="utf-8")
    unfinished.replace(output)
    return turns


def fixture_of(session: str, turns: Sequence[TurnInfo], steps: Sequence[Sequence[StepInfo]]) -> str:
    """Return the source of a module with a session's messages, model answers and tool results."""
    sent = [(turn.model, _text(turn.input)) for turn in turns]
    journal = [step for of_turn in steps for step in of_turn if step.state == "done"]
    answers = [
        (dict(step.data["message"]), str(step.data["finish_reason"])) for step in journal if step.kind == "model"
    ]
    results = [
        (step.name, step.data.get("arguments"), str((step.data.get("result") or {}).get("content", "")))
        for step in journal
        if step.kind == "tool"
    ]
    return _FILE.format(
        session="".join(char for char in session if char.isalnum() or char in "_-"),
        turns=_source(sent),
        answers=_source(answers),
        results=_source(results),
    )


def _text(message: Any) -> str:
    content = message.get("content") if isinstance(message, Mapping) else message
    return content if isinstance(content, str) else str(content)


def _source(value: object) -> str:
    return pprint.pformat(value, width=110, sort_dicts=False)
