"""Takes quoted texts out of a request, so that what they hold is never read as part of it."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

_OPEN, _CLOSE = "\ue000", "\ue001"
_PRIVATE = re.compile(f"[{_OPEN}{_CLOSE}]")
_MARK = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")
_QUOTED = re.compile(
    r"```(?P<fence>.*?)```"
    r"|``(?P<double_tick>[^\n]+?)``"
    r"|`(?P<tick>[^`\n]+)`"
    r"|\"(?P<straight>[^\"\n]*)\""
    r"|«(?P<guillemets>[^«»\n]*)»"
    r"|[“„](?P<curly>[^”“\n]*)[”“]"
    r"|(?<![^\s(=])'(?P<single>[^'\n]*)'(?![^\s,.;:!?)])"
    r"|(?<!\S)(?P<json>\{)",
    re.DOTALL,
)
_FENCE_LANGUAGE = re.compile(r"\A[\w+-]*[ \t]*\n")
_MOST_JSON = 8  # attempts; each may look at the whole text


@dataclass(frozen=True, slots=True)
class Masked:
    """A text with marks in the place of its quoted texts."""

    text: str
    quoted: Sequence[str]

    def unmask(self, text: str) -> str:
        """Put the quoted texts back in the place of the marks: without quotes, or as JSON behind a ``=``."""
        return _MARK.sub(lambda mark: self.quoted[int(mark[1])], text)


def mask(text: str) -> Masked:
    """Take out what stands in backticks, quotes of any kind, fenced blocks and JSON objects."""
    text = _PRIVATE.sub(" ", text)
    pieces: list[str] = []
    quoted: list[str] = []
    position = json_attempts = 0
    while found := _QUOTED.search(text, position):
        pieces.append(text[position : found.start()])
        position = found.end()
        if found["json"]:
            json_attempts += 1
            end = _end_of_object(text, found.start()) if json_attempts <= _MOST_JSON else None
            if end is None:
                pieces.append(found[0])
                continue
            content, position = text[found.start() : end], end
        else:
            content = found[found.lastgroup or 0]
            if found.lastgroup == "fence":
                content = _FENCE_LANGUAGE.sub("", content).removesuffix("\n")
            elif found.start() and text[found.start() - 1] == "=":
                content = json.dumps(content, ensure_ascii=False)  # a value: its end must stay visible
        pieces.append(f"{_OPEN}{len(quoted)}{_CLOSE}")
        quoted.append(content)
    pieces.append(text[position:])
    return Masked("".join(pieces), quoted)


def _end_of_object(text: str, start: int) -> int | None:
    try:
        return json.JSONDecoder().raw_decode(text, start)[1]
    except (ValueError, RecursionError):
        return None
