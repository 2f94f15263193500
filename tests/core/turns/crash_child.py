"""A process that runs or recovers one turn and can be told to die by SIGKILL at a chosen moment.

Usage: ``python crash_child.py DIRECTORY MODE``, MODE being a JSON object:

* ``{"start": true, "kill": ["before"|"after", n]}``: start the turn; die right before or after the n-th commit,
* ``{"start": true, "kill": ["tool", n]}``: die inside the n-th run of the tool, right after its effect,
* ``{"start": false, "decide": true|false|null}``: recover; decide all approval requests so.

Prints JSON lines: ``acknowledged``, ``asked``, ``ended``.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from iskra.session_store import open_store
from iskra_sdk.event import TURN_ENDED
from iskra_sdk.llm import LLMRequest
from iskra_sdk.principal import SYSTEM
from iskra_sdk.session_store import Change, SessionStore
from iskra_sdk.testing.scripted_model import Reply, ScriptedModel
from iskra_sdk.tool import ToolContext, tool
from turn_kit import ALICE, call, turn_kit


def say(**facts: object) -> None:
    """Tell the parent process."""
    print(json.dumps(facts), flush=True)


def die() -> None:
    """Vanish without any clean-up."""
    os.kill(os.getpid(), signal.SIGKILL)


class DyingStore:
    """A store whose process dies around the n-th commit."""

    def __init__(self, store: SessionStore, when: str, number: int) -> None:
        self._store, self._when, self._left = store, when, number

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def apply(self, changes: Sequence[Change]) -> None:
        """Commit, and die before or after it if it is time."""
        self._left -= 1
        if self._left == 0 and self._when == "before":
            die()
        await self._store.apply(changes)
        if self._left == 0 and self._when == "after":
            die()


def two_notes(request: LLMRequest) -> Reply:
    """Ask for a look, then for two notes one after another, then finish."""
    results = sum(message.role == "tool" for message in request.messages)
    if results == 0:
        return ["Let me see. ", call("look", "{}", "look")]
    if results < 3:
        return call("note", json.dumps({"line": f"line {results}"}), f"note{results}")
    return "All is noted."


async def main(directory: Path, mode: dict[str, Any]) -> None:
    """Run or recover."""
    when, number = mode.get("kill") or ("never", 0)
    runs = 0

    @tool(risk="read")
    async def look() -> str:
        """Look around."""
        return "nothing"

    @tool(risk="write")
    async def note(line: str, context: ToolContext) -> str:
        """Write a line."""
        nonlocal runs
        runs += 1
        with (directory / "notes.txt").open("a") as notes:
            notes.write(f"{context.effect_id} {line}\n")
        if when == "tool" and runs == number:
            die()
        return "noted"

    inner = await open_store(data_dir=directory)
    store: Any = DyingStore(inner, when, number)
    model = ScriptedModel(two_notes, repeat=True)
    async with turn_kit(store, tools=[look, note], model=model, recover=not mode["start"]) as kit:
        if mode["start"]:
            record = await kit.turns.start(ALICE, None, "note it", model="agent:helper")
            say(acknowledged=record.id, session=record.session_id)
        else:
            sessions = await inner.sessions(SYSTEM)
            if not sessions:
                say(nothing=True)
                return
            (record,) = await inner.turns(SYSTEM, sessions[0].id)
        async for event in kit.turns.follow(ALICE, record.session_id):
            if event.type == "approval.requested" and mode.get("decide") is not None:
                request = await inner.approval(SYSTEM, event.data["approval_id"])  # type: ignore[arg-type]
                if request.state == "open":
                    say(asked=event.data["reason"], tool_call_id=event.data["tool_call_id"])
                    await kit.approvals.decide(ALICE, request.id, approve=mode["decide"])
            if event.type in TURN_ENDED:
                say(ended=event.type)
                return


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), json.loads(sys.argv[2])))
