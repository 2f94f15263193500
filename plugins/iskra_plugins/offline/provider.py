"""The provider ``offline``: answers by rule, so that the server works before a model is connected."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

from iskra_plugins.offline.commands import prepare
from iskra_plugins.offline.handbook import Handbook
from iskra_plugins.offline.lookup import quote_sections
from iskra_plugins.offline.phrases import LANGUAGES
from iskra_plugins.offline.planner import Plan, capabilities, plan
from iskra_plugins.offline.tool_choice import offered_tools
from iskra_sdk import Clock, LLMChunk, LLMProvider, LLMRequest, ToolCallDelta, Usage
from iskra_sdk.errors import ProviderRejectedError

MODEL = "offline"

_WORD = re.compile(r"\S+\s*|\s+")
_WORDS_PER_CHUNK = 3


class OfflineProvider(LLMProvider):
    """Searches the docs and drives tools from plain requests. It is no language model, and says so.

    Equal requests get equal answers. Tokens are counted in words.

    Args:
        handbook: The docs.
        clock: What it waits with between chunks.
        tokens_per_second: Words a second; 0 for no waiting.
    """

    name = "offline"
    is_language_model = False

    def __init__(self, handbook: Handbook, clock: Clock, *, tokens_per_second: float = 0) -> None:
        self._handbook = handbook
        self._clock = clock
        self._rate = tokens_per_second
        self._is_prepared = False

    async def stream(self, request: LLMRequest, model: str) -> AsyncIterator[LLMChunk]:
        if model != MODEL:
            raise ProviderRejectedError(
                f"The offline provider has no model {model!r}.",
                upstream_status=404,
                mend=f"Its only model is {MODEL!r}.",
            )
        tools = [] if request.parameters.get("tool_choice") == "none" else request.wire_tools
        if not self._is_prepared:
            await asyncio.to_thread(prepare)  # some 70 ms, which the event loop must not wait
            self._is_prepared = True
        decided = plan(request.messages, tools)
        text = await self._text(decided, tools)
        prompt_tokens = sum(len(message.text.split()) for message in request.messages)
        pieces, finish_reason = _limited(text, request.parameters)
        spoken = 0
        for piece in pieces:
            words = len(piece.split())
            spoken += words
            yield LLMChunk(text=piece)
            await self._pause(words)
        for position, call in enumerate(decided.calls):
            yield LLMChunk(tool_calls=(ToolCallDelta(position, id=call.id, name=call.name),))
            yield LLMChunk(tool_calls=(ToolCallDelta(position, arguments=call.arguments),))
            words = len(call.arguments.split()) + 1
            spoken += words
            await self._pause(words)
        yield LLMChunk(
            finish_reason="tool_calls" if decided.calls else finish_reason,
            usage=Usage(prompt_tokens=prompt_tokens, completion_tokens=spoken),
        )

    async def models(self) -> Sequence[str]:
        return (MODEL,)

    async def check(self) -> str:
        if self._handbook.folder is None:
            return "ready, without the docs; it follows rules and is no language model"
        return f"ready, with the docs of {self._handbook.folder}; it follows rules and is no language model"

    async def _text(self, decided: Plan, tools: Sequence[Mapping[str, object]]) -> str:
        if not decided.question:
            return decided.text
        phrases = LANGUAGES[decided.language]
        sections = await self._handbook.search(decided.question)
        if sections:
            found = [quote_sections(decided.question, sections, phrases)]
        else:
            nothing = phrases["not_found" if self._handbook.folder is not None else "no_docs"]
            found = [nothing, phrases["who"], capabilities(offered_tools(tools), phrases), phrases["connect"]]
        return "\n\n".join(filter(None, [decided.text, *found]))

    async def _pause(self, words: int) -> None:
        # Also without a rate the loop gets its turn, so that a cancellation takes effect between two chunks.
        if self._rate:
            await self._clock.sleep(words / self._rate)
        else:
            await asyncio.sleep(0)


def _limited(text: str, parameters: Mapping[str, object]) -> tuple[Iterator[str], str]:
    """Return the pieces to stream and the finish reason, within ``stop`` and the limit of tokens."""
    stop = parameters.get("stop")
    for mark in [stop] if isinstance(stop, str) else stop if isinstance(stop, list | tuple) else ():
        if isinstance(mark, str) and mark:
            text = text.partition(mark)[0]
    words: list[str] = _WORD.findall(text)
    limit = parameters.get("max_completion_tokens", parameters.get("max_tokens"))
    finish_reason = "stop"
    if isinstance(limit, int) and not isinstance(limit, bool) and 0 < limit < len(words):
        words, finish_reason = words[:limit], "length"
    pieces = ("".join(words[start : start + _WORDS_PER_CHUNK]) for start in range(0, len(words), _WORDS_PER_CHUNK))
    return pieces, finish_reason
