"""Faults of a model's streamed answers."""

import math
from collections.abc import AsyncIterator, Callable, Mapping

from iskra_chaos.faults.fault import Shot
from iskra_chaos.faults.injection import Inject
from iskra_chaos.faults.llm import BEFORE, drifted_body, is_about_the_body
from iskra_chaos.faults.parameters import (
    AfterChunks,
    Bandwidth,
    Delay,
    Hang,
    LimitData,
    ResetPeer,
    Slicer,
    SlowClose,
    SlowDrip,
    Truncated,
)
from iskra_chaos.faults.tool_arguments import REWRITES
from iskra_sdk.errors import ProviderUnavailableError
from iskra_sdk.interceptor import Proceed
from iskra_sdk.llm import LLMChunk, LLMRequest, ToolCallDelta

Chunks = AsyncIterator[LLMChunk]
Transform = Callable[[Shot, Chunks], Chunks]
"""Passes a stream on, altered. A fault that ends meanwhile leaves the rest of the stream as it is."""


async def _trickle(shot: Shot, chunks: Chunks) -> Chunks:
    rate = shot.parameters(Bandwidth).rate * 1000.0
    began, sent = shot.fault.lease.age, 0
    async for chunk in chunks:
        sent += _size(chunk)
        await shot.wait(sent / rate - (shot.fault.lease.age - began))
        yield chunk


async def _reset_later(shot: Shot, chunks: Chunks) -> Chunks:
    due = shot.fault.lease.age + shot.parameters(ResetPeer).timeout / 1000.0
    is_complete = False
    async for chunk in chunks:
        if shot.is_active and not is_complete and shot.fault.lease.age >= due:
            raise shot.injected(ProviderUnavailableError("The provider reset the connection."))
        is_complete = is_complete or chunk.finish_reason is not None
        yield chunk


async def _close_early(shot: Shot, chunks: Chunks) -> Chunks:
    left = shot.parameters(LimitData).bytes
    async for chunk in chunks:
        size = _size(chunk)
        if size > left and shot.is_active:
            text = chunk.text.encode()[:left].decode(errors="ignore")
            shot.observe()
            if text:
                yield LLMChunk(text=text)
            return
        left -= size
        yield chunk


async def _answer_nothing(shot: Shot, chunks: Chunks) -> Chunks:
    shot.observe()
    yield LLMChunk(finish_reason="stop")


async def _withhold(shot: Shot, chunks: Chunks) -> Chunks:
    shot.observe()
    yield LLMChunk(finish_reason="content_filter")


async def _truncate(shot: Shot, chunks: Chunks) -> Chunks:
    """Keep a share of all characters without knowing how many will come: lag behind by the share that is to go."""
    keep = shot.parameters(Truncated).keep
    texts = _Lagging(keep)
    arguments: dict[int, _Lagging] = {}
    async for chunk in chunks:
        if not shot.is_active:
            yield _rest(chunk, texts, arguments)
            continue
        calls = tuple(
            piece._replace(arguments=arguments.setdefault(piece.position, _Lagging(keep)).pass_on(piece.arguments))
            for piece in chunk.tool_calls
        )
        other = chunk._replace(text=texts.pass_on(chunk.text), tool_calls=calls, wire=None)
        if chunk.finish_reason is not None and (texts.held or any(lag.held for lag in arguments.values())):
            shot.observe()
            other = other._replace(finish_reason="length")
        if other != _EMPTY:
            yield other


_EMPTY = LLMChunk()


class _Lagging:
    """Text of which a share has been passed on so far."""

    def __init__(self, keep: float) -> None:
        self.held = ""
        self._keep = keep
        self._received = self._passed = 0

    def pass_on(self, text: str) -> str:
        """Take in more text and return what may go on."""
        self.held += text
        self._received += len(text)
        count = int(self._received * self._keep) - self._passed
        self._passed += count
        going, self.held = self.held[:count], self.held[count:]
        return going

    def release(self) -> str:
        """Return all that was held back."""
        held, self.held = self.held, ""
        return held


def _rest(chunk: LLMChunk, texts: _Lagging, arguments: Mapping[int, _Lagging]) -> LLMChunk:
    """Return a chunk with everything in front of it that an ended fault had held back."""
    held = {position: lag.release() for position, lag in arguments.items()}
    text = texts.release()
    if not text and not any(held.values()):
        return chunk
    late = tuple(ToolCallDelta(position, arguments=piece) for position, piece in held.items() if piece)
    return chunk._replace(text=text + chunk.text, tool_calls=(*late, *chunk.tool_calls), wire=None)


