"""A model that does what the shipped experiments ask for, at the pace of a model that the caller chooses."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fake_upstream import Call, Request

_FILE = re.compile(r"Read the file (\S+\.json)")
_ATTEMPTS = 3
_COUNT = ("one ", "two ", "three ", "four ", "five ", "six ", "seven ", "eight ", "nine ", "ten. ", "END")


@dataclass
class ScriptedModel:
    """Answers by the last message.

    Attributes:
        seconds: How long an answer takes.
    """

    seconds: float = 0.0

    def __call__(self, request: Request) -> Iterator[str | Call]:
        last = request["messages"][-1]
        if last["role"] == "tool":
            yield _next_step(request)
            return
        text = _text(last["content"])
        if found := _FILE.search(text):
            yield Call("read_file", {"path": found[1]})
            return
        pieces = _COUNT if "Count from one to ten" in text else ("Yes, ", "done. ", "END")
        for piece in pieces:
            time.sleep(self.seconds / len(pieces))
            yield piece


def _next_step(request: Request) -> str | Call:
    """Say what a tool said, as a careful model does: only if it is about what was asked for, and adds up."""
    messages = request["messages"]
    asked = max(index for index, each in enumerate(messages) if each["role"] == "user")
    found = _FILE.search(_text(messages[asked]["content"]))
    record = _record(_text(messages[-1]["content"]))
    attempts = sum(each["role"] == "tool" for each in messages[asked:])
    if found is None:
        return "UNREADABLE END"
    if record is None:
        return Call("read_file", {"path": found[1]}) if attempts < _ATTEMPTS else "UNREADABLE END"
    values = record.get("values")
    adds_up = isinstance(values, list) and record.get("sum") == sum(values)
    return f"VALUE {record['sum']} END" if adds_up and record.get("name") == found[1] else "MISMATCH END"


def _record(content: str) -> dict[str, Any] | None:
    try:
        read = json.loads(content[content.find("{") : content.rfind("}") + 1])
    except ValueError:
        return None
    return read if isinstance(read, dict) and {"name", "values", "sum"} <= read.keys() else None


def _text(content: object) -> str:
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content)
