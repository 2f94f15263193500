"""Stands between an agent and its model where a voice speaks, and checks its answer.

An answer is held back until it is whole, checked, and mended by one more call at most; then it is streamed on. Answers
with tool calls, JSON and code pass as they come, and nothing is checked where no language model stands behind.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator

from iskra_sdk.ids import SessionId, TurnId
from iskra_sdk.interceptor import Proceed
from iskra_sdk.llm import AnswerBuilder, LLMChunk, LLMRequest, Usage
from iskra_voices.answer_shape import is_only_code
from iskra_voices.casting import Casting, Part
from iskra_voices.mending import Judged, better, judge, mending_request
from iskra_voices.telling import Telling

logger = logging.getLogger(__name__)

MOST_HELD = 60_000
"""Characters of an answer that are held back; a longer one is passed on unchecked."""

_PIECE = re.compile(r"(?:\S+\s*){1,4}|\s+")
_DRAFTING = {"en": "Writing the answer. ", "ru": "Пишу ответ. "}
_MENDING = {"en": "Writing it once more: {0}. ", "ru": "Пишу ещё раз, не выполнено требований: {1}. "}


class Speaking:
    """The interceptor of ``llm.stream``.

    Args:
        telling: Tells how answers were checked.
        casting: Prepares the calls.
    """

    def __init__(self, telling: Telling, casting: Casting) -> None:
        self._telling = telling
        self._casting = casting

    async def stream(self, request: LLMRequest, proceed: Proceed) -> AsyncIterator[LLMChunk]:
        """Return the stream of an answer; calls that no voice of ours makes pass untouched."""
        voice = request.caller.voice
        if not self._casting.is_ours(voice):
            return await _begun(proceed, request)
        try:
            part = await self._casting.prepare(request)
        except Exception:
            logger.warning("voice could not be prepared", extra={"voice": voice}, exc_info=True)
            return await _begun(proceed, request)
        if not part.is_held:
            return await _begun(proceed, part.request)
        return self._spoken(part, proceed)

    async def _spoken(self, part: Part, proceed: Proceed) -> AsyncIterator[LLMChunk]:
        held: list[LLMChunk] = []
        builder = AnswerBuilder()
        size = 0
        is_passed_on = False
        stream = await _begun(proceed, part.request)
        try:
            async for chunk in stream:
                if is_passed_on:
                    yield chunk
                    continue
                builder.add(chunk)
                if not held and chunk.text:
                    yield LLMChunk(reasoning=_DRAFTING[part.scene.language])
                if chunk.reasoning and not chunk.text and not chunk.tool_calls and not chunk.finish_reason:
                    yield chunk
                    continue
                held.append(chunk)
                size += len(chunk.text)
                if chunk.tool_calls or size > MOST_HELD:
                    is_passed_on = True
                    for kept in held:
                        yield kept
        except Exception:
            if not is_passed_on:  # what came before the failure is shown, as it would be without us
                for kept in held:
                    yield kept
            raise
        finally:
            await _close(stream)
        if not is_passed_on:
            async for chunk in self._finished(part, proceed, held, builder):
                yield chunk

    async def _finished(
        self, part: Part, proceed: Proceed, held: list[LLMChunk], builder: AnswerBuilder
    ) -> AsyncIterator[LLMChunk]:
        """Check a whole answer, have it mended if need be, and stream it on."""
        draft, scene = builder.text, part.scene
        is_checked = part.is_checked and builder.finish_reason == "stop" and draft.strip() and not is_only_code(draft)
        first = await self._judged(part, draft) if is_checked else Judged(draft, ())
        final, usage = first, builder.usage
        if first.broken:
            names = ", ".join(check.name.replace("_", " ") for check in first.broken)
            yield LLMChunk(reasoning=_MENDING[scene.language].format(names, len(first.broken)))
            second, spent = await self._mended(part, proceed, first)
            final = better(first, second) if second is not None else first
            usage = _sum(usage, spent)
        if is_checked:
            await self._tell(part, first, final)
        if final is first:
            for kept in held:
                if kept.text or kept.reasoning:
                    yield kept._replace(finish_reason=None, usage=None, wire=None)
        else:
            for piece in _PIECE.findall(final.text):
                yield LLMChunk(text=piece)
        if scene.in_crisis and scene.resources and scene.resources not in final.text:
            yield LLMChunk(text=f"\n\n{scene.resources}")
        if builder.finish_reason is not None:
            yield LLMChunk(finish_reason=builder.finish_reason)
        if usage is not None:
            yield LLMChunk(usage=usage)

    async def _judged(self, part: Part, text: str) -> Judged:
        try:
            return await asyncio.to_thread(judge, part.policy, text, part.scene)
        except Exception:
            logger.warning("answer could not be checked", extra={"voice": part.policy.name}, exc_info=True)
            return Judged(text, ())

    async def _mended(self, part: Part, proceed: Proceed, draft: Judged) -> tuple[Judged | None, Usage | None]:
        """Ask once for a better answer; ``None`` where none came."""
        builder = AnswerBuilder()
        try:
            stream = await _begun(proceed, mending_request(part.request, draft))
            try:
                async for chunk in stream:
                    builder.add(chunk)
            finally:
                await _close(stream)
            answer = builder.build()
        except Exception as exc:
            logger.info("answer could not be mended", extra={"voice": part.policy.name, "error": type(exc).__name__})
            return None, builder.usage
        if answer.finish_reason != "stop" or answer.message.tool_calls or not answer.message.text.strip():
            return None, builder.usage
        return await self._judged(part, answer.message.text.strip()), builder.usage

    async def _tell(self, part: Part, first: Judged, final: Judged) -> None:
        caller = part.request.caller
        if not caller.session_id:
            return
        data = {
            "voice": part.policy.name,
            "broken": [check.name for check in first.broken],
            "mended": final is not first,
            "broken_after": [check.name for check in final.broken],
        }
        session_id, turn_id = SessionId(caller.session_id), TurnId(caller.turn_id)
        await self._telling.on_the_bus("checked", data, session_id, turn_id=turn_id)


async def _begun(proceed: Proceed, request: LLMRequest) -> AsyncIterator[LLMChunk]:
    stream: AsyncIterator[LLMChunk] = await proceed(request)
    return stream


async def _close(stream: AsyncIterator[LLMChunk]) -> None:
    close = getattr(stream, "aclose", None)
    if close is not None:
        await close()


def _sum(first: Usage | None, second: Usage | None) -> Usage | None:
    if first is None or second is None:
        return first or second
    return first + second
