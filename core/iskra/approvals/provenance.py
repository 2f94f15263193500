"""Finds out whether a call's arguments stem from untrusted text: what tools returned, not what people wrote.

The model is a black box, so where its words come from can only be seen by comparing texts: an argument that shares
words with what tools returned, and with nothing that the user or a rule wrote, is taken to stem from the former. The
comparison looks through spelling (case, spaces, look-alike letters, common encodings) and errs towards asking. It
cannot see a text that the model was told to compute; that is why learned rules never cover risky calls.
"""

import asyncio
import base64
import codecs
import html
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote

from iskra_sdk.approval import Ruling
from iskra_sdk.errors import ToolArgumentsError
from iskra_sdk.message import Message, ToolCall
from iskra_sdk.tool import Tool
from iskra_sdk.untrusted import untrusted_parts

_SHORT_WORDS = 6
"""Up to so many words a value is compared word by word: a path, a command, a name. Longer ones are prose or code."""
_WINDOW = 16
_STRIDE = 8
"""Longer values are compared in windows of letters and digits; a shared run of ``_WINDOW + _STRIDE - 1`` is found."""
_WORD_LENGTH = 3
_RAW_LENGTH = 5
_SHORTEST_LINE = 6  # letters and digits
_SMALL_NUMBER = 1000

_QUICK = 50_000  # characters that are compared in some milliseconds

_WORD = re.compile(r"\w+")
_SPACE = re.compile(r"\s+")
_INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]|[\U000e0000-\U000e007f]")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{12,}={0,2}")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}[\s:]?){6,}")
_NOT_HEX = re.compile(r"[\s:]")
_ESCAPES = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})")
_LOOKALIKES = str.maketrans("аеорсухікмтвнѕԁո", "aeopcyxikmtbhsdn")
"""Cyrillic letters that look like Latin ones; applied to both sides, so Russian still compares with Russian."""


async def untrusted_source(
    tool: Tool,
    arguments: Mapping[str, object],
    messages: Sequence[Message],
    tools: Mapping[str, Tool],
    ruling: Ruling,
) -> str | None:
    """Return the tool whose output a call's arguments stem from, ``None`` if there is none.

    Args:
        tool: The tool to be called.
        arguments: The call's valid arguments.
        messages: The conversation up to the call.
        tools: The tools at hand.
        ruling: What would allow the call; what the rule says itself is no news from elsewhere.
    """
    trusted = [message.text for message in messages if message.role == "user"]
    untrusted = list(_untrusted_texts(messages, tools))
    if not untrusted:
        return None
    _, writes = tool.resource_keys(arguments)

    def compare() -> str | None:
        return Provenance([*trusted, *ruling.arguments], untrusted).source_of(arguments, writes=writes)

    if sum(len(item.text) for item in untrusted) <= _QUICK:
        return compare()
    return await asyncio.to_thread(compare)


@dataclass(frozen=True, slots=True)
class UntrustedText:
    """What one tool call returned.

    Attributes:
        source: The tool's name.
        text: What it returned.
        keys: The resource keys it read; text that goes back unchanged to where it came from is no new text.
    """

    source: str
    text: str
    keys: frozenset[str] = frozenset()


class Provenance:
    """Compares arguments with what was said by whom.

    Args:
        trusted: What the user wrote, and what the rule that would allow the call says.
        untrusted: What tools returned.
    """

    def __init__(self, trusted: Iterable[str], untrusted: Sequence[UntrustedText]) -> None:
        self._untrusted = untrusted
        self._trusted = _Corpus(trusted)
        self._sources = [(item.source, _Corpus(_spellings(item.text))) for item in untrusted if item.text]

    def source_of(self, arguments: Mapping[str, object], *, writes: frozenset[str] = frozenset()) -> str | None:
        """Return the tool whose output an argument stems from, ``None`` if there is none.

        Args:
            arguments: The call's arguments.
            writes: The resource keys the call writes.
        """
        kept = {line.strip() for item in self._untrusted if item.keys & writes for line in item.text.splitlines()}
        for value in _texts(arguments):
            words = _WORD.findall(_plain(value))
            if len(words) <= _SHORT_WORDS:
                source = self._source_of_name(value, words)
            else:
                source = self._source_of_content(value, kept)
            if source is not None:
                return source
        return None

    def _source_of_name(self, value: str, words: Sequence[str]) -> str | None:
        """Compare a short value, e.g. a path, word by word, so that recombined words are found as well."""
        raw = _SPACE.sub(" ", _plain(value)).strip()
        if raw in self._trusted.plain:
            return None
        glued = _skeleton(value)
        strange = [word for word in words if len(word) >= _WORD_LENGTH and word not in self._trusted.words]
        for source, corpus in self._sources:
            if (
                any(word in corpus.words for word in strange)
                or (len(raw) >= _RAW_LENGTH and raw in corpus.plain)
                or (strange and len(glued) >= _WINDOW and glued in corpus.skeleton)
            ):
                return source
        return None

    def _source_of_content(self, value: str, kept: set[str]) -> str | None:
        """Compare a long value in windows, without the lines that were there before."""
        added = [line for line in value.splitlines() if line.strip() not in kept]
        wanted = set(_windows(_skeleton("\n".join(added))))
        if kept:  # a line that was part of a longer one, e.g. of a comment, is new; in a new text it would be chance
            wanted |= {_skeleton(line) for line in added}
        wanted = {part for part in wanted if len(part) >= _SHORTEST_LINE and part not in self._trusted.skeleton}
        windows = {part for part in wanted if len(part) == _WINDOW}
        lines = wanted - windows
        for source, corpus in self._sources:
            skeleton = corpus.skeleton
            if windows and any(skeleton[at : at + _WINDOW] in windows for at in range(len(skeleton) - _WINDOW + 1)):
                return source
            if any(line in skeleton for line in lines):
                return source
        return None


