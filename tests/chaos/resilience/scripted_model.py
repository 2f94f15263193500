"""A model that does what the shipped experiments ask for, at the pace of a model that the caller chooses."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

from fake_upstream import Call, Request

_FILE = re.compile(r"Read the file (\S+)")
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
            yield _report(request)
            return
        text = _text(last["content"])
        if found := _FILE.search(text):
            yield Call("read_file", {"path": found[1]})
            return
        pieces = _COUNT if "Count from one to ten" in text else ("Yes, ", "done. ", "END")
        for piece in pieces:
            time.sleep(self.seconds / len(pieces))
            yield piece


def _report(request: Request) -> str:
    """Say what a tool said, as a careful model does: only where it is about what was asked for."""
    asked = next(_text(each["content"]) for each in reversed(request["messages"]) if each["role"] == "user")
    found = _FILE.search(asked)
    content = _text(request["messages"][-1]["content"])
    record = _record(content)
    if found is None or record is None:
        return "UNREADABLE END"
    is_meant = str(record.get("name")) == found[1] and record.get("sum") == sum(record.get("values", ()))
    return f"VALUE {record['sum']} END" if is_meant else "MISMATCH END"


def _record(content: str) -> dict[str, object] | None:
    start, end = content.find("{"), content.rfind("}")
    try:
        read = json.loads(content[start : end + 1])
    except ValueError:
        return None
    return read if isinstance(read, dict) else None


def _text(content: object) -> str:
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content)