async def _rewrite_calls(shot: Shot, chunks: Chunks) -> Chunks:
    """Hold tool calls back until they are complete, then send them altered."""
    if is_about_the_body(shot):
        raise drifted_body(shot)
    rewrite = REWRITES[shot.fault.kind.name]
    calls: dict[int, ToolCallDelta] = {}
    async for chunk in chunks:
        for piece in chunk.tool_calls:
            before = calls.get(piece.position, ToolCallDelta(piece.position))
            calls[piece.position] = ToolCallDelta(
                piece.position, before.id or piece.id, before.name or piece.name, before.arguments + piece.arguments
            )
        if chunk.finish_reason is None or not calls:
            yield chunk._replace(tool_calls=(), wire=None) if chunk.tool_calls else chunk
            continue
        complete = tuple(
            call._replace(arguments=rewrite(shot, call.arguments, position) if shot.is_active else call.arguments)
            for position, call in sorted(calls.items())
        )
        if complete != tuple(call for _, call in sorted(calls.items())):
            shot.observe()
        calls.clear()
        yield chunk._replace(tool_calls=complete, wire=None)


async def _hang(shot: Shot, chunks: Chunks) -> Chunks:
    passed = 0
    async for chunk in chunks:
        if passed == shot.parameters(Hang).after_chunks:
            await shot.wait(math.inf)
        passed += 1
        yield chunk


async def _close_late(shot: Shot, chunks: Chunks) -> Chunks:
    async for chunk in chunks:
        yield chunk
    await shot.wait(shot.parameters(SlowClose).delay / 1000.0)


async def _slice(shot: Shot, chunks: Chunks) -> Chunks:
    given = shot.parameters(Slicer)
    count = 0
    async for chunk in chunks:
        rest = chunk.text
        while shot.is_active:
            count += 1
            spread = round(given.size_variation * (2.0 * shot.draw("size", count) - 1.0))
            size = max(1, given.average_size + spread)
            if len(rest) <= size:
                break
            shot.observe()
            yield LLMChunk(text=rest[:size])
            rest = rest[size:]
            await shot.wait(given.delay / 1e6)
        yield chunk if rest == chunk.text else chunk._replace(text=rest, wire=None)


async def _cut(shot: Shot, chunks: Chunks) -> Chunks:
    left = shot.parameters(AfterChunks).after_chunks
    is_complete = False
    async for chunk in chunks:
        if left <= 0 and not is_complete and shot.is_active:
            shot.observe()
            return
        left -= 1
        is_complete = is_complete or chunk.finish_reason is not None
        yield chunk


async def _begin_late(shot: Shot, chunks: Chunks) -> Chunks:
    is_first = True
    async for chunk in chunks:
        if is_first:
            await shot.wait(shot.parameters(Delay).delay_ms / 1000.0)
            is_first = False
        yield chunk


async def _drip(shot: Shot, chunks: Chunks) -> Chunks:
    seconds = shot.parameters(SlowDrip).delay_ms / 1000.0
    async for chunk in chunks:
        await shot.wait(seconds)
        yield chunk


def _size(chunk: LLMChunk) -> int:
    arguments = "".join(piece.arguments for piece in chunk.tool_calls)
    return len((chunk.text + chunk.reasoning + arguments).encode(errors="surrogatepass"))


def _streaming(transform: Transform) -> Inject:
    async def inject(shot: Shot, request: LLMRequest, proceed: Proceed) -> Chunks:
        return _closing(transform, shot, await proceed(request))

    return inject


async def _closing(transform: Transform, shot: Shot, chunks: Chunks) -> Chunks:
    """End the stream that is wrapped together with the one that wraps it."""
    altered = transform(shot, chunks)
    try:
        async for chunk in altered:
            yield chunk
    finally:
        for stream in (altered, chunks):
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()


async def _reset(shot: Shot, request: LLMRequest, proceed: Proceed) -> object:
    """Reset the connection: before the first chunk, or when its time has come."""
    inject = _streaming(_reset_later) if shot.parameters(ResetPeer).timeout else BEFORE["reset_peer"]
    return await inject(shot, request, proceed)


STREAM: Mapping[str, Inject] = {
    **BEFORE,
    "reset_peer": _reset,
    "bandwidth": _streaming(_trickle),
    "limit_data": _streaming(_close_early),
    "empty": _streaming(_answer_nothing),
    "content_filter": _streaming(_withhold),
    "truncated": _streaming(_truncate),
    **dict.fromkeys(REWRITES, _streaming(_rewrite_calls)),
    "hang": _streaming(_hang),
    "slow_close": _streaming(_close_late),
    "slicer": _streaming(_slice),
    "cut_stream": _streaming(_cut),
    "slow_first_token": _streaming(_begin_late),
    "slow_drip": _streaming(_drip),
}
"""Faults of ``llm.stream``."""