def _untrusted_texts(messages: Sequence[Message], tools: Mapping[str, Tool]) -> Iterator[UntrustedText]:
    calls: dict[str, ToolCall] = {}
    for message in messages:
        calls.update((call.id, call) for call in message.tool_calls)  # some models use an id again
        if message.role != "tool":
            continue
        call = calls.get(message.tool_call_id or "")
        tool = tools.get(call.name) if call is not None else None
        keys: frozenset[str] = frozenset()
        if call is not None and tool is not None:
            with suppress(ToolArgumentsError):
                keys, _ = tool.resource_keys(tool.validate(call.arguments))
        for text in untrusted_parts(message.text):
            yield UntrustedText(call.name if call is not None else "a tool", text, keys)


class _Corpus:
    """Some texts, in the forms they are compared in."""

    def __init__(self, texts: Iterable[str]) -> None:
        plain = [_plain(text) for text in texts]
        self.plain = "\n".join(_SPACE.sub(" ", text) for text in plain)
        self.words = frozenset(_WORD.findall(self.plain))
        self.skeleton = _skeleton("\n".join(plain), is_plain=True)


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).casefold()
    return folded.translate(_LOOKALIKES)


def _skeleton(text: str, *, is_plain: bool = False) -> str:
    """Return only the letters and digits, so that spacing and punctuation hide nothing."""
    return "".join(_WORD.findall(text if is_plain else _plain(text))).replace("_", "")


def _windows(skeleton: str) -> Iterator[str]:
    last = len(skeleton) - _WINDOW
    if last >= 0:
        yield skeleton[last:]
    for at in range(0, last + 1, _STRIDE):
        yield skeleton[at : at + _WINDOW]


def _texts(value: object, *, depth: int = 0) -> Iterator[str]:
    """Yield every text in a JSON value; lists of texts also joined, as a command's words are."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if depth:  # the outermost keys are the tool's parameters
                yield str(key)
            yield from _texts(item, depth=depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item, depth=depth + 1)
        if len(value) > 1 and all(isinstance(item, str) for item in value):
            yield " ".join(value)
    elif isinstance(value, int | float) and abs(value) >= _SMALL_NUMBER:
        yield str(value)


def _spellings(text: str) -> Iterator[str]:
    """Yield the text and what it says in common encodings."""
    yield text
    yield text[::-1]
    yield codecs.encode(text, "rot13")
    for decode in (html.unescape, unquote, _without_escapes):
        decoded = decode(text)
        if decoded != text:
            yield decoded
    for run in _BASE64.findall(text):
        padded = run.rstrip("=") + "=" * (-len(run.rstrip("=")) % 4)
        yield from _decoded(padded.replace("-", "+").replace("_", "/"), base64.b64decode)
    for run in _HEX.findall(text):
        yield from _decoded(_NOT_HEX.sub("", run), bytes.fromhex)


def _decoded(run: str, decode: Callable[[str], bytes]) -> Iterator[str]:
    try:
        text = decode(run).decode("utf-8", "ignore")
    except ValueError:
        return
    if len(text) >= _RAW_LENGTH:
        yield text


def _without_escapes(text: str) -> str:
    return _ESCAPES.sub(lambda found: chr(int(found[1] or found[2], 16)), text)
